"""A board by device, class, patient, site, quality or length, as a table."""

from __future__ import annotations

import pandas as pd
from rich import box
from rich.markup import escape
from rich.table import Table

from ...boards.columns import mean_sd
from ...boards.slices import FIGURES
from ...core.errors import SpecError, did_you_mean
from ...data.splits import CLAIMS_FROM


def slice_table(frame: pd.DataFrame, title: str, by: str, figure: str | None = None) -> Table:
    """Slices down, methods across.

    Args:
        frame: from `by_method`.
        title: what the table is of: split, rule, operating point.
        by: the kind of slice.
        figure: one of FIGURES; the default is Score, and accuracy where few slices have both normal and abnormal
            clips (class, patient).

    Raises SpecError for another figure.
    """
    shown = figure or ("accuracy" if by in ("class", "patient") else "score")
    if shown not in FIGURES:
        raise SpecError(f"There is no figure '{shown}' of slices.{did_you_mean(shown, FIGURES)}")
    heading = "recall" if (by, shown) == ("class", "accuracy") else FIGURES[shown]
    few = frame["effective_patients"] < CLAIMS_FROM
    caption = f"* fewer than {CLAIMS_FROM} effective patients (Kish) behind it: nothing can be claimed on it"
    table = Table(
        title=f"{title}\n{heading} by {by}, {_seeds(frame['n'])}",
        title_justify="left",
        caption=caption if few.any() else None,
        caption_justify="left",
        box=box.SIMPLE_HEAD,
    )
    table.add_column(by, overflow="fold")
    methods = list(dict.fromkeys(frame["method"]))
    for name in ("clips", "patients", "effective", *map(escape, methods)):
        table.add_column(name, justify="right")
    cells = [mean_sd(mean, sd, 1) for mean, sd in zip(frame[f"{shown}_mean"], frame[f"{shown}_sd"], strict=True)]
    by_slice = frame.assign(cell=cells).pivot(index="slice", columns="method", values="cell").fillna("–")
    for row in frame.assign(few=few).drop_duplicates("slice").to_dict("records"):
        starred = f"{row['slice']}{' *' if row['few'] else ''}"
        behind = (str(row["clips"]), str(row["patients"]), f"{row['effective_patients']:.1f}")
        table.add_row(escape(starred), *behind, *by_slice.loc[row["slice"], methods])
    return table


def _seeds(counts: pd.Series) -> str:
    if counts.max() == 1:
        return "one seed"
    span = f"{counts.max()}" if counts.nunique() == 1 else f"{counts.min()} to {counts.max()}"
    return f"mean ± sd over {span} seeds"
