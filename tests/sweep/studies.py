"""Small studies, and someone to watch them, for the tests of trials and engines."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tiny import CLIP_S, TINY_PLUGIN

from rsbench.experiment.context import make_spec
from rsbench.experiment.prepare import prepare_experiment
from rsbench.sweep.engines import RunTask, WorkerConfig, data_cache
from rsbench.sweep.spec import SweepSpec, cells

BASE = {"backbone": "tiny", "train": "tiny", "test": "tiny,far", "data.clip_s": CLIP_S, "epochs": 3}
LR = {"low": 1e-3, "high": 1e-1, "log": True}


def study(losses: Sequence[str] = ("ce",), base: dict[str, Any] | None = None, **search: Any) -> SweepSpec:
    """A search of the learning rate for each of these losses, three trials each."""
    given = {"trials": 3, "space": {"optim.lr": LR}, "own_ranges": False} | search
    content = {
        "name": "small",
        "purpose": "to be tested",
        "base": BASE | (base or {}),
        "grid": {"loss": list(losses)},
        "track": "tuned",
        "search": given,
        "confirm": {"seeds": "0-1"},
        "plugins": [TINY_PLUGIN],
    }
    return SweepSpec.model_validate(content)


def crew(root: Path, out: Path) -> WorkerConfig:
    return WorkerConfig((str(root),), str(out), "cpu", 1, False, (TINY_PLUGIN,), save_every_s=0)


def tasks(
    whose: WorkerConfig, losses: Sequence[str] = ("ce",), seeds: Sequence[int] = (0,), **changes: Any
) -> list[RunTask]:
    """Runs of a small grid, as a driver would plan them."""
    planned = []
    for cell in cells(study(losses, base=changes)):
        for seed in seeds:
            settings = {**cell.settings, "seed": seed}
            experiment = prepare_experiment(make_spec(settings, whose.context()), data_cache(whose))
            planned.append(RunTask(experiment.run_id, cell.name, settings))
    return planned


@dataclass
class Log:
    """A watch that remembers: what started, the epochs of each, how it ended, and what was warned of."""

    begun: list[str] = field(default_factory=list)
    epochs: dict[str, list[tuple[int, int]]] = field(default_factory=dict)
    ends: dict[str, tuple[str, str]] = field(default_factory=dict)
    warnings: dict[str, str] = field(default_factory=dict)

    def started(self, key: str, cell: str, seed: int) -> None:
        self.begun.append(key)

    def epoch(self, key: str, epoch: int, epochs: int, score: float | None) -> None:
        self.epochs.setdefault(key, []).append((epoch, epochs))

    def warned(self, key: str, text: str) -> None:
        self.warnings[key] = text

    def ended(self, key: str, state: str, seconds: float, error: str) -> None:
        self.ends[key] = (state, error)

    def states(self) -> list[str]:
        return [state for state, _ in self.ends.values()]


def never() -> bool:
    """A study without limits."""
    return False


def run_states(out: Path) -> dict[str, str]:
    """Run id → state, as the folders say."""
    return {path.parent.name: json.loads(path.read_text())["state"] for path in out.glob("runs/*/status.json")}
