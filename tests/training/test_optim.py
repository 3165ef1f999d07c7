"""The optimisers: those of the papers, whatever the layout of a weight and however often its state went to disk."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file
from small_models import Stack, make_model
from torch import nn

from rsbench.core.spec import OptimPart
from rsbench.training.checkpoint import Checkpoints, TrainingState
from rsbench.training.optim import make_optimiser

PLAIN: dict[str, Any] = {
    "adam": lambda weights: torch.optim.Adam(weights, lr=1e-2, weight_decay=0.1, foreach=False),
    "adamw": lambda weights: torch.optim.AdamW(weights, lr=1e-2, weight_decay=0.1, foreach=False),
    "sgd": lambda weights: torch.optim.SGD(weights, lr=1e-2, weight_decay=0.1, momentum=0.9, foreach=False),
}


@pytest.mark.parametrize("algorithm", PLAIN)
def test_one_pass_over_memory_comes_to_what_many_come_to(algorithm: str, tmp_path: Path) -> None:
    model = make_model(Stack(4, 20))
    model.backbone.add_module("image", nn.Conv2d(3, 8, (3, 5)))
    model.to(memory_format=torch.channels_last)  # its memory is in another order than its indices
    beside = copy.deepcopy(model)
    plain = PLAIN[algorithm](list(beside.parameters()))
    optim = OptimPart(algorithm=algorithm, lr=1e-2, weight_decay=0.1)
    optimiser = make_optimiser(model, optim)
    for step in range(6):
        torch.manual_seed(step)
        for ours, theirs in zip(model.parameters(), beside.parameters(), strict=True):
            ours.grad = torch.randn_like(ours)
            theirs.grad = ours.grad.clone()
        optimiser.step()
        plain.step()
        if step == 2:
            checkpoints = Checkpoints(tmp_path, every_s=0)
            checkpoints.save(TrainingState(epochs_done=1), {"optimiser": optimiser.state_dict()})
            optimiser = make_optimiser(model, optim)
            optimiser.load_state_dict(checkpoints.load().tensors["optimiser"])
    for ours, theirs in zip(model.parameters(), beside.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)


def test_a_compiled_training_ends_where_the_other_ends(tiny_run: Any, tmp_path: Path) -> None:
    plain = tiny_run(epochs=2)
    compiled = tiny_run(epochs=2, out=tmp_path / "compiled", optim__compile="aot_eager")
    assert compiled.run_id != plain.run_id  # it is recorded
    for name in ("tiny", "far"):
        first, second = (run.predictions(name).filter(like="logit") for run in (plain, compiled))
        pd.testing.assert_frame_equal(first, second, rtol=1e-4, atol=1e-4)
    names = [set(load_file(next(run.path.glob("checkpoints/val-*")))) for run in (plain, compiled)]
    assert names[0] == names[1]
