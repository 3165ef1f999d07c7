"""Tables of a page, and a board as one of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ...boards.columns import columns_of
from ...boards.leaderboard import Board
from ..tables.board import caption_of, cells_of, title_of

KINDS = ("SYNTHETIC", "PARTIAL", "CONTAMINATED")  # what a warning of a board begins with


@dataclass(frozen=True)
class PageTable:
    """A table of the page.

    words: how many of its first columns are text. more: columns that show only when asked for. notes: lines below it.
    filtered: whether it has a field to filter by. folded: shown only when asked for.
    """

    title: str
    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    words: int
    more: range = range(0)
    notes: Sequence[str] = ()
    filtered: bool = False
    folded: bool = False


def page_table(board: Board) -> PageTable:
    """The board with its default columns, and all others to be asked for."""
    headings, rows = cells_of(board, "+all")
    words = len(board.names) + 1
    brief = words + len(columns_of(board, None)) - 1  # seeds come last, behind the others
    # Score and its interval first: on a telephone they are seen without scrolling.
    columns = list(columns_of(board, "+all"))
    order = [*range(words), *(words + columns.index(name) for name in ("score", "interval"))]
    order += [place for place in range(len(headings)) if place not in order]
    title, shared, *aside = title_of(board)
    notes = [*caption_of(board), *aside, f"All rows: {shared}."]
    return PageTable(
        title,
        [headings[place] for place in order],
        [[row[place] for place in order] for row in rows],
        words,
        range(brief, len(headings) - 1),
        notes,
        filtered=True,
    )


def kinds_of(boards: Iterable[Board]) -> list[str]:
    """Those of KINDS that hold of any of the boards."""
    starts = {said.partition(":")[0] for board in boards for said in board.warnings}
    return [kind for kind in KINDS if kind in starts]
