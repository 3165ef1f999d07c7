"""What a model says of clips, recordings or patients, as a table."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from rich import box
from rich.markup import escape
from rich.table import Table

from ...results.trained_model import INTENDED_USE, TrainedModel

OPTIONAL = ("label", "patient", "quality_percentile")  # columns that are left out where they say nothing
HEADINGS = {"quality_percentile": "percentile"}
DIGITS = {"quality_percentile": 0}


def prediction_table(choice: TrainedModel, rows: pd.DataFrame, notes: Sequence[str]) -> Table:
    """The rows as people read them, under what they were made by. notes: how rows and quality came about."""
    table = Table(
        title=choice.describe(),
        title_justify="left",
        caption=" ".join(["p: probabilities at that operating point.", *notes, INTENDED_USE]),
        caption_justify="left",
        box=box.SIMPLE_HEAD,
    )
    shown = [name for name in map(str, rows) if name not in OPTIONAL or (rows[name].notna() & (rows[name] != "")).any()]
    for name in shown:
        words = rows[name].dtype.kind not in "fi"
        heading = HEADINGS.get(name, name.replace("p_", "p "))
        table.add_column(heading, justify="left" if words else "right", overflow="fold")
    for row in rows[shown].to_dict("records"):
        table.add_row(*(_cell(str(name), value) for name, value in row.items()))
    return table


def _cell(name: str, value: object) -> str:
    if isinstance(value, float):
        return f"{value:.{DIGITS.get(name, 3)}f}"
    return escape(str(value))
