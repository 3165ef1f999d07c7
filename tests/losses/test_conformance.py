"""What every registered loss must do, whoever wrote it. Each check is a function of a loss's name."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from rsbench import AngularLoss, Batch, Loss, Range, create_loss, list_losses
from rsbench.loss import LOSSES

COUNTS = (2063, 1215, 501, 363)
DIM = 16

Check = Callable[[str], None]


def make_loss(name: str, counts: tuple[int, ...] = COUNTS, **options: Any) -> Loss:
    torch.manual_seed(0)
    return create_loss(name, DIM, counts, **options)


def make_batch(labels: Tensor, seed: int = 1) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    codes = torch.zeros_like(labels)
    return Batch(labels, torch.rand(len(labels), generator=generator), codes, codes, progress=0.5)


def embeddings_for(loss: Loss, labels: Tensor, seed: int = 2) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(loss.views * len(labels), loss.embedding_dim, generator=generator)


def permuted(batch: Batch, order: Tensor) -> Batch:
    return Batch(batch.labels[order], batch.quality[order], batch.patient[order], batch.device[order], 0.5)


def fresh_value(name: str, embeddings: Tensor, batch: Batch) -> Tensor:
    """The loss of a newly made instance, so that a loss with moving state starts from the same one."""
    return make_loss(name)(embeddings, batch)


LABELS = torch.tensor([0, 1, 2, 3, 0, 1, 0, 3])


def gives_a_scalar_and_logits(name: str) -> None:
    loss = make_loss(name)
    embeddings, batch = embeddings_for(loss, LABELS), make_batch(LABELS)
    value, logits = loss(embeddings, batch), loss.logits(embeddings)
    assert value.shape == ()
    assert torch.isfinite(value)
    assert logits.shape == (len(embeddings), len(COUNTS))
    assert torch.isfinite(logits).all()


def gradients_reach_embeddings_and_classifier(name: str) -> None:
    loss = make_loss(name)
    embeddings = embeddings_for(loss, LABELS).requires_grad_()
    loss(embeddings, make_batch(LABELS)).backward()
    for what, gradient in [
        ("embeddings", embeddings.grad),
        *((n, p.grad) for n, p in loss.named_parameters()),
    ]:
        assert gradient is not None, f"{name}: no gradient reaches {what}"
        assert torch.isfinite(gradient).all(), what
        assert gradient.abs().sum() > 0, what


def logits_see_no_labels(name: str) -> None:
    """By signature, and by value: a forward pass with whatever labels leaves the logits as they were."""
    loss = make_loss(name)
    assert list(inspect.signature(loss.logits).parameters) == ["embeddings"]
    embeddings = embeddings_for(loss, LABELS)
    before = loss.logits(embeddings)
    loss(embeddings, make_batch(LABELS))
    loss(embeddings, make_batch((LABELS + 1) % len(COUNTS)))
    torch.testing.assert_close(loss.logits(embeddings), before, rtol=0, atol=0)


def logits_of_a_clip_do_not_depend_on_its_neighbours(name: str) -> None:
    loss = make_loss(name)
    embeddings = embeddings_for(loss, LABELS)
    one_by_one = torch.cat([loss.logits(row.unsqueeze(0)) for row in embeddings])
    torch.testing.assert_close(loss.logits(embeddings), one_by_one)


def state_survives_a_round_trip(name: str) -> None:
    loss, other = make_loss(name), create_loss(name, DIM, COUNTS)
    embeddings, batch = embeddings_for(loss, LABELS), make_batch(LABELS)
    loss(embeddings, batch)  # moves the state of a loss that has some
    other.load_state_dict(loss.state_dict())
    torch.testing.assert_close(loss.logits(embeddings), other.logits(embeddings), rtol=0, atol=0)
    torch.testing.assert_close(loss(embeddings, batch), other(embeddings, batch), rtol=0, atol=0)


def order_of_the_batch_does_not_matter(name: str) -> None:
    loss = make_loss(name)
    order = torch.tensor([5, 2, 7, 0, 3, 6, 1, 4])
    embeddings, batch = embeddings_for(loss, LABELS), make_batch(LABELS)
    in_order = embeddings.view(loss.views, len(LABELS), DIM)[:, order].reshape_as(embeddings)
    torch.testing.assert_close(loss.logits(embeddings[order]), loss.logits(embeddings)[order])
    torch.testing.assert_close(
        fresh_value(name, in_order, permuted(batch, order)), fresh_value(name, embeddings, batch)
    )


def a_class_may_be_absent(name: str) -> None:
    only_normal = torch.zeros(6, dtype=torch.long)
    loss = make_loss(name)
    embeddings = embeddings_for(loss, only_normal).requires_grad_()
    loss(embeddings, make_batch(only_normal)).backward()
    assert embeddings.grad is not None
    assert torch.isfinite(embeddings.grad).all()


def a_batch_may_hold_one_clip(name: str) -> None:
    for label in range(len(COUNTS)):
        labels = torch.tensor([label])
        loss = make_loss(name)
        embeddings = embeddings_for(loss, labels).requires_grad_()
        value = loss(embeddings, make_batch(labels))
        value.backward()
        assert torch.isfinite(value)
        assert embeddings.grad is not None
        assert torch.isfinite(embeddings.grad).all()


def finite_in_bfloat16(name: str) -> None:
    loss = make_loss(name)
    embeddings = embeddings_for(loss, LABELS).requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = loss(embeddings.bfloat16(), make_batch(LABELS))
    value.backward()
    assert torch.isfinite(value)
    assert embeddings.grad is not None
    assert torch.isfinite(embeddings.grad).all()
    torch.testing.assert_close(value.float(), make_loss(name)(embeddings, make_batch(LABELS)), rtol=0.05, atol=0.05)


def finite_at_the_ends_of_the_cosine(name: str) -> None:
    """Embeddings that point exactly along and against their own class's weights."""
    for sign in (1.0, -1.0):
        loss = make_loss(name)
        directions = next(p for p in loss.parameters() if p.shape == (len(COUNTS), DIM)).detach()
        labels = LABELS.repeat(loss.views)
        embeddings = (sign * directions[labels]).requires_grad_()
        value = loss(embeddings, make_batch(LABELS))
        value.backward()
        assert torch.isfinite(value)
        assert embeddings.grad is not None
        assert torch.isfinite(embeddings.grad).all()
        assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in loss.parameters())


