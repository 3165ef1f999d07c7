"""One difference per loss over all backbones and splits, as a table."""

from __future__ import annotations

import pandas as pd
from rich import box
from rich.markup import escape
from rich.table import Table

from ...boards.claims import Question
from ...boards.leaderboard import POINT


def summary_table(summary: pd.DataFrame, question: Question) -> Table:
    """The summary, a row per loss and operating point."""
    claim = question.claim
    table = Table(
        title=f"Δ of the {claim.heading} from {question.baseline}, over backbones and splits: random effects",
        title_justify="left",
        caption="τ: Paule–Mandel; 95 %: Hartung–Knapp, with the errors that studies of the same patients share",
        caption_justify="left",
        box=box.SIMPLE_HEAD,
    )
    for heading in ("loss", "at"):
        table.add_column(heading)
    for heading in ("Δ", "95 %", "τ", "studies"):
        table.add_column(heading, justify="right")
    for row in summary.to_dict("records"):
        interval = " … ".join(f"{row[end]:+z.{claim.digits}f}" for end in ("low", "high"))
        table.add_row(
            escape(row["loss"]),
            row[POINT],
            f"{row['mean']:+z.{claim.digits}f}",
            interval,
            f"{row['tau']:.{claim.digits}f}",
            str(row["studies"]),
        )
    return table
