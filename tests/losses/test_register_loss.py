"""Registering one's own: what is accepted, what is refused, and what a plain function may have."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

import pytest
import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from rsbench import AngularLoss, Batch, Range, RsbenchError, create_loss, register_loss
from rsbench.core.loss import LOSSES

BATCH = Batch(torch.tensor([0, 1, 1]), torch.ones(3), torch.zeros(3), torch.zeros(3))


@pytest.fixture(autouse=True)
def restored_registry() -> Iterator[None]:
    with LOSSES.scoped():
        yield


def test_a_plain_function_gets_a_linear_classifier_and_its_options() -> None:
    @register_loss("focal_test", summary="focal loss")
    def focal(
        logits: Tensor,
        batch: Batch,
        *,
        power: Annotated[float, Field(ge=0)] = 2.0,
        reduction: Literal["mean", "sum"] = "mean",
    ) -> Tensor:
        surprise = F.cross_entropy(logits, batch.labels, reduction="none")
        focused = (1 - (-surprise).exp()) ** power * surprise
        return focused.mean() if reduction == "mean" else focused.sum()

    assert {k: p.default for k, p in LOSSES.entry("focal_test").parameters().items()} == {
        "power": 2.0,
        "reduction": "mean",
    }
    assert LOSSES.entry("focal_test").value.search == {}
    loss = create_loss("focal_test", 4, (2, 1), power=0, reduction="sum")
    embeddings = torch.randn(3, 4)
    expected = F.cross_entropy(loss.logits(embeddings), BATCH.labels, reduction="sum")
    torch.testing.assert_close(loss(embeddings, BATCH), expected)
    assert [tuple(p.shape) for p in loss.parameters()] == [(2, 4), (2,)]
    with pytest.raises(RsbenchError, match=r"loss\.power=-1 for 'focal_test'.*greater than or equal to 0"):
        create_loss("focal_test", 4, (2, 1), power=-1)
    with pytest.raises(RsbenchError, match=r"loss\.powr: .*Did you mean 'power'"):
        create_loss("focal_test", 4, (2, 1), powr=1)


def test_a_margin_is_one_method_and_inherits_the_options_of_its_base() -> None:
    @register_loss("margin_test")
    class MarginTest(AngularLoss):
        """A margin as large as the quality."""

        search = {"m_rad": Range(0.0, 0.6)}

        def __init__(self, *args: object, m_rad: float = 0.3, **options: object) -> None:
            super().__init__(*args, **options)
            self.m_rad = m_rad

        def target_margin(self, batch: Batch, cosine: Tensor) -> tuple[Tensor, float]:
            return self.m_rad * batch.quality, 0.0

    entry = LOSSES.entry("margin_test")
    assert entry.summary == "A margin as large as the quality."
    assert {k: (p.default, p.unit) for k, p in entry.parameters().items()} == {
        "m_rad": (0.3, "rad"),
        "scale": (30.0, ""),
        "class_weights": ("none", ""),
    }
    assert AngularLoss.search == {}
    embeddings = torch.randn(3, 4)
    for class_weights in ("none", "inverse"):
        torch.manual_seed(0)
        ours = create_loss("margin_test", 4, (2, 1), m_rad=0.5, scale=64, class_weights=class_weights)
        torch.manual_seed(0)
        arcface = create_loss("arcface", 4, (2, 1), class_weights=class_weights)
        torch.testing.assert_close(ours(embeddings, BATCH), arcface(embeddings, BATCH))


@pytest.mark.parametrize(
    ("low", "high", "log"),
    [(1, 1, False), (2, 1, False), (0, 1, True), (0, float("inf"), False), (float("nan"), 1, False)],
)
def test_a_range_that_nothing_can_be_drawn_from_is_refused(low: float, high: float, log: bool) -> None:
    with pytest.raises(RsbenchError, match=rf"Range\(low={low}, high={high}, log={log}\): low must be below high"):
        Range(low, high, log)


def test_a_name_is_taken_once() -> None:
    with pytest.raises(RsbenchError, match=r"'qlung' is registered twice: in .*qlung\.py and in .*test_register_loss"):

        @register_loss("qlung")
        class Again(AngularLoss):
            pass


@pytest.mark.parametrize("thing", [torch.nn.Linear, 3, torch.nn.CrossEntropyLoss()])
def test_anything_else_is_refused(thing: object) -> None:
    with pytest.raises(RsbenchError, match=r"@register_loss\('wrong'\) takes"):
        register_loss("wrong")(thing)  # type: ignore[type-var]
    assert "wrong" not in LOSSES.names()


def test_a_class_without_a_file_can_be_registered() -> None:
    """As typed into a notebook: the class's module has no file to read."""
    typed = type("Typed", (AngularLoss,), {"__module__": "__main__", "__doc__": "Typed at a prompt."})
    typed.__module__ = "a_module_that_is_not_loaded"
    register_loss("typed_test")(typed)
    assert str(LOSSES.entry("typed_test").origin) == "<interactive>"


def test_an_unknown_loss_is_answered_with_a_suggestion() -> None:
    with pytest.raises(RsbenchError, match=r"no loss 'qlng'.*Did you mean 'qlung'"):
        create_loss("qlng", 4, (2, 1))
