"""Fine-tuning: what is frozen keeps its bits, and layers learn at their own rates."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_models import COUNTS, ONE_STEP, WIDTH, Perceptron, Stack, make_model, trained, untrained
from timm.models.vision_transformer import VisionTransformer
from timm.optim import param_groups_layer_decay
from tiny import TINY_PLUGIN, Cli
from torch import Tensor, nn

from rsbench import Backbone, Frontend, Loss
from rsbench.core.errors import PluginError, SpecError
from rsbench.core.spec import OptimPart
from rsbench.training.finetune import freeze, layer_scales
from rsbench.training.optim import HalfStep, make_average, make_optimiser, move_average
from rsbench.training.predict import Model

Run = Callable[..., Any]


class NothingToLearn(Loss):
    def forward(self, embeddings: Tensor, batch: Any) -> Tensor:
        return embeddings.sum()

    def logits(self, embeddings: Tensor) -> Tensor:
        return embeddings[:, : self.num_classes]


# What is frozen.


@pytest.mark.parametrize("names", ["all", "stem.0,stem.1", "stem.1.weight"])
@pytest.mark.parametrize("changes", [{"optim__ema_decay": 0.9}, {"optim__half_step": True, "optim__algorithm": "sgd"}])
def test_frozen_parts_keep_their_bits_through_a_run(
    tiny_run: Run, tiny_root: Path, tmp_path: Path, names: str, changes: dict[str, Any]
) -> None:
    changes = changes | {"optim__weight_decay": 0.1}
    before = untrained(tiny_root, tmp_path, **changes)
    after = trained(tiny_run(optim__freeze=names, **changes))
    prefixes = ("backbone.",) if names == "all" else tuple(f"backbone.{name}" for name in names.split(","))
    assert {name: not name.startswith(prefixes) for name in before} == {
        name: not torch.equal(before[name], after[name]) for name in before
    }


def test_frozen_modules_stay_in_eval_mode_and_the_rest_trains() -> None:
    model = make_model(Stack(4, 20), frozen=("one", "two.1"))
    for copied in (model, copy.deepcopy(model)):
        copied.eval()
        copied.train()
        stack = copied.backbone
        assert [part.training for part in (*stack.one, *stack.two)] == [False] * 4 + [True, False, True, True]
        assert all(part.training for part in (copied, copied.loss, stack, *stack.three))


def test_a_name_ends_where_a_part_ends() -> None:
    """`layers.1` is not `layers.10`."""
    backbone = Perceptron(3, 1)
    backbone.layers = nn.Sequential(*(nn.Linear(3, 3) for _ in range(11)))
    freeze(backbone, ["layers.1"])
    frozen = {name for name, parameter in backbone.named_parameters() if not parameter.requires_grad}
    assert frozen == {"layers.1.weight", "layers.1.bias"}


def test_a_whole_frozen_backbone_needs_no_graph() -> None:
    model = make_model(Stack(4, 20), frozen=("all",)).train()
    features = torch.randn(3, 4, 20)
    embeddings = model.backbone(features)
    assert not embeddings.requires_grad
    assert torch.equal(embeddings, model.backbone(features))  # no dropout either


def test_a_part_that_is_not_there_is_one_clear_error(cli: Cli, tiny_root: Path) -> None:
    outcome = cli(
        *("run", "--loss", "ce", "--backbone", "tiny", "--plugin", TINY_PLUGIN, "--root", tiny_root),
        *("--train", "tiny", "--set", "data.clip_s=0.5", "--set", "optim.freeze=stem.9", "--dry-run"),
    )
    assert outcome.code == 2
    assert "optim.freeze=stem.9: the backbone has no such part. Did you mean 'stem." in outcome.err
    assert "Known: all, stem.0, stem.1, stem.2, stem.3." in outcome.err


def test_something_must_be_left_to_train() -> None:
    backbone = Stack(4, 20)
    with pytest.raises(SpecError, match=r"optim\.freeze leaves nothing to train"):
        Model(backbone, NothingToLearn(WIDTH, COUNTS), freeze(backbone, ["all"]))


def test_frozen_parameters_have_no_optimiser_state_and_no_decay() -> None:
    model = make_model(Stack(4, 20), frozen=("one", "three.0.weight"))
    optimised = {id(weight) for group in make_optimiser(model, OptimPart()).param_groups for weight in group["params"]}
    frozen = {name for name, weight in model.named_parameters() if id(weight) not in optimised}
    assert frozen == {
        *("backbone.one.0.weight", "backbone.one.0.bias", "backbone.one.1.weight", "backbone.one.1.bias"),
        "backbone.three.0.weight",
    }


def test_averages_of_what_stands_still_stand_still() -> None:
    """Counters too: 3 · 0.9 + 3 · (1 − 0.9) is a little less than 3, and an integer would become 2."""
    model = make_model(Stack(4, 20), frozen=("all",))
    for name, buffer in model.backbone.named_buffers():
        buffer.fill_(3) if name.endswith("num_batches_tracked") else buffer.uniform_(0.1, 3)
    average = make_average(model, OptimPart(ema_decay=0.9))
    assert average is not None
    for _ in range(20):
        move_average(average, model, 0.9)
    kept = average.state_dict()
    assert all(torch.equal(kept[name], tensor) for name, tensor in model.state_dict().items())


def test_half_step_leaves_frozen_parameters_out() -> None:
    assert HalfStep([nn.Parameter(torch.ones(2), requires_grad=False)]).parameters == []


# Rates.


def test_one_step_is_as_long_as_the_rates_say(tiny_run: Run, tiny_root: Path, tmp_path: Path) -> None:
    """One step of SGD on all clips: what moves by d at one rate moves by s·d at s times the rate."""
    before = untrained(tiny_root, tmp_path)
    plain = trained(tiny_run(**ONE_STEP))
    slowed = trained(tiny_run(optim__backbone_lr_scale=0.5, optim__layer_decay=0.25, **ONE_STEP))
    for part, scale in {"backbone.stem.0": 0.5 * 0.25, "backbone.stem.1": 0.5, "loss.classifier": 1.0}.items():
        moved = plain[f"{part}.weight"] - before[f"{part}.weight"]
        assert moved.abs().max() > 1e-4
        torch.testing.assert_close(
            slowed[f"{part}.weight"] - before[f"{part}.weight"], scale * moved, rtol=1e-2, atol=1e-7
        )


def test_the_record_shows_the_rate_of_the_loss(tiny_run: Run) -> None:
    rates = [
        pd.read_csv(tiny_run(optim__backbone_lr_scale=scale).path / "epochs.csv")["lr"].tolist() for scale in (1, 0.1)
    ]
    assert rates[0] == rates[1]
    assert rates[0][0] > rates[0][-1]


class LikeTimm(Backbone):
    """A vision transformer of timm's, its stages arranged as timm arranges its layers."""

    frontend = Frontend("kaldi-fbank")

    def __init__(self, depth: int) -> None:
        super().__init__(16, 16)
        self.depth = depth
        self.net = VisionTransformer(
            img_size=16, patch_size=8, in_chans=1, embed_dim=8, depth=depth, num_heads=1, num_classes=3
        )

    def stages(self) -> list[list[str]]:
        blocks = [[f"net.blocks.{index}"] for index in range(self.depth)]
        blocks[-1].append("net.norm")
        return [["net.cls_token", "net.pos_embed", "net.patch_embed"], *blocks, ["net.head"]]

    def forward(self, features: Tensor) -> Tensor:
        return self.net(features.unsqueeze(1))