def compiles(name: str) -> None:
    loss = make_loss(name)
    embeddings, batch = embeddings_for(loss, LABELS), make_batch(LABELS)
    compiled = torch.compile(make_loss(name), backend="aot_eager")
    torch.testing.assert_close(compiled(embeddings, batch), loss(embeddings, batch))


def separates_what_is_separable(name: str) -> None:
    """A table of embeddings around four directions, learnt by the classifier alone."""
    generator = torch.Generator().manual_seed(3)
    centres = torch.nn.functional.normalize(torch.randn(len(COUNTS), DIM, generator=generator))
    labels = torch.arange(64) % len(COUNTS)
    embeddings = 4 * centres[labels] + 0.4 * torch.randn(64, DIM, generator=generator)
    loss = make_loss(name)
    optimiser = torch.optim.Adam(loss.parameters(), lr=0.05)
    first = loss(embeddings.repeat(loss.views, 1), make_batch(labels)).item()
    for _ in range(60):
        optimiser.zero_grad()
        value = loss(embeddings.repeat(loss.views, 1), make_batch(labels))
        value.backward()
        optimiser.step()
    assert value.item() < first
    assert (loss.logits(embeddings).argmax(dim=1) == labels).all()


def class_weights_count_where_classes_differ_in_size(name: str) -> None:
    """For all of the angular family, and whatever else has the option."""
    if "class_weights" not in LOSSES.entry(name).parameters():
        assert not isinstance(make_loss(name), AngularLoss)
        return
    embeddings, batch = embeddings_for(make_loss(name), LABELS), make_batch(LABELS)
    plain, even, weighted = (
        make_loss(name, counts, class_weights=class_weights)(embeddings, batch)
        for counts, class_weights in [((9, 9, 9, 9), "none"), ((9, 9, 9, 9), "inverse"), (COUNTS, "inverse")]
    )
    torch.testing.assert_close(even, plain)
    assert not torch.isclose(weighted, make_loss(name, class_weights="none")(embeddings, batch))


def a_search_may_try_what_it_registers(name: str) -> None:
    """Every corner of the ranges that `search` holds, which are of the loss's own options and hold its defaults."""
    search, options = LOSSES.entry(name).value.search, LOSSES.entry(name).parameters()
    assert search.keys() <= options.keys() - {"scale", "class_weights"}
    for key, tried in search.items():
        default = options[key].default
        assert tried.low <= default <= tried.high if isinstance(tried, Range) else default in tried, key
    ends = [(tried.low, tried.high) if isinstance(tried, Range) else tried for tried in search.values()]
    for corner in itertools.product(*ends):
        loss = make_loss(name, **dict(zip(search, corner, strict=True)))
        embeddings = embeddings_for(loss, LABELS).requires_grad_()
        value = loss(embeddings, make_batch(LABELS))
        value.backward()
        assert torch.isfinite(value), corner
        assert all(p.grad is not None and p.grad.isfinite().all() for p in (embeddings, *loss.parameters())), corner


CHECKS: tuple[Check, ...] = (
    gives_a_scalar_and_logits,
    gradients_reach_embeddings_and_classifier,
    logits_see_no_labels,
    logits_of_a_clip_do_not_depend_on_its_neighbours,
    state_survives_a_round_trip,
    order_of_the_batch_does_not_matter,
    a_class_may_be_absent,
    a_batch_may_hold_one_clip,
    finite_in_bfloat16,
    finite_at_the_ends_of_the_cosine,
    compiles,
    class_weights_count_where_classes_differ_in_size,
    a_search_may_try_what_it_registers,
    separates_what_is_separable,
)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", list_losses())
def test_conformance(name: str, check: Check) -> None:
    check(name)
