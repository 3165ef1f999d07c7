"""What fits into a terminal of 80 columns: narrow tables, and curves in one line."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rich import box
from rich.table import Table

BARS = "▁▂▃▄▅▆▇█"
GAP = " "  # where there is no value
WIDTH = 60  # characters at most


def narrow_table(title: str, headings: Sequence[str], words: int) -> Table:
    """An empty table; its first columns, so many, are words and the others numbers. Only without headings it folds."""
    table = Table(
        title=title,
        title_justify="left",
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
        show_header=any(headings),
    )
    for number, heading in enumerate(headings):
        table.add_column(heading, justify="left" if number < words else "right", no_wrap=any(headings), overflow="fold")
    return table


def sparkline(values: Sequence[float | None], epochs: int) -> str:
    """A bar per epoch, from the lowest value to the highest; of more than WIDTH epochs one per stretch, their mean.

    Args:
        values: one per epoch from the first on; None and NaN leave a gap.
        epochs: what the width stands for, at least as many as there are values.
    """
    stretches: dict[int, list[float]] = {}
    for epoch, value in enumerate(values, start=1):
        known = stretches.setdefault(column(epoch, epochs), [])
        if value is not None and not math.isnan(value):
            known.append(value)
    means = [sum(known) / len(known) if known else None for known in stretches.values()]
    heights = [mean for mean in means if mean is not None]
    if not heights:
        return GAP * len(means)
    low, span = min(heights), (max(heights) - min(heights)) or 1.0
    steps = len(BARS) - 1
    return "".join(GAP if mean is None else BARS[round(steps * (mean - low) / span)] for mean in means)


def column(epoch: int, epochs: int) -> int:
    """The place of an epoch, counted from 1, in a sparkline of so many."""
    return (epoch - 1) * min(epochs, WIDTH) // epochs
