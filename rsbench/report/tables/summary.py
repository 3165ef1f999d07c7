"""One difference per loss over all backbones and splits, as a table."""

from __future__ import annotations

import pandas as pd
from rich import box
from rich.table import Table

from ...boards.leaderboard import POINT


def summary_table(summary: pd.DataFrame, baseline: str) -> Table:
    """The summary, a row per loss and operating point."""
    table = Table(
        title=f"Δ of the Score from {baseline}, over backbones and splits: random effects",
        title_justify="left",
        caption="Paule–Mandel's τ (points of Score), Hartung–Knapp's 95 % interval; splits of one run share its luck",
        caption_justify="left",
        box=box.SIMPLE_HEAD,
    )
    for heading in ("loss", "at"):
        table.add_column(heading)
    for heading in ("Δ", "95 %", "τ", "studies"):
        table.add_column(heading, justify="right")
    for row in summary.to_dict("records"):
        interval = f"{row['low']:+z.1f} … {row['high']:+z.1f}"
        table.add_row(
            row["loss"], row[POINT], f"{row['mean']:+z.1f}", interval, f"{row['tau']:.1f}", str(row["studies"])
        )
    return table
