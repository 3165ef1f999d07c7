"""What a study still has to do, said before anything starts: the state of every run is read from its folder."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from ..boards.claims import Question
from ..boards.leaderboard import leaderboard
from ..core.display import duration
from ..core.errors import RsbenchError, SpecError, shown
from ..data.splits import CLAIMS_FROM, Split
from ..data.tasks import NORMAL
from ..evaluation.patients import effective_number, shared_training
from ..evaluation.power import TYPICAL, Spread, smallest_difference
from ..evaluation.statistics import SEEDS_FOR_A_CLAIM, family
from ..experiment.build import build_model, clip_set, training_clips
from ..experiment.context import DataCache, RunContext, make_spec
from ..experiment.fit import estimate_seconds
from ..experiment.prepare import Experiment, prepare_experiment
from ..results.calls import OPERATING_POINTS
from ..results.run import Run, load_runs
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
class Power:
    """What a board can show of a study on one test split.

    patients: effective ones, of normal or of abnormal clips, whichever are fewer. others: methods beside the baseline.
    least: points of Score by which they must differ from it; None where nothing will get a verdict. runs: finished ones
    whose spread this was reckoned from; 0: that of a typical study.
    """

    patients: float
    seeds: int
    others: int
    least: float | None
    runs: int

    def in_words(self) -> str:
        if not self.others:
            return "one loss, so that there is nothing to compare"
        if self.patients < CLAIMS_FROM:
            return f"no verdict: {self.patients:.1f} effective patients, and it takes {CLAIMS_FROM}"
        if self.least is None:
            return f"no verdict: {self.seeds} seeds, and it takes {SEEDS_FOR_A_CLAIM}"
        source = f"as {self.runs} finished runs here differ" if self.runs else "as such runs typically differ"
        return (
            f"{self.seeds} seeds and {self.patients:.1f} effective patients can show differences of about "
            f"{self.least:.1f} points of Score among {self.others + 1} methods ({source})"
        )


@dataclass(frozen=True)
class StudyPlan:
    """The runs of a study, and what is known of their cost.

    seconds: of one run of each cell, measured where one has been done and estimated elsewhere; a cell of which
        nothing is known is left out. measured: whether all of them were measured.
    powers: test split → what a board of the study can show there.
    """

    runs: tuple[PlannedRun, ...]
    seconds: Mapping[str, float]
    measured: bool
    powers: Mapping[str, Power]

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
            at_once = min(at_once, len(rest))
            seconds = sum(self.seconds[run.cell] for run in rest) / at_once
            source = "measured" if self.measured else "estimated"
            text += f"; about {duration(seconds)} on this machine ({source}, {at_once} at a time)"
        return text

    def power_in_words(self) -> list[str]:
        """What boards of the study can show, a line per test split."""
        return [f"{split}: {power.in_words()}" for split, power in self.powers.items()]


def plan_runs(
    sweep: SweepSpec, cells: Sequence[Cell], seeds: Sequence[int], context: RunContext, data_cache: DataCache
) -> StudyPlan:
    """Every cell with every seed. Raises RsbenchError where one of them could not be run."""
    runs, losses, seconds, guessed = [], [], {}, False
    experiment: Experiment | None = None
    for cell in cells:
        of_cell = []
        for seed in seeds:
            settings = {**cell.settings, "seed": seed}
            try:
                spec = make_spec(settings, context, sweep.plugins)
            except SpecError as error:
                raise SpecError(f"study '{sweep.name}', {shown(cell.name)}: {error}") from None
            experiment = prepare_experiment(spec, data_cache)
            state = Run(runs_folder(context) / experiment.run_id).state
            of_cell.append(PlannedRun(cell.name, seed, experiment.run_id, state, settings))
        runs += of_cell
        assert experiment is not None
        losses.append(experiment.spec.loss.name)
        known = [Run(runs_folder(context) / run.run_id).cost.seconds for run in of_cell if run.state == "done"]
        guessed |= not known
        seconds[cell.name] = statistics.median(known) if known else _estimated(experiment, context)
    tests = experiment.tests if experiment else ()
    powers = {split.name: _power(split, experiment, losses, len(seeds), context) for split in tests if experiment}
    return StudyPlan(tuple(runs), seconds, not guessed, powers)


def runs_folder(context: RunContext) -> Path:
    return context.out / "runs"


def _estimated(experiment: Experiment, context: RunContext) -> float:
    model, _ = build_model(experiment)
    clips = {name: clip_set(of, experiment, context.device) for name, of in experiment.training.items()}
    return estimate_seconds(experiment, model.to(context.device), training_clips(experiment, clips))


def _power(split: Split, experiment: Experiment, losses: Sequence[str], seeds: int, context: RunContext) -> Power:
    clips = experiment.datasets[split.dataset].clips
    judged = clips[split.test_rows(clips)]
    by_patient = pd.crosstab(judged["patient"], judged["class_index"] != NORMAL)
    support = by_patient.reindex(columns=[False, True], fill_value=0).to_numpy(dtype=float)
    patients = min(effective_number(side) for side in support.T)
    others = sum(loss != losses[0] for loss in losses)
    if patients < CLAIMS_FROM or seeds < SEEDS_FOR_A_CLAIM or not others:
        return Power(patients, seeds, others, None, 0)
    measured, runs = _measured(split.name, losses[0], experiment.spec.select[0], context)
    boards, points = len(experiment.tests), len(OPERATING_POINTS)
    typical = replace(TYPICAL, patient=shared_training(split.folds) * TYPICAL.patient)
    least = smallest_difference(measured or typical, support, seeds, others * points, family(boards))
    return Power(patients, seeds, others, least, runs)


def _measured(split: str, baseline: str, rule: str, context: RunContext) -> tuple[Spread | None, int]:
    """The spread of differences from the baseline among finished runs, and how many these are."""
    try:
        board = leaderboard(load_runs(context.out), split, rule, question=Question(baseline))
    except RsbenchError:  # nothing is there yet, or what is there shares no board
        return None, 0
    return (board.paired.spread, len(board.runs["run_id"].unique())) if board.paired else (None, 0)
