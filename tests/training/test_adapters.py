"""Adapters: what they add, what they leave alone, and that nothing of them is needed afterwards."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.special import softmax
from small_models import Stack
from small_pretrained import saved
from test_checkpoint import assert_same_run
from tiny import CLIP_S, Cli
from torch import Tensor, nn

import rsbench
from rsbench import Backbone, Frontend
from rsbench.core.errors import SpecError
from rsbench.core.plugins import discover
from rsbench.core.spec import OptimPart
from rsbench.data.tasks import ICBHI_4
from rsbench.experiment.resolve import resolve
from rsbench.inference.prediction import probability_columns
from rsbench.training.adapters import add_adapters, merge_adapters

LORA = OptimPart(adapter="lora", adapter_rank=2)


class Dense(Backbone):
    """The mean over time, and two layers with a norm between them."""

    frontend = Frontend("kaldi-fbank")

    def __init__(self, n_mels: int, n_frames: int) -> None:
        super().__init__(n_mels, n_frames)
        self.embedding_dim = 6
        self.layers = nn.Sequential(nn.Linear(n_mels, 6), nn.LayerNorm(6), nn.Tanh(), nn.Linear(6, 6))

    def forward(self, features: Tensor) -> Tensor:
        return self.layers(features.mean(dim=2))


class Bypassed(Dense):
    """Takes the weights of a layer without calling it, as torch's attention does."""

    def __init__(self, n_mels: int, n_frames: int) -> None:
        super().__init__(n_mels, n_frames)
        self.passed_by = nn.Linear(n_mels, n_mels)

    def forward(self, features: Tensor) -> Tensor:
        return self.layers(features.mean(dim=2) @ self.passed_by.weight)


def adapted(backbone: Backbone, optim: OptimPart = LORA) -> dict[str, Tensor]:
    """The backbone with adapters that have learnt something, and all of its tensors."""
    add_adapters(backbone, optim)
    with torch.no_grad():
        for name, tensor in backbone.named_parameters():
            if "lora_B" in name:
                tensor.normal_(generator=torch.Generator().manual_seed(0))
    return dict(backbone.state_dict())


def test_at_first_nothing_changes_and_adapters_alone_learn() -> None:
    features, backbone = torch.randn(5, 7, 3), Dense(7, 3)
    before = backbone(features)
    add_adapters(backbone, LORA)
    torch.testing.assert_close(backbone(features), before, rtol=0, atol=0)
    learning = {name for name, weight in backbone.named_parameters() if weight.requires_grad}
    assert learning == {f"layers.{n}.lora_{letter}.default.weight" for n in (0, 3) for letter in "AB"}


def test_a_layer_gives_its_own_and_b_times_a() -> None:
    features, backbone = torch.randn(5, 7, 3), Dense(7, 3)
    first, norm, tanh, last = backbone.layers
    weights = [(layer.weight.detach().clone(), layer.bias.detach().clone()) for layer in (first, last)]
    state = adapted(backbone)

    def by_hand(values: Tensor, number: int) -> Tensor:
        weight, bias = weights[number > 0]
        a, b = (state[f"layers.{number}.lora_{letter}.default.weight"] for letter in "AB")
        assert (a.shape, b.shape) == ((2, values.shape[1]), (len(weight), 2))
        return values @ weight.T + bias + values @ a.T @ b.T

    expected = by_hand(tanh(norm(by_hand(features.mean(dim=2), 0))), 3)
    torch.testing.assert_close(backbone(features), expected)
    names = list(Dense(7, 3).state_dict())
    merge_adapters(backbone)
    torch.testing.assert_close(backbone(features), expected)
    assert list(backbone.state_dict()) == names


def test_targets_go_by_the_ends_of_names() -> None:
    backbone = Dense(7, 3)
    state = adapted(backbone, OptimPart(adapter="lora", adapter_targets=("3",)))
    assert {name.partition(".lora")[0] for name in state if "lora" in name} == {"layers.3"}
    convolutions = Stack(4, 20)
    add_adapters(convolutions, OptimPart(adapter="lora", adapter_targets=("one.0",)))
    assert "one.0.lora_A.default.weight" in convolutions.state_dict()


