"""What commands do before they begin: what they import, and what they do not compute."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import CLIP_S, TINY_PLUGIN, tiny_settings
from torch.utils._python_dispatch import TorchDispatchMode

import rsbench
from rsbench.experiment.build import build_model, model_sizes
from rsbench.experiment.context import make_context, make_spec
from rsbench.experiment.prepare import Experiment, prepare_experiment

# Runs a command, counts what a start costs, and prints which of the unwanted modules it loaded.
STARTED = """
import atexit, gc, sys
from rsbench.cli import main
from rsbench.core import plugins

unwanted, sys.argv = sys.argv[1].split(","), ["rsbench", *sys.argv[2:]]
counted = {"collections": 0, "readings of entry points": 0}

def count_collection(phase, about):
    counted["collections"] += phase == "start"

def read_entry_points(read=plugins.entry_points):
    counted["readings of entry points"] += 1
    return read()

@atexit.register  # before that of the command, and so called after it
def print_what_was_loaded():
    assert gc.get_freeze_count(), "the process ends with a search for garbage"
    print("loaded:", [name for name in unwanted if name in sys.modules])

gc.callbacks.append(count_collection)
plugins.entry_points = read_entry_points
try:
    main()
except SystemExit as end:
    assert not end.code
assert counted["collections"] < 200, counted
assert counted["readings of entry points"] <= 1, counted
"""


def loads_none_of(unwanted: str, *command: str) -> str:
    """What a command prints, when it has loaded no unwanted module."""
    alone = {name: value for name, value in os.environ.items() if name != "RSBENCH_PLUGINS"}
    started = [sys.executable, "-c", STARTED, unwanted, *command]
    run = subprocess.run(started, capture_output=True, text=True, check=False, env=alone)
    assert run.returncode == 0, run.stderr
    printed, _, loaded = run.stdout.rpartition("loaded: ")
    assert loaded == "[]\n"
    return printed


def prepared(backbone: str, root: Path, out: Path, **changes: Any) -> Experiment:
    context = make_context(root, out, threads=1, quiet=True)
    spec = make_spec(tiny_settings(backbone=backbone, **changes), context, [TINY_PLUGIN])
    return prepare_experiment(spec, context.data_cache())


@pytest.mark.parametrize(
    ("asked", "said"), [("--help", "leaderboard"), ("--version", f"rsbench {rsbench.__version__}")]
)
def test_help_and_version_need_only_what_parses_and_prints(asked: str, said: str) -> None:
    assert said in loads_none_of("torch,pandas,numpy,ray,pydantic,yaml", asked)


def test_a_list_of_losses_needs_no_tables_and_no_other_command() -> None:
    printed = loads_none_of("pandas,scipy,timm,torchvision,rsbench.cli.run,rsbench.cli.sweep", "list", "losses")
    assert all(name in printed for name in ("ce", "qlung", "supcon"))


def test_a_dry_run_needs_only_what_says_what_a_run_would_be(tiny_root: Path, tmp_path: Path) -> None:
    made = prepared("cnn6", tiny_root, tmp_path)  # from now on what it reads of the sound is in the cache
    unwanted = "scipy.special,scipy.stats,sklearn,timm,torchvision,matplotlib,jinja2,torch._dynamo,rsbench.cli.sweep"
    asked = ("--train", "tiny", "--test", "tiny,far", "--root", str(tiny_root), "--set", f"data.clip_s={CLIP_S}")
    printed = loads_none_of(unwanted, "run", "--loss", "ce", "--backbone", "cnn6", *asked, "--dry-run")
    assert printed.startswith(f"{made.run_id}: to run\n")


class Draws(TorchDispatchMode):
    """Counts the random numbers that are drawn, by their tensors."""

    count = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += torch.Tag.nondeterministic_seeded in function.tags
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize("backbone", ["cnn6", "mn04", "resnet", "tiny"])
def test_weights_are_counted_without_drawing_any(backbone: str, tiny_root: Path, tmp_path: Path) -> None:
    experiment = prepared(backbone, tiny_root, tmp_path, optim__freeze="all")
    with Draws() as drawn:
        expected = build_model(experiment)[0].sizes()
    with Draws() as counting:
        assert model_sizes(experiment) == expected
    assert drawn.count > counting.count == 0


def test_boards_and_scores_need_no_torch() -> None:
    program = (
        "import sys, rsbench, rsbench.report.tables.board, rsbench.report.figures.board\n"
        "rsbench.leaderboard, rsbench.compare, rsbench.runs, rsbench.Run\n"
        "print('torch' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"


def test_a_run_needs_no_sweep_engine_and_its_first_step_no_compiler() -> None:
    program = (
        "import sys, torch, rsbench.experiment.run\n"
        "from rsbench import create_backbone\n"
        "from rsbench.core.spec import OptimPart\n"
        "from rsbench.training.optim import make_optimiser\n"
        "from rsbench.training.predict import Model\n"
        "for algorithm in ('adam', 'adamw', 'sgd'):\n"
        "    model = Model(create_backbone('embeddings', 2, 1, width=2), torch.nn.Linear(2, 2), ())\n"
        "    optimiser = make_optimiser(model, OptimPart(algorithm=algorithm))\n"
        "    optimiser.zero_grad()\n"
        "    model.loss(model.backbone(torch.ones(2, 2))).sum().backward()\n"
        "    optimiser.step()\n"
        "    optimiser.load_state_dict(optimiser.state_dict())\n"
        "unwanted = ('ray', 'optuna', 'timm', 'torchvision', 'torch._dynamo', 'scipy.special', 'scipy.stats')\n"
        "print([name for name in unwanted if name in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
