"""What a study has come to and what it found, read from its trials and runs on disk."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from rich import box
from rich.table import Table

from ..evaluation.selection import rule
from ..results.schema import judgements
from ..results.store import RunFolder
from .analysis import SHUFFLES, FloatArray, expected_best, importance, last_quarter_gain
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
    trials = _trials(store, [cell.name for cell in searched])
    important, expected = [], []
    for name, mine in trials[trials["score"].notna()].groupby("cell", sort=False):
        scores = mine["score"].to_numpy()
        important.append(importance(tried(mine), scores).assign(cell=name))
        curve = expected_best(scores)
        expected.append(pd.DataFrame({"cell": name, "trials": range(1, len(curve) + 1), "score": curve}))
    return StudyResults(
        best=pd.DataFrame([_best(cell, trials, store) for cell in searched], columns=BEST),
        trials=trials,
        importance=_joined(important, IMPORTANCE),
        expected_best=_joined(expected, EXPECTED_BEST),
        margin_response=_margin_response(trials),
        runs=_runs(planned, runs),
    )


def _trials(store: TrialStore, names: Sequence[str]) -> pd.DataFrame:
    """The trials that are over, cells in this order."""
    over = [record for record in store.records() if record.finished and record.cell in names]
    over.sort(key=lambda record: names.index(record.cell))
    found = [(record.cell, record.trial_id, record.state, record.value, record.params) for record in over]
    return pd.DataFrame(found, columns=TRIALS).astype({"score": float})


def _best(cell: Cell, trials: pd.DataFrame, store: TrialStore) -> tuple[Any, ...]:
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
        done = [RunFolder(runs / run.run_id) for run in mine if run.state == "done"]
        if not done:
            found.append((name, "", "", math.nan, math.nan, 0, len(mine)))
            continue
        spec = done[0].read_json("spec.json")
        selection = spec["select"][0]  # what the study's boards go by
        for split in spec["data"]["test"]:
            judged = [one.row for folder in done for one in judgements(folder, split, selection)]
            scores = pd.Series([row["score"] for row in judged if row["operating_point"] == "argmax"], dtype=float)
            found.append((name, split, selection, scores.mean(), scores.std(), len(scores), len(mine)))
    return pd.DataFrame(found, columns=RUNS)


def status(sweep: SweepSpec, grid: Sequence[Cell], store: TrialStore, planned: Sequence[PlannedRun]) -> Table:
    """A row per cell: trials done of those planned, the best validation Score so far, and its runs by state."""
    table = _table(f"{sweep.name}: {sweep.purpose.strip()}", "cell")
    trials = _trials(store, [cell.name for cell in grid])
    if sweep.search:
        for heading in ("trials", "stopped", "failed", "best validation Score"):
            table.add_column(heading, justify="right")
    table.add_column("runs")
    for cell in grid:
        words = [cell.name]
        if sweep.search:
            row = dict(zip(BEST, _best(cell, trials, store), strict=True))
            counts = (f"{row['trials']}/{sweep.search.trials}", row["stopped"] or "–", row["failed"] or "–")
            words += [*map(str, counts), _points(row["score"])]
        table.add_row(*words, _states([run.state for run in planned if run.cell == cell.name]))
    return table


def _states(states: Sequence[str]) -> str:
    """`3 done, 1 failed, 6 to go`."""
    counts = Counter(state if state in ("done", "failed") else "to go" for state in states)
    return ", ".join(f"{counts[state]} {state}" for state in ("done", "failed", "to go") if counts[state]) or "–"


def render(found: StudyResults) -> list[Table]:
    """The frames as tables with headings and captions; those that have nothing to say are left out."""
    tables = [(found.best, _best_table), (found.importance, _importance_table), (found.expected_best, _budget_table)]
    drawn = [draw(found) for frame, draw in tables if len(frame)]
    return [*drawn, *([_runs_table(found)] if len(found.runs) else [])]


def _best_table(found: StudyResults) -> Table:
    caption = "Chosen on validation clips, never on test. The best of many is flattered: the fresh seeds below are not."
    table = _table("Best trial of each cell", "cell", "hyper-parameters", caption=caption)
    for heading in ("validation Score", "trials", "stopped", "failed"):
        table.add_column(heading, justify="right")
    for row in found.best.to_dict("records"):
        params = ", ".join(f"{key} {_value(value)}" for key, value in row["params"].items()) or "–"
        counts = (str(row[key]) for key in ("trials", "stopped", "failed"))
        table.add_row(row["cell"], params, _points(row["score"]), *counts)
    return table


def _importance_table(found: StudyResults) -> Table:
    caption = (
        "Share of the validation Score's variance that a parameter accounts for alone (fANOVA), over what was tried.\n"
        f"Chance: the most that any parameter got in {SHUFFLES} shuffles of the Scores; less than that shows nothing."
    )
    table = _table("What mattered", "cell", "parameter", caption=caption)
    table.add_column("importance", justify="right")
    table.add_column("chance", justify="right")
    table.add_column("")
    for _, mine in found.importance.groupby("cell", sort=False):
        for row in mine.sort_values("importance", ascending=False, kind="stable").to_dict("records"):
            known = not math.isnan(row["importance"])
            shares = [f"{row[key]:.2f}" if known else "–" for key in ("importance", "chance")]
            verdict = "beyond chance" if row["importance"] > row["chance"] else row["reason"]
            table.add_row(row["cell"], row["parameter"], *shares, verdict)
        table.add_section()
    return table


def _budget_table(found: StudyResults) -> Table:
    caption = (
        "Expected best validation Score of n trials drawn at random from those of the cell (Dodge et al. 2019); failed "
        "ones are left out.\nA last quarter that still adds much says that more trials would find more."
    )
    table = _table("Was the budget enough?", "cell", caption=caption)
    for heading in ("after 1 trial", "a quarter", "half", "all"):
        table.add_column(heading, justify="right")
    table.add_column("")
    for name, mine in found.expected_best.groupby("cell", sort=False):
        curve = mine["score"].to_numpy()
        size = len(curve)
        points = (curve[0], curve[math.ceil(size / 4) - 1], curve[math.ceil(size / 2) - 1], curve[-1])
        table.add_row(str(name), *map(_points, points), budget_in_words(curve))
    return table


def budget_in_words(curve: FloatArray) -> str:
    """One sentence on whether more trials would find more, from `analysis.expected_best`."""
    gain = last_quarter_gain(curve)
    if math.isnan(gain):
        return f"{len(curve)} finished trials are too few to say."
    return f"The last quarter ({len(curve) // 4} of {len(curve)} trials) was worth {gain:.2f} points."


def _runs_table(found: StudyResults) -> Table:
    searched = len(found.best) > 0
    title = "The best of each cell on fresh seeds" if searched else "The runs of the grid"
    caption = "Mean ± sd over seeds of the Score on TEST clips, at argmax."
    table = _table(title, "cell", "split", "selected", caption=caption)
    for heading in ("Score", "seeds"):
        table.add_column(heading, justify="right")
    for row in found.runs.to_dict("records"):
        spread = "" if math.isnan(row["score_sd"]) else f" ± {row['score_sd']:.1f}"
        table.add_row(
            row["cell"],
            row["split"] or "–",
            _selected(row["selection"]),
            _points(row["score_mean"]) + spread,
            f"{row['n_ok']}/{row['n_planned']}",
        )
    return table


def _selected(selection: str) -> str:
    if not selection:
        return "–"
    return "ORACLE (on test)" if rule(selection).judged_on == "test" else selection


def _table(title: str, *headings: str, caption: str = "") -> Table:
    table = Table(title=title, title_justify="left", caption=caption, caption_justify="left", box=box.SIMPLE_HEAD)
    for heading in headings:
        table.add_column(heading, overflow="fold")
    return table


def _points(score: float) -> str:
    return "–" if math.isnan(score) else f"{score:.1f}"


def _value(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