@pytest.mark.parametrize(
    ("backbone", "targets", "said"),
    [
        (Stack, (), "Stack has no linear layer. Name its convolutions"),
        (Dense, ("layer",), "optim.adapter_targets=layer: the backbone has no such module"),
        (Dense, ("layers.2",), "optim.adapter_targets: Target module Tanh.* is not supported"),
        (Bypassed, ("passed_by",), "takes the weights of 'passed_by' and never calls it"),
    ],
)
def test_a_target_that_no_adapter_can_stand_beside_is_one_message(backbone: Any, targets: Any, said: str) -> None:
    with pytest.raises(SpecError, match=said):
        add_adapters(backbone(4, 20), OptimPart(adapter="lora", adapter_targets=targets))


def test_by_default_no_layer_that_is_passed_by_gets_one() -> None:
    state = adapted(Bypassed(7, 3))
    assert not any("passed_by.lora" in name for name in state)


def test_without_peft_the_remedy_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(SpecError, match=r"needs peft.*pip install 'rsbench\[lora\]'"):
        add_adapters(Dense(7, 3), LORA)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"optim.adapter": "lora", "optim.freeze": "all"}, "leave out optim.freeze"),
        ({"optim.adapter_rank": 4}, r"optim\.adapter_rank=4: there are no adapters; say optim\.adapter=lora"),
        ({"optim.adapter_targets": "qkv"}, "there are no adapters"),
        ({"optim.adapter": "lora", "optim.adapter_rank": 0}, r"optim\.adapter_rank=0"),
        ({"optim.adapter": "lora", "backbone": "length"}, "optim.adapter=lora: backbone 'length' hears no sound"),
        ({"optim.adapter": "lora", "loss": "logistic"}, "loss=logistic is solved"),
    ],
)
def test_settings_that_mean_nothing_are_refused(changes: dict[str, Any], said: str) -> None:
    discover()
    with pytest.raises(SpecError, match=said):
        resolve({"loss": "ce", "backbone": "cnn6"} | changes)


def test_a_spec_without_adapters_has_the_id_that_it_had() -> None:
    discover()
    assert "adapter" not in resolve({"loss": "ce", "backbone": "cnn6"}).canonical()
    assert '"adapter":"lora"' in resolve({"loss": "ce", "backbone": "cnn6", "optim.adapter": "lora"}).canonical()


def test_a_run_goes_on_to_the_same_bits_and_predicts_as_it_was_judged(
    cli: Cli, tiny_root: Path, tmp_path: Path, interrupted_after: Any
) -> None:
    _, _, folder = saved("ast", tmp_path)
    settings = {"loss": "ce", "backbone": f"hf:{folder}", "train": "tiny", "test": "tiny,far", "data.clip_s": CLIP_S}
    settings |= {"optim.adapter": "lora", "optim.adapter_rank": 2, "optim.lr": 1e-2, "epochs": 3, "select": "val,last"}

    def run(out: str) -> Any:
        return rsbench.run(settings, root=tiny_root, results=tmp_path / out, threads=1, device="cpu", quiet=True)

    whole = run("whole")
    interrupted_after(lambda: run("parts"), 2)
    assert_same_run(run("parts"), whole)
    said = cli("show", whole.run_id, "--results", tmp_path / "whole").out
    adapters = 2 * 2 * (4 * (16 + 16) + 2 * (16 + 32))  # rank × blocks × what goes in and out of six layers
    classifier = 4 * (16 + 1)
    assert re.search(rf"; {adapters + classifier} of [\d,]+ parameters learn", " ".join(said.split()))

    command = ["predict", whole.path, "--select", "last", "--at", "argmax", "--quiet"]
    done = cli(*command, tiny_root / "far", "--out", tmp_path / "called.csv")
    assert done.code == 0, done.err
    judged = whole.predictions("far").query("selection == 'last'")
    temperature = whole.metrics["last"]["far"]["operating_point"]["temperature"]
    expected = softmax(judged[list(ICBHI_4.logit_columns)].to_numpy(dtype=np.float64) / temperature, axis=1)
    found = pd.read_csv(tmp_path / "called.csv")[list(probability_columns(ICBHI_4))].to_numpy()
    np.testing.assert_allclose(np.sort(found, axis=0), np.sort(expected, axis=0), atol=1e-5)
