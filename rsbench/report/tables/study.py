"""What a study found, and what is to go, as tables."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rich import box
from rich.table import Table

from ...evaluation.selection import rule
from ...sweep.analysis import SHUFFLES, FloatArray, last_quarter_gain
from ...sweep.results import BEST, StudyResults, best_of_cell, trial_frame
from ...sweep.spec import Cell, SweepSpec

if TYPE_CHECKING:  # which import torch
    from ...sweep.plan import PlannedRun
    from ...sweep.trials import TrialStore


def status(sweep: SweepSpec, grid: Sequence[Cell], store: TrialStore, planned: Sequence[PlannedRun]) -> Table:
    """A row per cell: trials done of those planned, the best validation Score so far, and its runs by state."""
    table = _table(f"{sweep.name}: {sweep.purpose.strip()}", "cell")
    trials = trial_frame(store, [cell.name for cell in grid])
    if sweep.search:
        for heading in ("trials", "stopped", "failed", "best validation Score"):
            table.add_column(heading, justify="right")
    table.add_column("runs")
    for cell in grid:
        words = [cell.name]
        if sweep.search:
            row = dict(zip(BEST, best_of_cell(cell, trials, store), strict=True))
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
