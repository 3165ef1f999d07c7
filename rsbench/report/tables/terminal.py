"""What fits into a terminal: narrow tables, tables made to fit, and curves in one line."""

from __future__ import annotations

import copy
import math
import textwrap
from collections.abc import Sequence
from typing import Any

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.errors import MarkupError
from rich.markup import render
from rich.table import Column, Table

from ...core.text import visible

BARS = "▁▂▃▄▅▆▇█"
GAP = " "  # where there is no value
WIDTH = 60  # characters at most
LONGEST_WORD = 24  # letters that are kept together; no number has as many


def plain(content: Any) -> str:
    """What a cell says, without the markup of terminals."""
    try:
        return visible(render(str(content)).plain)
    except MarkupError:
        return visible(str(content))


def fitted(table: Table, width: int, names: int = 1, first: Sequence[str] = ()) -> tuple[Table, list[str]]:
    """The table in lines of so many letters at most, and the headings of the columns that are left out for that.

    Columns of words (those justified to the left), and headings, are wrapped between words. Where that is not enough,
    whole columns go, from the right; no number is cut or broken.

    Args:
        table: what to fit.
        width: letters of a line. A table that is wider than that with nothing but its names stays wider.
        names: how many of the first columns name a row, and stay.
        first: headings of the columns that go last, the most important one first.
    """
    if _taken([_widest(column) for column in table.columns], table) <= width:
        return table, []
    said = [" ".join(plain(column.header).split()) for column in table.columns]
    least = [_narrowest(column) for column in table.columns]
    kept = list(range(len(said)))
    important = [said.index(name) for name in first if name in said]
    expendable = [*important, *(place for place in kept[names:] if place not in important)]
    while expendable and _taken([least[place] for place in kept], table) > width:
        kept.remove(expendable.pop())
    widths = [_widest(table.columns[place]) for place in kept]
    while _taken(widths, table) > width:
        reducible = [number for number, place in enumerate(kept) if widths[number] > least[place]]
        if not reducible:
            break
        widths[max(reducible, key=widths.__getitem__)] -= 1
    return _rebuilt(table, kept, widths), [name for place, name in enumerate(said) if place not in kept]


def print_table(table: Table, console: Console) -> None:
    """A table between its title and its caption, wrapped between words; what does not fit is left out by name."""
    shown, left_out = fitted(table, console.width)
    shown = copy.copy(shown)
    shown.title = shown.caption = None
    if table.title:
        _print_lines(str(table.title), console)
    console.print(shown, crop=False)
    if left_out:
        _print_lines(left_out_in_words(left_out, table, console.width), console)
    if table.caption:
        _print_lines(str(table.caption), console)
    if left_out or table.caption:
        console.print()


def _print_lines(said: str, console: Console) -> None:
    """Text in lines that are wrapped between words; a word that is longer than a line, a path say, stays whole."""
    for line in said.splitlines():
        wrapped = textwrap.fill(line, console.width, break_long_words=False, break_on_hyphens=False)
        console.print(wrapped, markup=False, no_wrap=True, overflow="ignore", crop=False)


def left_out_in_words(names: Sequence[str], table: Table, width: int) -> str:
    """What stands below a table of which some columns, by their headings, are left out at a width."""
    needed = _taken([_widest(column) for column in table.columns], table)
    return f"left out at {width} columns: {', '.join(names)} (COLUMNS={needed} shows them)"


def _taken(widths: Sequence[int], table: Table) -> int:
    """Letters of a line with columns of these widths."""
    _, right, _, left = table.padding
    padding = (left + right) * len(widths) - (0 if table.pad_edge else left + right)
    return sum(widths) + padding + (0 if table.box is None else len(widths) - 1 + 2 * table.show_edge)


def _lines(column: Column, *, header: bool) -> list[str]:
    return [line for cell in ([column.header] if header else column.cells) for line in plain(cell).splitlines()]


def _widest(column: Column) -> int:
    return max(map(cell_len, [*_lines(column, header=True), *_lines(column, header=False)]), default=0)


def _narrowest(column: Column) -> int:
    """The width down to which a column can be wrapped: between words; numbers stand in one line."""
    cells = _lines(column, header=False)
    numbers = cells if column.justify == "right" else []
    words = [word for line in [*_lines(column, header=True), *([] if numbers else cells)] for word in line.split()]
    return max([*map(cell_len, numbers), *(min(cell_len(word), LONGEST_WORD) for word in words)], default=0)


def _rebuilt(table: Table, kept: Sequence[int], widths: Sequence[int]) -> Table:
    """The table with some of its columns, each of a given width."""
    made = Table(
        box=table.box,
        title=table.title,
        caption=table.caption,
        title_justify=table.title_justify,
        caption_justify=table.caption_justify,
        padding=table.padding,
        pad_edge=table.pad_edge,
        show_edge=table.show_edge,
        show_header=table.show_header,
        show_lines=table.show_lines,
        width=_taken(widths, table),
    )
    for place, width in zip(kept, widths, strict=True):
        column = table.columns[place]
        made.add_column(column.header, justify=column.justify, overflow="fold", width=width)
    for row, cells in zip(table.rows, zip(*(table.columns[place].cells for place in kept), strict=True), strict=True):
        made.add_row(*cells, style=row.style, end_section=row.end_section)
    return made


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
