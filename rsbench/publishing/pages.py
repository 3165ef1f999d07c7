"""What the site shows: for every split and task its boards, and behind every row who made it, and how."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from ..api.leaderboard import board_sheet, own_rows
from ..boards.columns import known_columns
from ..boards.leaderboard import Board
from ..boards.methods import short
from ..boards.published import MEANING, beside, split_flags
from ..core.display import Display
from ..core.text import file_name
from ..data.tasks import ICBHI_4
from ..evaluation.selection import rule
from ..report.page.board_table import PageTable, kinds_of, page_table
from ..report.page.groups import OF_SPLIT, Group, read_results, told_apart
from ..report.page.provenance import VERSION_HEADINGS, Command, commands, version_rows
from ..report.tables.board import best_row
from ..report.tables.formats import Sheet
from ..results.collection import BundleFile, Collection

ORACLE = "ORACLE"


@dataclass(frozen=True, eq=False)
class ProtocolBoard:
    """A board of rows that may stand side by side. protocol: what tells it from the other boards of its page.

    key: the same for the same board made from other bundles.
    """

    protocol: str
    key: tuple[str, ...]
    group: Group
    board: Board

    @property
    def marks(self) -> list[str]:
        """What a reader must know before any figure: ORACLE, SYNTHETIC, PARTIAL, CONTAMINATED."""
        oracle = [ORACLE] if rule(self.board.rule).judged_on == "test" else []
        return oracle + kinds_of([self.board])

    @property
    def best(self) -> Mapping[str, Any] | None:
        """The row that stands first; None where no row is above the floor."""
        place = best_row(self.board)
        return None if place is None else {str(key): value for key, value in self.board.table.iloc[place].items()}

    def cell(self, column: str, row: Mapping[Any, Any]) -> str:
        """What the board writes in a column of a row."""
        return known_columns(self.board.task)[column].cell(row)

    @property
    def methods(self) -> list[str]:
        """Best first."""
        return list(dict.fromkeys(map(str, self.board.table["method"])))

    def run_ids(self, method: str) -> list[str]:
        """The finished runs behind a row."""
        runs = self.board.runs
        return list(dict.fromkeys(map(str, runs.loc[runs["method"] == method, "run_id"])))


@dataclass(frozen=True)
class Row:
    """What stands behind a row of a board. makers: as boards have it, "self-reported by …" or "re-run by …"."""

    method: str
    makers: Sequence[str]
    command: Command
    environments: PageTable
    bundles: Sequence[BundleFile]


@dataclass(frozen=True, eq=False)
class SplitPage:
    """All boards of a split and a task."""

    split: str
    task: str
    boards: Sequence[ProtocolBoard]

    @property
    def stem(self) -> str:
        """Where its files lie, without their endings."""
        return f"{file_name(self.task)}/{file_name(self.split)}"

    @property
    def sheets(self) -> list[Sheet]:
        """Every figure of its boards, for csv and JSON."""
        return [_with_protocol(board_sheet(one.board), one.protocol) for one in self.boards]


@dataclass(frozen=True)
class Boards:
    """All boards of some bundles.

    left_out: a line for each run or board that is not there, with the reason. uncompared: one for each board without
    differences from the baseline.
    """

    pages: Sequence[SplitPage]
    left_out: Sequence[str] = ()
    uncompared: Sequence[str] = ()

    @property
    def every(self) -> list[ProtocolBoard]:
        return [board for page in self.pages for board in page.boards]


def boards_of(collection: Collection, display: Display) -> Boards:
    """The boards of all runs of a collection, a page per split and task, real recordings first.

    Raises ResultsError where nothing in it can be ranked.
    """
    results = read_results(collection.runs, None, collection.folder / ".index", display, audits=False)
    found: dict[tuple[bool, str, str], list[ProtocolBoard]] = {}
    refused: list[str] = []
    uncompared: list[str] = []
    for group, heading in zip(results.groups, told_apart(results.groups), strict=True):
        refused += [f"{heading}: {line}" for line in group.refused]
        uncompared += [f"{heading}: {line}" for line in group.uncompared]
        for board in group.boards:
            place = bool(group.shared["synthetic"]), board.task.name, board.split
            found.setdefault(place, []).append(_protocol_board(group, heading, board))
    pages = [
        SplitPage(split, task, sorted(found[place], key=lambda one: one.protocol))
        for place in sorted(found)
        for _, task, split in [place]
    ]
    return Boards(pages, [*collection.damaged, *results.damaged, *refused], uncompared)


def _protocol_board(group: Group, heading: str, board: Board) -> ProtocolBoard:
    of_split = {name: str(board.shared.get(name, "")) for name in OF_SPLIT}
    beside_it = [one for one in group.boards if one.split == board.split]
    differing = [name for name in OF_SPLIT if len({str(one.shared.get(name)) for one in beside_it}) > 1]
    told = [f"{name.replace('_', ' ')} {short(of_split[name])}" for name in differing]
    key = (board.rule, board.split, *(str(value) for value in group.shared.values()), *of_split.values())
    return ProtocolBoard(", ".join([heading, *told, rule(board.rule).header]), key, group, board)


def rows_of(one: ProtocolBoard, collection: Collection) -> list[Row]:
    """What stands behind the rows of a board, in its order; a method none of whose runs is finished has none."""
    by_method = {command.method: command for command in commands(replace(one.group, boards=(one.board,)))}
    rows = []
    for method in (name for name in one.methods if name in by_method):
        runs = {run_id: one.group.runs[run_id] for run_id in one.run_ids(method)}
        makers = sorted({run.origin_in_words for run in runs.values()})
        made_in = PageTable("Environment", VERSION_HEADINGS, version_rows(runs), 5)
        rows.append(Row(method, makers, by_method[method], made_in, collection.bundles_of(list(runs))))
    return rows


def board_tables(page: SplitPage) -> list[PageTable]:
    """A table per board, titled by what tells it apart."""
    return [replace(page_table(one.board), title=one.protocol) for one in page.boards]


def literature(page: SplitPage) -> PageTable | None:
    """Published results for the split, flagged; None where there are none. They have no rank."""
    own = [own_rows(one.board) for one in page.boards if one.board.task == ICBHI_4]
    if not own:
        return None
    every = beside(pd.concat(own, ignore_index=True), page.split)
    rows = every[every["kind"] == "published"]
    if rows.empty:
        return None
    flags = {flag for flags in rows["flag"] for flag in split_flags(flags)}
    notes = [
        "From papers: no predictions, so no intervals. They are listed by Score and have no rank.",
        *(f"{flag}: {meaning}" for flag, meaning in MEANING.items() if flag in flags),
    ]
    cells = [_published_cells(row) for row in rows.to_dict("records")]
    headings = ["method", "backbone", "weights", "flags", "source", "Sp", "Se", "Score", "runs"]
    return PageTable("Published results, not ranked", headings, cells, 5, notes=notes, filtered=True)


def _published_cells(row: Mapping[Any, Any]) -> list[str]:
    source = " ".join(filter(None, [row["venue"], str(row["year"]), f"({row['evidence']})", row["note"]]))
    figures = ["–" if pd.isna(row[name]) else f"{row[name]:.1f}" for name in ("sp", "se", "score")]
    if not pd.isna(row["score_sd"]):
        figures[-1] += f" ± {row['score_sd']:.1f}"
    runs = "–" if pd.isna(row["n"]) else str(row["n"])
    return [row["method"], row["backbone"], row["weights"], row["flag"] or "–", source, *figures, runs]


def _with_protocol(sheet: Sheet, protocol: str) -> Sheet:
    return replace(sheet, frame=sheet.frame.assign(protocol=protocol), about={"protocol": protocol, **sheet.about})
