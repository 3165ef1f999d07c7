"""What a model says of clips, as a table."""

from __future__ import annotations

import pandas as pd
from rich import box
from rich.markup import escape
from rich.table import Table

from ...inference.prediction import columns_of
from ...results.trained_model import INTENDED_USE, TrainedModel


def prediction_table(choice: TrainedModel, rows: pd.DataFrame) -> Table:
    """The rows as people read them, under what they were made by."""
    index = choice.run.spec.quality.name
    table = Table(
        title=choice.describe(),
        title_justify="left",
        caption=f"p: probabilities at that operating point. quality: {index}, 0 to 1. {INTENDED_USE}",
        caption_justify="left",
        box=box.SIMPLE_HEAD,
    )
    shown = [name for name in columns_of(choice.run.task) if name != "label" or rows["label"].any()]
    for name in shown:
        words = rows[name].dtype.kind not in "fi"
        table.add_column(name.replace("p_", "p "), justify="left" if words else "right", overflow="fold")
    for row in rows[shown].to_dict("records"):
        table.add_row(*(escape(value) if isinstance(value, str) else f"{value:.3f}" for value in row.values()))
    return table