@settings(max_examples=25)
@given(decay=st.floats(0.05, 0.99), depth=st.integers(1, 4))
def test_layer_scales_are_timms(decay: float, depth: int) -> None:
    backbone = LikeTimm(depth)
    theirs = {
        id(parameter): group["lr_scale"]
        for group in param_groups_layer_decay(backbone.net, layer_decay=decay)
        for parameter in group["params"]
    }
    ours = layer_scales(backbone, decay)
    assert ours == {name: pytest.approx(theirs[id(parameter)]) for name, parameter in backbone.named_parameters()}


def test_activations_are_no_layers() -> None:
    """Stack's default stages are twelve, six of which learn."""
    scales = layer_scales(Stack(4, 20), 0.5)
    assert [scales[f"{stage}.{part}.weight"] for stage in ("one", "two", "three") for part in (0, 1)] == [
        0.5**later for later in (5, 4, 3, 2, 1, 0)
    ]


@pytest.mark.parametrize(
    ("stages", "message"),
    [
        ([["one"], ["three"]], "parameter 'two.0.weight' of backbone Stack is in 0 of its stages"),
        (
            [["one"], ["two", "three"], ["three.0"]],
            "parameter 'three.0.weight' of backbone Stack is in 2 of",
        ),
    ],
)
def test_stages_hold_every_parameter_once(
    monkeypatch: pytest.MonkeyPatch, stages: list[list[str]], message: str
) -> None:
    monkeypatch.setattr(Stack, "stages", lambda self: stages)
    with pytest.raises(PluginError, match=message):
        make_optimiser(make_model(Stack(4, 20)), OptimPart(layer_decay=0.9))
    make_optimiser(make_model(Stack(4, 20)), OptimPart())  # asks nothing of the stages
