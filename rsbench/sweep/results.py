"""What a study has come to and what it found, read from its trials and runs on disk."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from ..results.calls import ARGMAX
from ..results.rows import judgements
from ..results.run import Run
from .analysis import expected_best, importance
from .spec import Cell, SweepSpec, cells

if TYPE_CHECKING:  # both bring torch
    from .plan import PlannedRun
    from .trials import TrialStore

SHARED_OPTIONS = ("loss.scale", "loss.class_weights")  # of a loss's options, those that all losses are tuned in alike

BEST = ["cell", "method", "backbone", "trials", "stopped", "failed", "score", "trial_id", "params"]
TRIALS = ["cell", "trial_id", "state", "score", "params"]
IMPORTANCE = ["cell", "parameter", "importance", "chance", "reason"]
EXPECTED_BEST = ["cell", "trials", "score"]
MARGIN_RESPONSE = ["cell", "parameter", "value", "state", "score"]
RUNS = ["cell", "split", "selection", "score_mean", "score_sd", "n_ok", "n_planned"]


@dataclass(frozen=True)
class StudyResults:
    """What a study found, a frame for each question. Scores are in percent, at argmax.

    All but `runs` is about the search: its Scores are on validation clips, and it is empty where nothing is searched.

    best: a row per cell, in the grid's order: method and backbone (the words of the cell's name), how many trials it
        had and how many of them were stopped or failed, and Score, id and params (spec key → value) of the best one;
        NaN, "" and {} where none has a Score.
    trials: those that are over, of cells that the study has; a failed one has a NaN.
    importance: the columns of `analysis.importance` for each cell that had a trial.
    expected_best: expected best Score after 1…N trials, see `analysis.expected_best`; failed ones are left out.
    margin_response: a row per trial and own parameter of its loss, its margin among them.
    runs: TEST Scores, mean and sd (ddof 1) over seeds, of the grid's runs or of those that confirm a search; a cell
        of which no run is done has one row without a split.
    """

    best: pd.DataFrame
    trials: pd.DataFrame
    importance: pd.DataFrame
    expected_best: pd.DataFrame
    margin_response: pd.DataFrame
    runs: pd.DataFrame

    def scored(self, cell: str) -> pd.DataFrame:
        """The trials of a cell that have a Score."""
        return self.trials[(self.trials["cell"] == cell) & self.trials["score"].notna()]


def tried(trials: pd.DataFrame) -> pd.DataFrame:
    """The params of some trials: a row per trial, a column per spec key."""
    return pd.DataFrame(trials["params"].tolist(), index=trials.index)


def results(store: TrialStore, planned: Sequence[PlannedRun], runs: Path, sweep: SweepSpec) -> StudyResults:
    """What is known of a study so far.

    Args:
        store: its trials.
        planned: its runs: the grid's, or of a study that tunes those that confirm.
        runs: the folder that holds their folders.
        sweep: the study.

    Raises ResultsError for a damaged record.
    """
    searched = cells(sweep) if sweep.search else []
    trials = trial_frame(store, [cell.name for cell in searched])
    important, expected = [], []
    for name, mine in trials[trials["score"].notna()].groupby("cell", sort=False):
        scores = mine["score"].to_numpy()
        important.append(importance(tried(mine), scores).assign(cell=name))
        curve = expected_best(scores)
        expected.append(pd.DataFrame({"cell": name, "trials": range(1, len(curve) + 1), "score": curve}))
    return StudyResults(
        best=pd.DataFrame([best_of_cell(cell, trials, store) for cell in searched], columns=BEST),
        trials=trials,
        importance=_joined(important, IMPORTANCE),
        expected_best=_joined(expected, EXPECTED_BEST),
        margin_response=_margin_response(trials),
        runs=_runs(planned, runs),
    )


def trial_frame(store: TrialStore, names: Sequence[str]) -> pd.DataFrame:
    """The trials that are over, cells in this order."""
    over = [record for record in store.records() if record.finished and record.cell in names]
    over.sort(key=lambda record: names.index(record.cell))
    found = [(record.cell, record.trial_id, record.state, record.value, record.params) for record in over]
    return pd.DataFrame(found, columns=TRIALS).astype({"score": float})


def best_of_cell(cell: Cell, trials: pd.DataFrame, store: TrialStore) -> tuple[Any, ...]:
    """A row of BEST."""
    backbone = str(cell.settings.get("backbone.name", ""))
    method = " · ".join(word for word in cell.name.split(" · ") if word != backbone) or cell.name
    states = Counter(trials["state"][trials["cell"] == cell.name])
    counts = (states.total(), states["stopped"], states["failed"])
    best = store.best(cell.name)
    if best is None or best.value is None:
        return cell.name, method, backbone, *counts, math.nan, "", {}
    return cell.name, method, backbone, *counts, best.value, best.trial_id, best.params


def _joined(parts: Sequence[pd.DataFrame], columns: list[str]) -> pd.DataFrame:
    return pd.concat(parts, ignore_index=True)[columns] if parts else pd.DataFrame(columns=columns)


def _margin_response(trials: pd.DataFrame) -> pd.DataFrame:
    found = [
        (trial["cell"], key, value, trial["state"], trial["score"])
        for trial in trials.to_dict("records")
        for key, value in trial["params"].items()
        if key.startswith("loss.") and key not in SHARED_OPTIONS
    ]
    return pd.DataFrame(found, columns=MARGIN_RESPONSE)


def _runs(planned: Sequence[PlannedRun], runs: Path) -> pd.DataFrame:
    found: list[tuple[Any, ...]] = []
    for name in dict.fromkeys(run.cell for run in planned):
        mine = [run for run in planned if run.cell == name]
        done = [Run(runs / run.run_id) for run in mine if run.state == "done"]
        if not done:
            found.append((name, "", "", math.nan, math.nan, 0, len(mine)))
            continue
        spec = done[0].spec
        selection = spec.select[0]  # what the study's boards go by
        for split in spec.data.test:
            judged = [one.row for run in done for one in judgements(run, split, selection)]
            scores = pd.Series([row["score"] for row in judged if row["operating_point"] == ARGMAX], dtype=float)
            found.append((name, split, selection, scores.mean(), scores.std(), len(scores), len(mine)))
    return pd.DataFrame(found, columns=RUNS)
