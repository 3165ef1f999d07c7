"""Less memory, the same result: batches that are split, activations that are computed again."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_models import COUNTS, ONE_STEP, WIDTH, Perceptron, Stack, WholeBlocks, make_model, trained, untrained
from torch import Tensor, nn
from torch.amp.grad_scaler import GradScaler
from torch.utils.checkpoint import checkpoint

from rsbench import Backbone, create_backbone
from rsbench.core.errors import PluginError, SpecError
from rsbench.core.spec import OptimPart
from rsbench.experiment.resolve import resolve
from rsbench.training.clipset import ClipMetadata, EmbeddingClips
from rsbench.training.finetune import checkpoint_activations, freeze
from rsbench.training.loop import accumulate_gradients
from rsbench.training.optim import make_average
from rsbench.training.predict import predict

Run = Callable[..., Any]


class Drawing(Perceptron):
    """Takes down what it draws."""

    def forward(self, features: Tensor) -> Tensor:
        self.drawn: list[float] = [*getattr(self, "drawn", []), torch.rand(()).item()]
        return super().forward(features)


# Batches that are split.


def embedded_clips(count: int) -> EmbeddingClips:
    draws = torch.Generator().manual_seed(count)
    labels = torch.randint(len(COUNTS), (count,), generator=draws)
    names, quality = tuple(map(str, range(count))), torch.rand(count, generator=draws)
    known = ClipMetadata(names, labels, quality, *(torch.zeros_like(labels) for _ in range(3)))
    return EmbeddingClips(known, torch.randn(count, 1, 5, generator=draws))


def gradients_of(backbone: Backbone, loss: str, clips: EmbeddingClips, accumulate: int) -> list[Tensor]:
    """The loss of one batch, and its gradients."""
    torch.manual_seed(3)
    model = make_model(copy.deepcopy(backbone), loss).train()
    spec = resolve({"loss": loss, "backbone": "cnn6", "optim.batch_size": 64, "optim.accumulate": accumulate})
    rows = torch.arange(len(clips.known.labels))
    total = accumulate_gradients(model, clips, rows, spec, 0, 0.0, GradScaler(enabled=False))
    return [total, *(parameter.grad for parameter in model.parameters() if parameter.grad is not None)]


@pytest.mark.parametrize("loss", ["ce", "qlung"])
@settings(max_examples=25)
@given(count=st.integers(1, 17), accumulate=st.integers(2, 20))
def test_micro_batches_give_the_gradient_of_their_batch(loss: str, count: int, accumulate: int) -> None:
    torch.manual_seed(count)
    clips, backbone = embedded_clips(count), Perceptron(5, 1)
    whole, split = (gradients_of(backbone, loss, clips, parts) for parts in (1, accumulate))
    for one, other in zip(whole, split, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-4 * one.abs().max().item())


def test_every_micro_batch_has_draws_of_its_own() -> None:
    clips, backbone = embedded_clips(6), Drawing(5, 1)

    def draws(accumulate: int) -> list[float]:
        model = make_model(backbone)
        backbone.drawn = []
        spec = resolve({"loss": "ce", "backbone": "cnn6", "optim.accumulate": accumulate})
        for step in range(3):
            accumulate_gradients(model, clips, torch.arange(6), spec, step, 0.0, GradScaler(enabled=False))
        return backbone.drawn

    assert len(set(draws(2))) == 6
    assert draws(2) == draws(2)


def test_the_norm_is_clipped_once_per_batch(tiny_run: Run, tiny_root: Path, tmp_path: Path) -> None:
    """One step of SGD is then as long as the rate times the largest norm, however the batch is split."""
    before = untrained(tiny_root, tmp_path)
    after = trained(tiny_run(optim__accumulate=3, optim__clip_norm=0.01, optim__lr=1.0, **ONE_STEP))
    moved = [after[name] - before[name] for name in before if name.endswith(("weight", "bias"))]
    assert torch.cat([step.flatten() for step in moved]).norm() == pytest.approx(0.01, rel=1e-3)


def test_no_more_micro_batches_than_clips() -> None:
    with pytest.raises(SpecError, match=r"optim\.accumulate=9: a batch of 8 has no more micro-batches than clips"):
        resolve({"loss": "ce", "backbone": "cnn6", "optim.batch_size": 8, "optim.accumulate": 9})


# Activations that are computed again.


def one_step(backbone: Backbone, features: Tensor) -> tuple[Tensor, dict[str, Tensor], int]:
    """A forward and a backward pass: the embeddings; all gradients, buffers and the generator; numbers kept between."""
    kept: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    torch.manual_seed(5)
    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        embeddings = backbone(features)
    embeddings.square().sum().backward()
    state = {name: parameter.grad for name, parameter in backbone.named_parameters() if parameter.grad is not None}
    return embeddings, state | dict(backbone.named_buffers()) | {"": torch.get_rng_state()}, sum(kept.values())


def make(name: str) -> tuple[Backbone, Tensor]:
    torch.manual_seed(1)
    if name in ("stack", "whole blocks"):
        return {"stack": Stack, "whole blocks": WholeBlocks}[name](4, 50), torch.randn(8, 4, 50)
    options = {"size": "tiny"} if name == "ast" else {}
    return create_backbone(name, 64, 32, **options), torch.randn(2, 64, 32)


@pytest.mark.parametrize(
    ("name", "frozen"),
    [
        *(("stack", ""), ("stack", "two"), ("whole blocks", ""), ("whole blocks", "two")),
        *(
            ("cnn6", ""),
            ("cnn6", "conv_block1"),
            ("mn04", ""),
            ("mn04", "features.0"),
            ("ast", ""),
            ("ast", "blocks.0"),
        ),
    ],
)
def test_recomputing_changes_nothing_but_memory(name: str, frozen: str) -> None:
    backbone, features = make(name)
    for part in freeze(backbone.train(), [frozen] if frozen else []):
        part.eval()
    recomputing = copy.deepcopy(backbone)
    checkpoint_activations(recomputing)
    assert backbone.state_dict().keys() == recomputing.state_dict().keys()
    embeddings, state, kept = one_step(backbone, features)
    again, same, fewer = one_step(recomputing, features)
    assert torch.equal(embeddings, again)
    assert state.keys() == same.keys()
    assert all(torch.equal(state[key], same[key]) for key in state)
    assert fewer < kept


@pytest.mark.parametrize("name", ["stack", "whole blocks"])
def test_recomputing_in_half_precision(name: str) -> None:
    backbone, features = make(name)
    recomputing = copy.deepcopy(backbone)
    checkpoint_activations(recomputing)
    states = []
    for model in (backbone, recomputing):
        torch.manual_seed(5)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            embeddings = model(features)
        assert embeddings.dtype == torch.bfloat16
        embeddings.float().square().sum().backward()
        states.append([parameter.grad for parameter in model.parameters()])
    assert all(torch.equal(one, other) for one, other in zip(*states, strict=True))


def test_a_copy_recomputes_its_own_parts() -> None:
    """The averaged model is a deep copy; the other's weights must not enter its embeddings or gradients."""
    model = make_model(make("whole blocks")[0])
    checkpoint_activations(model.backbone)
    average = make_average(model, OptimPart(ema_decay=0.5))
    assert average is not None
    features = torch.randn(8, 4, 50)
    expected = model.eval().backbone(features).detach()
    for parameter in model.parameters():
        nn.init.constant_(parameter, torch.nan)
    copied = average.eval().backbone
    embeddings = copied(features)
    assert torch.equal(embeddings, expected)
    embeddings.sum().backward()
    assert all(parameter.grad is None for parameter in model.parameters())
    assert all(parameter.grad.isfinite().all() for parameter in copied.parameters())


