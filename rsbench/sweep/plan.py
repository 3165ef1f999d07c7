"""What a study still has to do, said before anything starts: the state of every run is read from its folder."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..core.display import duration
from ..data.clips import NORMAL
from ..evaluation.patients import effective_number
from ..evaluation.statistics import smallest_difference
from ..experiment.build import build_model, clip_set
from ..experiment.context import DataCache, RunContext, make_spec
from ..experiment.fit import estimate_seconds
from ..experiment.prepare import Experiment, prepare_experiment
from ..results.run import Run
from .spec import Cell, SweepSpec

TO_GO = ("absent", "running", "interrupted")  # one that says "running" with nobody at work was killed


@dataclass(frozen=True)
class PlannedRun:
    """A run of a study. state: as its folder says, "absent" where there is none."""

    cell: str
    seed: int
    run_id: str
    state: str
    settings: dict[str, Any]


@dataclass(frozen=True)
class StudyPlan:
    """The runs of a study, and what is known of their cost.

    seconds: of one run of each cell, measured where one has been done and estimated elsewhere; a cell of which
        nothing is known is left out. measured: whether all of them were measured.
    differences: test split → points of Score that this many seeds and its patients can show.
    """

    runs: tuple[PlannedRun, ...]
    seconds: Mapping[str, float]
    measured: bool
    differences: Mapping[str, float]

    def to_go(self, *, retry_failed: bool) -> list[PlannedRun]:
        states = (*TO_GO, "failed") if retry_failed else TO_GO
        return [run for run in self.runs if run.state in states]

    def in_words(self, at_once: int, *, retry_failed: bool) -> str:
        """`120 runs: 80 done, 3 failed, 37 to go; about 2 h 10 min on this machine`."""
        counts = Counter("to go" if run.state in TO_GO else run.state for run in self.runs)
        states = ", ".join(f"{counts[state]} {state}" for state in ("done", "failed", "to go") if counts[state])
        rest = self.to_go(retry_failed=retry_failed)
        text = f"{len(self.runs)} runs: {states}"
        if rest:
            seconds = sum(self.seconds[run.cell] for run in rest) / at_once
            source = "measured" if self.measured else "estimated"
            text += f"; about {duration(seconds)} on this machine ({source}, {at_once} at a time)"
        return text

    def power_in_words(self) -> list[str]:
        """What the study can show at best, a line per test split."""
        seeds = len({run.seed for run in self.runs})
        return [
            f"{split}: {seeds} seeds and its patients can show differences of about {points:.1f} points of Score"
            for split, points in self.differences.items()
        ]


def plan_runs(
    sweep: SweepSpec, cells: Sequence[Cell], seeds: Sequence[int], context: RunContext, data_cache: DataCache
) -> StudyPlan:
    """Every cell with every seed. Raises RsbenchError where one of them could not be run."""
    runs, seconds, guessed = [], {}, False
    experiment: Experiment | None = None
    for cell in cells:
        of_cell = []
        for seed in seeds:
            settings = {**cell.settings, "seed": seed}
            experiment = prepare_experiment(make_spec(settings, context, sweep.plugins), data_cache)
            state = Run(runs_folder(context) / experiment.run_id).state
            of_cell.append(PlannedRun(cell.name, seed, experiment.run_id, state, settings))
        runs += of_cell
        known = [Run(runs_folder(context) / run.run_id).cost.seconds for run in of_cell if run.state == "done"]
        guessed |= not known
        assert experiment is not None
        seconds[cell.name] = statistics.median(known) if known else _estimated(experiment, context)
    differences = _differences(experiment, len(seeds)) if experiment else {}
    return StudyPlan(tuple(runs), seconds, not guessed, differences)


def runs_folder(context: RunContext) -> Path:
    return context.out / "runs"


def _estimated(experiment: Experiment, context: RunContext) -> float:
    model, _ = build_model(experiment)
    clips = clip_set(experiment.train_data, experiment, context.device)
    return estimate_seconds(experiment, model.to(context.device), clips)


def _differences(experiment: Experiment, seeds: int) -> dict[str, float]:
    found = {}
    for split in experiment.tests:
        clips = experiment.datasets[split.dataset].clips
        judged = clips[split.test_rows(clips)]
        abnormal = judged["class_index"] != NORMAL
        normal, other = (effective_number(judged["patient"][side].value_counts()) for side in (~abnormal, abnormal))
        if normal and other:
            found[split.name] = smallest_difference(seeds, normal, other)
    return found
