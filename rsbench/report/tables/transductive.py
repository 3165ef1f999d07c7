"""The transductive board as a table."""

from __future__ import annotations

import pandas as pd
from rich import box
from rich.markup import escape
from rich.table import Table

from ...boards.columns import mean_sd
from ...boards.transductive import Transductive
from ...evaluation.transduction import BY_TEST_CLIPS, ORACLE, POINTS
from .board import shared_in_words


def transductive_table(found: Transductive) -> Table:
    """A row per method and operating point, and below what each point is."""
    table = Table(
        title=f"{found.split} — TRANSDUCTIVE: calls that look at the test clips as a whole, though not at their labels"
        f"\n{found.header}\nall rows: {shared_in_words(found.shared)}",
        title_justify="left",
        caption="\n".join(_caption(found)),
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )
    for heading in ("method", "point"):
        table.add_column(heading)
    for heading in ("Score", "95 %", "Δ", "95 % of Δ", "n", "Sp", "Se", "called\nnormal"):
        table.add_column(heading, justify="right")
    before = None
    for row in found.table.to_dict("records"):
        table.add_row(
            escape(row["method"]) if row["method"] != before else "",
            f"[bold]{ORACLE}[/bold]" if row["point"] == ORACLE else row["point"],
            mean_sd(row["score_mean"], row["score_sd"], 1),
            _interval(row["low"], row["high"], ".1f"),
            "–" if pd.isna(row["delta"]) else f"{row['delta']:+z.1f}",
            _interval(row["delta_low"], row["delta_high"], "+z.1f"),
            str(row["n_ok"]),
            f"{row['sp_mean']:.1f}",
            f"{row['se_mean']:.1f}",
            f"{row['called_normal']:.0f} %",
            end_section=row["point"] == ORACLE,
        )
        before = row["method"]
    return table


def _caption(found: Transductive) -> list[str]:
    return [
        f"Not to be set beside other boards: {', '.join(BY_TEST_CLIPS)} need all test clips at once",
        "mean ± sd over seeds; 95 % over new patients and seeds, for these test clips as a whole",
        "Δ: Score beyond val-bias, paired; its intervals hold for all points of a method together",
        *(f"{name}: {summary}" for name, summary in POINTS.items()),
        *found.warnings,
    ]


def _interval(low: float, high: float, form: str) -> str:
    return "–" if pd.isna(low) else f"{low:{form}} … {high:{form}}"