def test_a_list_that_grows_is_recomputed_as_it_was() -> None:
    """Dense layers take all earlier maps in one list, to which their block then adds."""

    class Dense(Perceptron):
        def forward(self, features: Tensor) -> Tensor:
            maps = [features]
            for layer in self.layers:
                maps.append(layer(maps))
            return maps[-1]

    class Summed(nn.Linear):
        def forward(self, maps: list[Tensor]) -> Tensor:  # type: ignore[override]
            return super().forward(torch.stack(maps).sum(dim=0).tanh())

    backbone = Dense(WIDTH, 1)
    backbone.layers = nn.Sequential(*(Summed(WIDTH, WIDTH) for _ in range(3)))
    recomputing, features = copy.deepcopy(backbone), torch.randn(4, WIDTH)
    checkpoint_activations(recomputing)
    (_, expected, _), (_, found, _) = one_step(backbone, features), one_step(recomputing, features)
    assert all(torch.equal(found[key], expected[key]) for key in expected)


def test_recomputing_leaves_predictions_alone() -> None:
    model, clips, rows = make_model(Perceptron(5, 1)), embedded_clips(9), torch.arange(9)
    expected = predict(model, clips, rows, 4).logits
    checkpoint_activations(model.backbone)
    assert torch.equal(predict(model, clips, rows, 4).logits, expected)


def test_a_run_that_recomputes_ends_with_the_same_bits(tiny_run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    changes = {"loss": "stochastic", "optim__ema_decay": 0.9, "optim__accumulate": 2}
    before = trained(tiny_run(**changes))
    recomputed: list[object] = []

    def counted(function: Callable[..., Any], *args: Any, **how: Any) -> Any:
        recomputed.append(function)
        return checkpoint(function, *args, **how)

    monkeypatch.setattr("rsbench.training.finetune.checkpoint", counted)
    after = trained(tiny_run(optim__checkpoint_activations=True, **changes))
    assert recomputed
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_a_stage_that_is_not_there_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Stack, "stages", lambda self: [["one"], ["tow"]])
    with pytest.raises(PluginError, match=r"stages\(\) of backbone Stack names 'tow'"):
        checkpoint_activations(Stack(4, 20))
