"""The sections that boards fill: who scores what, and with which certainty."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial

from matplotlib.axes import Axes
from rich.table import Table

from ...boards.audit import Audit
from ...boards.leaderboard import POINT, Board, in_distribution
from ...data.splits import CLAIMS_FROM
from ...evaluation.statistics import SEEDS_FOR_A_CLAIM
from ...results.calls import OPERATING_POINTS
from ..figures.board import audit_rows, difference_rows, score_rows
from ..figures.picture import Panel
from ..figures.rows import OF_RULE, draw_audit, draw_differences, draw_scores
from ..tables.audit import audit_table
from .board_table import PageTable, page_table
from .panels import recall_panel, shift_panel
from .view import MOST_DRAWN, Section, View


def board_sections(view: View) -> list[Section]:
    """Boards, in against out of distribution, differences, the audit, recall."""
    return [_boards(view), _shift(view), _differences(view), _audit(view), _recall(view)]


def _boards(view: View) -> Section:
    panels = []
    for of_board in view.boards:
        order = [method.name for method in of_board.methods]
        draw = partial(draw_scores, order=order, rows=score_rows(of_board.board, order, view.colours))
        panels.append(_rows_panel(of_board.board.split, order, draw))
    caption = (
        "Score at argmax. A dot is a run, the upright bar their mean, the broad line its 95 % interval over new "
        f"patients and seeds; dashed: what always answering normal scores.{_left_out(view)}"
    )
    pictures = [view.picture("scores", caption, panels)] if panels else []
    text = " ".join([*view.group.refused, *view.group.uncompared])
    return Section("boards", "Boards", text, [page_table(board) for board in view.group.boards], pictures)


def _left_out(view: View) -> str:
    """How many methods the figures leave to the tables."""
    boards = view.boards
    left = max((of.board.table["method"].nunique() - len(of.methods) for of in boards), default=0)
    return f" The best {len(boards[0].methods)} methods are drawn; the table has {left} more." if left else ""


def _rows_panel(title: str, order: Sequence[str], draw: Callable[[Axes], None]) -> Panel:
    """A panel with a row per method."""
    return Panel(title, draw, 5.0, 1.1 + 0.42 * len(order))


def _shift(view: View) -> Section:
    boards = {of.board.split: of for of in view.boards}
    inside = next((of for of in view.boards if in_distribution(of.board)), None)
    outside = [of for of in view.boards if not in_distribution(of.board)]
    section = Section("shift", "In distribution against out of distribution")
    if inside is None or not outside:
        lacking = "the split that the runs were trained for" if inside is None else "an external test set"
        return replace(
            section,
            absent=f"No run here was judged on {lacking}. To bring it: rsbench run … --test "
            f"{','.join([*boards, 'EXTERNAL_SPLIT' if inside else 'OWN_SPLIT'])} (see: rsbench list splits).",
        )
    caption = (
        "a dot is a method; its lines are 95 % intervals over new patients and seeds, each split's own. "
        f"Dashed: what always answering normal scores.{_left_out(view)}"
    )
    names = [method.name for method in inside.methods]
    return replace(
        section,
        pictures=[
            view.picture(
                "shift",
                caption,
                [shift_panel(inside.board, of.board, view.colours, names, point) for point in OPERATING_POINTS],
                of.board.split,
            )
            for of in outside
        ],
    )


def _differences(view: View) -> Section:
    section = Section("differences", "Paired differences")
    compared = [of for of in view.boards if of.board.baseline and of.board.table["delta"].notna().any()]
    if not compared:
        others = sorted(view.group.losses - {view.baseline})
        several = len(view.group.losses) > 1
        remedy = f"rsbench report --baseline {others[0]}" if several else "rsbench run --loss ANOTHER"
        return replace(
            section, absent=f"There is nothing to compare with '{view.baseline}' on paired seeds here. Try: {remedy}"
        )
    panels = []
    for of_board in compared:
        known = set(of_board.board.table["method"][of_board.board.table["delta"].notna()])
        order = [method.name for method in of_board.methods if method.name in known]
        panels += [
            _rows_panel(
                f"{of_board.board.split}, {point}",
                order,
                partial(
                    draw_differences,
                    order=order,
                    rows=difference_rows(of_board.board, order, point),
                    baseline=str(of_board.board.baseline),
                ),
            )
            for point in OPERATING_POINTS
        ]
    caption = (
        f"Difference of Score from {view.baseline}, on the same patients and seeds. The lines of a panel hold together "
        f"in 95 % of studies; grey: not distinguishable, or fewer than {SEEDS_FOR_A_CLAIM} seeds.{_left_out(view)}"
    )
    verdicts = " ".join(_verdict(of_board.board) for of_board in compared)
    return replace(section, text=verdicts, pictures=[view.picture("differences", caption, panels)])


def _verdict(board: Board) -> str:
    """How many methods can be told from the baseline at argmax, in a sentence."""
    rows = board.table[(board.table[POINT] == "argmax") & board.table["delta"].notna()]
    seeds = int(rows["delta_seeds"].max())
    if seeds < SEEDS_FOR_A_CLAIM:
        return f"On {board.split}, a verdict would take {SEEDS_FOR_A_CLAIM} paired seeds; there are {seeds}."
    told = rows[rows["verdict"].isin(["better", "worse"])]
    counted = f"On {board.split}, {len(told)} of {len(rows)} can be told from {board.baseline} at argmax"
    if told.empty:
        least = rows["delta_least"].min()
        return f"{counted}; a difference below {least:.1f} points could not have shown."
    named = [f"{method} {verdict}" for method, verdict in zip(told["method"], told["verdict"], strict=True)]
    return f"{counted}: {', '.join(named)}."


def _audit(view: View) -> Section:
    section = Section("audit", "Replication audit: who chose the epoch")
    if not view.group.audits:
        return replace(
            section,
            absent="No run here kept the epoch that is best on the test set, and one that nobody kept cannot be found "
            "again. To bring it: rsbench run … --select val,last,oracle",
        )
    caption = (
        "Score by who chose the epoch. Hollow: the best epoch on this very test set, as published runs choose it, and "
        "not a result. Dot: validation patients, with its 95 % interval. Upright bar: the last epoch."
    )
    return replace(
        section,
        sheets=[_audit_sheet(found) for found in view.group.audits],
        pictures=[
            view.picture("audit", caption, _audit_panels(found, view.colours), found.split)
            for found in view.group.audits
        ],
    )


def _audit_panels(found: Audit, colours: Mapping[str, str]) -> list[Panel]:
    order = found.methods[:MOST_DRAWN]
    return [
        _rows_panel(
            f"at {point}", order, partial(draw_audit, order=order, rules=audit_rows(found, order, point, colours))
        )
        for point in OPERATING_POINTS
    ]


def _audit_sheet(found: Audit) -> PageTable:
    table: Table = audit_table(found)
    headings = [str(column.header) for column in table.columns]
    rows = [[str(cell) for cell in row] for row in zip(*(column.cells for column in table.columns), strict=True)]
    return PageTable(f"{found.split}: {', '.join(OF_RULE)}", headings, rows, 1, notes=str(table.caption).splitlines())


def _recall(view: View) -> Section:
    pictures = []
    for of_board in view.boards:
        board, order = of_board.board, [method.name for method in of_board.methods]
        support = of_board.clips["label"].value_counts()
        panels = []
        for index, name in enumerate(board.task.classes):
            patients = board.effective_patients.get(name, 0.0)
            about = f"{name}: {support.get(index, 0)} clips, {patients:.1f} effective patients"
            panels.append(recall_panel(board, name, about, order, view.colours))
        caption = (
            "recall of each class at argmax; a dot is a run, the bar their mean. Nothing can be claimed on a class of "
            f"fewer than {CLAIMS_FROM} effective patients (Kish)."
        )
        pictures.append(view.picture("recall", caption, panels, board.split))
    return Section("recall", "Recall by class", pictures=pictures)
