"""A search that was never run: a study, and records of trials whose Scores follow a known rule."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rsbench.sweep.plan import PlannedRun
from rsbench.sweep.results import StudyResults, results
from rsbench.sweep.spec import SweepSpec, cells
from rsbench.sweep.trials import TrialRecord, TrialState, TrialStore

LR = {"low": 1e-5, "high": 1e-2, "log": True}


def searched_study(losses: Sequence[str] = ("ce", "qlung"), backbones: Sequence[str] = ("tiny",)) -> SweepSpec:
    content = {
        "name": "searched",
        "purpose": "which learning rate",
        "grid": {"loss": list(losses), "backbone": list(backbones)},
        "track": "tuned",
        "search": {"trials": 12, "space": {"optim.lr": LR, "loss.class_weights": ["none", "inverse"]}},
        "confirm": {"seeds": "0-1"},
    }
    return SweepSpec.model_validate(content)


def write_trials(store: TrialStore, cell: str, count: int, *, margin: bool = True, **given: Any) -> list[TrialRecord]:
    """`count` trials of a cell, their Scores highest at a learning rate of 10⁻³·²."""
    generator = np.random.default_rng(len(cell))
    return [write_trial(store, cell, index, _params(generator, margin) | given) for index in range(count)]


def _params(generator: np.random.Generator, margin: bool) -> dict[str, Any]:
    params = {
        "optim.lr": float(10 ** generator.uniform(-5, -2)),
        "loss.class_weights": str(generator.choice(["none", "inverse"])),
    }
    own = {"loss.kappa_rad": float(generator.uniform(0, 1)), "loss.cut": bool(generator.random() < 0.5)}
    return params | own if margin else params


def write_trial(
    store: TrialStore, cell: str, index: int, params: dict[str, Any], state: TrialState = "done"
) -> TrialRecord:
    """One trial; a failed one has no Score."""
    score = 60 - 6 * (np.log10(params["optim.lr"]) + 3.2) ** 2
    value = None if state == "failed" else float(score)
    scores = () if value is None else (value,)
    trial_id = f"{cell.replace(' · ', '_')}-{index:010x}"
    record = TrialRecord(trial_id, cell, params, state, scores, value, 1.0, "RunFailed" if state == "failed" else "")
    store.write(record)
    return record


def found(sweep: SweepSpec, store: TrialStore, planned: Sequence[PlannedRun] = (), runs: Path = Path()) -> StudyResults:
    return results(store, planned, runs, sweep)


def cell_names(sweep: SweepSpec) -> list[str]:
    return [cell.name for cell in cells(sweep)]
