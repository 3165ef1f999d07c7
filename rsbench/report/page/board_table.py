"""Tables of a page, and a board as one of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ...boards.columns import columns_of
from ...boards.leaderboard import Board
from ..tables.board import cautions, cells_of, foot_of, shared_in_words

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
    columns, brief = columns_of(board, "+all", wide=True), columns_of(board, wide=True)
    headings, rows = cells_of(board, columns)
    named = len(board.names)
    # Score and its interval first: on a telephone they are seen without scrolling.
    order = [*range(named + 1), *(named + list(columns).index(name) for name in ("score", "interval"))]
    order += [place for place in range(len(headings)) if place not in order]
    notes = [
        "; ".join(foot_of(board, brief, wide=True)),
        *cautions(board, wide=True),
        *board.aside,
        f"All rows: {shared_in_words(board.shared, wide=True)}.",
    ]
    return PageTable(
        f"{board.split} — {board.header}",
        [headings[place] for place in order],
        [[row[place] for place in order] for row in rows],
        named + 1,
        range(named + len(brief) - 1, len(headings) - 1),  # n comes last, behind the others
        notes,
        filtered=True,
    )


def kinds_of(boards: Iterable[Board]) -> list[str]:
    """Those of KINDS that hold of any of the boards."""
    starts = {said.partition(":")[0] for board in boards for said in board.warnings}
    return [kind for kind in KINDS if kind in starts]
