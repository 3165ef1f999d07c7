"""Runs, a row per figure, in whatever state they are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
from rich import box
from rich.markup import escape
from rich.table import Table

from ...core.errors import ResultsError
from ...results.run import Run, as_written
from .board import MOST_ROWS
from .formats import Sheet

NAMES = ("run_id", "state", "loss", "backbone", "weights", "train", "seed")
FIGURES = {"rule": "selected", "split": "split", "at": "at", "epoch": "epoch", "sp": "Sp", "se": "Se", "score": "Score"}


def runs_sheet(runs: Sequence[Run]) -> Sheet:
    """NAMES and what `Run.table` has, a row per rule, split and operating point; without figures where not done.

    A damaged run has no row, and is named below; a folder without a record is no run.
    """
    rows: list[dict[str, Any]] = []
    damaged, protocols = [], set()
    for run in runs:
        try:
            with as_written(run):
                rows += _rows(run)
                protocols |= {run.spec.protocol} if run.state != "absent" else set()
        except ResultsError as error:
            damaged.append(f"left out: {error}")
    frame = pd.DataFrame(rows, columns=[*NAMES, *FIGURES])
    seeds = ", ".join(map(str, sorted(frame["seed"].unique())))
    splits = ", ".join(frame["split"].dropna().unique())
    caption = [
        f"{frame['run_id'].nunique()} runs",
        f"protocol {' and '.join(map(str, sorted(protocols)))}",
        f"judged on {splits}",
        f"seeds {seeds}",
        "always-normal scores 50",
        *damaged,
    ]
    return Sheet(_table(frame, damaged), frame, caption=caption)


def _rows(run: Run) -> list[dict[str, Any]]:
    if (state := run.state) == "absent":
        return []
    spec = run.spec
    about = {
        "run_id": run.run_id,
        "state": state,
        "loss": spec.loss.name,
        "backbone": spec.backbone.name,
        "weights": spec.backbone.weights,
        "train": spec.data.train,
        "seed": spec.seed,
    }
    figures = run.table().to_dict("records") if state == "done" else [{}]
    return [about | {str(key): value for key, value in row.items()} for row in figures]


def _table(frame: pd.DataFrame, damaged: Sequence[str]) -> Table:
    more = [f"{len(frame) - MOST_ROWS} more rows are in the frame"] if len(frame) > MOST_ROWS else []
    table = Table(
        title=f"{frame['run_id'].nunique()} runs; always-normal scores 50",
        title_justify="left",
        caption="\n".join([*more, *damaged]),
        caption_justify="left",
        box=box.SIMPLE_HEAD,
    )
    shown = [name for name in NAMES if name in ("run_id", "state", "loss", "seed") or frame[name].nunique() > 1]
    for name in shown:
        table.add_column(name, overflow="fold")
    for name, heading in FIGURES.items():
        table.add_column(heading, justify="left" if name in ("rule", "split", "at") else "right", no_wrap=True)
    for row in frame.head(MOST_ROWS).to_dict("records"):
        table.add_row(*(escape(str(row[name])) for name in shown), *(escape(_cell(row[name])) for name in FIGURES))
    return table


def _cell(value: Any) -> str:
    if pd.isna(value):
        return "–"
    return value if isinstance(value, str) else f"{value:.1f}" if isinstance(value, float) else str(value)
