"""Boards as people read them in a terminal."""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from rich import box
from rich.table import Table

from ..evaluation.selection import rule
from ..results.schema import OPERATING_POINTS
from .leaderboard import FIGURES, Board

HEADINGS = {
    "operating_point": "at",
    "sp": "Sp",
    "se": "Se",
    "score": "Score",
    "inflation": "oracle − val",
    "se_two_class": "Se (two-class)",
    "auroc_abnormal": "AUROC",
    "auprc_abnormal": "AUPRC",
    "macro_f1": "macro-F1",
}
RUN_FIGURES = ("sp", "se", "score", "auroc_abnormal")


def run_table(metrics: Mapping[str, Sequence[Mapping[str, Any]]], tests: Sequence[str], select: Sequence[str]) -> Table:
    """Sp, Se and Score of some methods, mean ± sd over their seeds, per rule, split and operating point.

    Args:
        metrics: method → one seed's metrics each, rule → split → figures.
        tests: splits, in distribution first.
        select: selection rules.
    """
    counts = sorted({len(runs) for runs in metrics.values()})
    seeds = "one seed" if counts == [1] else f"mean ± sd over {' to '.join(map(str, counts))} seeds"
    table = Table(title=f"{seeds}; always-normal scores 50", title_justify="left", box=box.SIMPLE_HEAD)
    words = ("selected", "split", "at", "loss")
    for heading in (*words, *(HEADINGS[name] for name in RUN_FIGURES)):
        table.add_column(heading, no_wrap=True, justify="left" if heading in words else "right")
    for name, split, point in itertools.product(select, tests, OPERATING_POINTS):
        label = "ORACLE (on test)" if rule(name).judged_on == "test" else name
        for method, runs in metrics.items():
            judged = [run[name][split] for run in runs]
            figures = [of_run[point] | of_run["threshold_free"] for of_run in judged if point in of_run]
            if figures:
                cells = (_mean_sd(key, [row[key] for row in figures]) for key in RUN_FIGURES)
                table.add_row(label, split, point, method, *cells)
        if (split, point) == (tests[-1], OPERATING_POINTS[-1]):
            table.add_section()
    return table


def board_table(board: Board) -> Table:
    """A leaderboard with its rule, its split and what all rows share in the title."""
    shared = ", ".join(f"{name} {_short(value)}" for name, value in board.shared.items())
    title = f"{board.split} — {board.header}\n{shared}"
    table = Table(
        title=title, title_justify="left", caption=_caption(board), caption_justify="left", box=box.SIMPLE_HEAD
    )
    keys = [
        name
        for name in board.table.columns
        if not name.endswith(("_mean", "_sd")) and name not in ("n_ok", "n_planned")
    ]
    for name in keys:
        table.add_column(HEADINGS.get(name, name), overflow="fold")
    figures = [name for name in FIGURES if f"{name}_mean" in board.table]
    for name in figures:
        table.add_column(HEADINGS[name], no_wrap=True, justify="right")
    table.add_column("seeds", justify="right")
    for row in board.table.to_dict("records"):
        cells = (_with_sd(name, row[f"{name}_mean"], row[f"{name}_sd"]) for name in figures)
        table.add_row(*(_short(row[name]) for name in keys), *cells, f"{row['n_ok']}/{row['n_planned']}")
    return table


def _caption(board: Board) -> str:
    unfinished = [f"{state}: {run_id}" for run_id, state in board.unfinished.items()]
    return "\n".join([*board.warnings, *unfinished])


def _short(value: Any) -> str:
    text = f"{value:g}" if isinstance(value, float) else str(value)
    is_hash = len(text) == 64 and all(letter in "0123456789abcdef" for letter in text)
    return text[:8] if is_hash else text


def _mean_sd(figure: str, values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    if not known:
        return "–"
    return _with_sd(figure, statistics.fmean(known), statistics.stdev(known) if len(known) > 1 else None)


def _with_sd(figure: str, mean: float, sd: float | None) -> str:
    if pd.isna(mean):
        return "–"
    digits = 3 if figure.startswith("au") else 1  # areas under curves are shares, the others percentages
    text = f"{mean:.{digits}f}"
    return text if sd is None or math.isnan(sd) else f"{text} ± {sd:.{digits}f}"
