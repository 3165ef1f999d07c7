"""What bundles do to the boards: every board before and after, as text for a pull request."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..boards.claims import beneath
from ..boards.leaderboard import POINT
from ..core.display import Display
from ..core.text import in_markdown
from ..results.calls import ARGMAX
from ..results.collection import BundleFile, Collection, only_in
from .pages import Boards, ProtocolBoard, boards_of

COLUMNS = ("score", "interval", "auroc", "ranks", "seeds")
HEADINGS = ("place", "before", "method", "Score", "95 %", "AUROC", "ranks", "seeds", "made by")
NEW, NONE = "new", "–"


@dataclass(frozen=True)
class BoardChange:
    """A board that differs. rows: HEADINGS. first: the row that stood and stands first, "none" below the floor."""

    title: str
    marks: Sequence[str]
    rows: Sequence[Sequence[str]]
    first: tuple[str, str]


@dataclass(frozen=True)
class Change:
    """What differs between two collections.

    new, removed: bundles, in words. boards: those whose rows differ. lost: runs that are on no board any more.
    scored: how many runs were scored again, in words. shown: all boards as they are now.
    """

    new: Sequence[str]
    removed: Sequence[str]
    boards: Sequence[BoardChange]
    lost: Sequence[str]
    scored: str
    shown: Boards


def change(before: Collection | None, after: Collection, display: Display) -> Change:
    """Compare the boards of two collections; before: None where there was nothing."""
    shown_before = boards_of(before, display).every if before else []
    shown = boards_of(after, display)
    known = {one.key: one for one in shown_before}
    ids = {run_id for one in shown.every for run_id in one.board.runs["run_id"]}
    ids_before = {run_id for one in shown_before for run_id in one.board.runs["run_id"]}
    return Change(
        [_in_words(bundle, after) for bundle in only_in(after, before)],
        [_in_words(bundle, before) for bundle in only_in(before, after)] if before else [],
        [_board_change(known.get(one.key), one) for one in shown.every if _differs(known.get(one.key), one)],
        sorted(map(str, ids_before - ids)),
        counted(after.runs),
        shown,
    )


def _in_words(bundle: BundleFile, collection: Collection) -> str:
    content = collection.content_of(bundle)
    about = f"{counted(content.runs)} by {content.made_by}"
    return f"{bundle.name}: {about}, {bundle.size:,} bytes, sha256 {bundle.sha256}"


def counted(runs: Sequence[object]) -> str:
    """How many runs they are, in words."""
    return f"{len(runs)} run{'s' if len(runs) != 1 else ''}"


def _differs(before: ProtocolBoard | None, after: ProtocolBoard) -> bool:
    facts = ["run_id", POINT, "score", "origin"]
    return before is None or not before.board.runs[facts].sort_values(facts[:2], ignore_index=True).equals(
        after.board.runs[facts].sort_values(facts[:2], ignore_index=True)
    )


def _board_change(before: ProtocolBoard | None, after: ProtocolBoard) -> BoardChange:
    places = dict(_places(before)) if before else {}
    rows = []
    for place, row in _placed(after):
        ids = after.run_ids(str(row["method"]))
        # The name of a method may change with what stands beside it; its runs do not.
        stood = next((places[run_id] for run_id in ids if run_id in places), NEW)
        cells = [after.cell(name, row) for name in COLUMNS]
        rows.append([place, stood, str(row["method"]), *cells, str(row["origin"]) or NONE])
    title = f"{after.board.split}, {after.board.task.name}: {after.protocol}"
    return BoardChange(title, after.marks, rows, (_first(before), _first(after)))


def _places(one: ProtocolBoard) -> Iterator[tuple[str, str]]:
    """Run id → the place of its row."""
    for place, row in _placed(one):
        yield from ((run_id, place) for run_id in one.run_ids(str(row["method"])))


def _placed(one: ProtocolBoard) -> Iterator[tuple[str, Mapping[Any, Any]]]:
    """The rows at argmax, best first, each with its place; those beneath the floor stand last and have none."""
    rows = one.board.table[one.board.table[POINT] == ARGMAX]
    floored = beneath(rows, one.board.question.claim)
    places = itertools.count(1)
    for row, why in zip(rows.to_dict("records"), floored, strict=True):
        yield NONE if why else str(next(places)), row


def _first(one: ProtocolBoard | None) -> str:
    best = one.best if one else None
    return f"{best['method']} ({best['score_mean']:.1f})" if best else "none"


def in_words(found: Change) -> str:
    """The change as Markdown."""
    lines = [f"Scored again: {found.scored}. Every figure follows from the predictions.", ""]
    for what, bundles in (("New", found.new), ("No longer there", found.removed)):
        if bundles:
            lines += [f"{what}:", "", *(f"- {in_markdown(bundle)}" for bundle in bundles), ""]
    for heading, listed in (("Runs that are on no board any more", found.lost), ("Left out", found.shown.left_out)):
        if listed:
            lines += [f"**{heading}**:", "", *(f"- {in_markdown(line)}" for line in listed), ""]
    lines += [] if found.boards else ["No board changes.", ""]
    for board in found.boards:
        marks = f" **{', '.join(board.marks)}**" if board.marks else ""
        was, now = map(in_markdown, board.first)
        first = f"First above the floor: {now}, as before." if was == now else f"First above the floor: {was} → {now}."
        lines += [f"### {in_markdown(board.title)}{marks}", "", first, ""]
        lines += [markdown_line(HEADINGS), markdown_line(["---"] * len(HEADINGS)), *map(markdown_line, board.rows), ""]
    lines.append(
        "A place is the order of mean Scores at argmax, and no verdict; ranks are what the intervals allow. A row that "
        "does not score above always-normal has no place."
    )
    return "\n".join(lines) + "\n"


def markdown_line(cells: Sequence[str]) -> str:
    """A line of a table."""
    return f"| {' | '.join(map(in_markdown, cells))} |"
