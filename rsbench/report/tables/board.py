"""Boards as people read them in a terminal."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from rich import box
from rich.markup import escape
from rich.table import Table

from ...boards.claims import CLAIMS, beneath
from ...boards.columns import FIGURES, columns_of, mean_sd
from ...boards.comparison import ALIKE, OF_BOARD
from ...boards.leaderboard import POINT, Board
from ...boards.methods import ABSENT, short
from ...evaluation.selection import rule
from ...evaluation.statistics import SEEDS_FOR_A_CLAIM
from ...results.calls import OPERATING_POINTS

IDENTITIES = ("code", "train_labels_id", "labels_id")  # hashes, which a paper's reader has no use for
MOST_ROWS = 200  # of a board in a terminal
RUN_FIGURES = {"sp": "sp", "se": "se", "score": "score", "auroc": "auroc_abnormal"}


def run_table(metrics: Mapping[str, Sequence[Mapping[str, Any]]], tests: Sequence[str], select: Sequence[str]) -> Table:
    """Sp, Se and Score of some methods, mean ± sd over their seeds, per rule, split and operating point.

    Args:
        metrics: method → one seed's metrics each, rule → split → figures.
        tests: splits, in distribution first.
        select: selection rules.
    """
    counts = sorted({len(runs) for runs in metrics.values()})
    seeds = "one seed" if counts == [1] else f"mean ± sd over {' to '.join(map(str, counts))} seeds"
    table = Table(title=f"{seeds}; always-normal scores 50", title_justify="left", box=box.SIMPLE_HEAD)
    words = ("selected", "split", "at", "loss")
    for heading in (*words, *(FIGURES[name].heading for name in RUN_FIGURES)):
        table.add_column(heading, no_wrap=True, justify="left" if heading in words else "right")
    for name, split, point in itertools.product(select, tests, OPERATING_POINTS):
        label = "ORACLE (on test)" if rule(name).judged_on == "test" else name
        for method, runs in metrics.items():
            judged = [run[name][split] for run in runs]
            figures = [of_run[point] | of_run["threshold_free"] for of_run in judged if point in of_run]
            if figures:
                cells = (_over_seeds(key, [row[key] for row in figures]) for key in RUN_FIGURES.values())
                table.add_row(label, split, point, method, *cells)
        if (split, point) == (tests[-1], OPERATING_POINTS[-1]):
            table.add_section()
    return table


def cells_of(board: Board, asked: str | None = None) -> tuple[list[str], list[list[str]]]:
    """The headings of a board and the texts of its cells; `asked`: see `columns_of`."""
    columns = columns_of(board, asked)
    rows = [
        [short(row[name]) for name in board.names] + [row[POINT], *(column.cell(row) for column in columns.values())]
        for row in board.table.to_dict("records")
    ]
    return [*board.names, "at", *(column.heading for column in columns.values())], rows


def board_table(board: Board, asked: str | None = None) -> Table:
    """A leaderboard with its rule, its split and what all rows share in the title; of a long one the best rows."""
    table = Table(
        title="\n".join(title_of(board)),
        title_justify="left",
        caption_justify="left",
        box=box.SIMPLE_HEAD,
    )
    headings, rows = cells_of(board, asked)
    more = f"{len(rows) - MOST_ROWS} more rows: see --format csv, or narrow the board with --only"
    table.caption = "\n".join([*([more] if len(rows) > MOST_ROWS else []), *caption_of(board)])
    words = len(board.names) + 1
    for number, heading in enumerate(headings):
        table.add_column(escape(heading), no_wrap=number < words, justify="left" if number < words else "right")
    for row in rows[:MOST_ROWS]:
        table.add_row(*map(escape, row))
    return table


def title_of(board: Board) -> list[str]:
    """Split and rule, what all rows share, and what differs beside their names, in lines."""
    shared = ", ".join(f"{name} {short(value)}" for name, value in board.shared.items())
    return [f"{board.split} — {board.header}", shared, *board.aside]


def caption_of(board: Board) -> list[str]:
    """How to read the columns, and what a reader should know, in lines."""
    claim, splits = board.question.claim, board.question.splits
    other = next(figure for figure in CLAIMS.values() if figure is not claim)
    together = "all rows and both operating points" + (f" of {splits} splits" if splits > 1 else "")
    lines = [
        f"mean ± sd over seeds; 95 %: over new patients and seeds; ranks: by {claim.heading}, they hold for {together}"
    ]
    if board.table["interval_of"].eq(OF_BOARD).any():
        lines.append("†: the best of several is best by luck too, so its interval is that of all rows together")
    if board.baseline:
        lines.append(
            f"Δ: paired on patients and seeds with {board.baseline}, all else alike; it holds for {together}; least Δ: "
            f"the smallest that this design could have shown. A verdict is about the {claim.heading} and takes "
            f"{SEEDS_FOR_A_CLAIM} seeds; what is said of the {other.heading} is exploratory"
        )
    unfinished = [f"{state}: {run_id}" for run_id, state in board.unfinished.items()]
    return [*lines, *board.warnings, *unfinished]


def in_a_paper(board: Board) -> list[str]:
    """What the caption of a table in a paper says of a board, in parts: protocol, split, rule and seeds first."""
    said = {name: short(value) for name, value in board.shared.items() if name not in IDENTITIES}
    shared = [f"{name} {value}" for name, value in said.items() if value not in (ABSENT, "False")]
    seeds = ", ".join(map(str, sorted(board.runs["seed"].unique()))) or "none done"
    lines = [f"{board.split}, {board.header}", ", ".join(shared), f"seeds {seeds}", *board.aside, *caption_of(board)]
    if best_row(board) is not None:
        lines.append(f"bold: the best {board.question.claim.heading} at argmax")
    if alike_rows(board):
        lines.append(f"≈: not distinguishable from {board.baseline}")
    return lines


def best_row(board: Board) -> int | None:
    """The row with the best figure of the claim at argmax, which stands first; None where nobody is above the floor."""
    floored = beneath(board.table, board.question.claim)
    return 0 if board.table["n_ok"].iloc[0] and not floored.iloc[0] else None


def alike_rows(board: Board) -> list[int]:
    """The rows, of those that are shown, that are not distinguishable from the baseline."""
    return [number for number, verdict in enumerate(board.table["verdict"][:MOST_ROWS]) if verdict == ALIKE]


def _over_seeds(figure: str, values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    if not known:
        return "–"
    digits = 3 if figure.startswith("au") else 1  # areas under curves are shares, the others percentages
    return mean_sd(statistics.fmean(known), statistics.stdev(known) if len(known) > 1 else None, digits)
