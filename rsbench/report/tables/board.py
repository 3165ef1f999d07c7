"""Boards as people read them in a terminal."""

from __future__ import annotations

import itertools
import statistics
import textwrap
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from rich import box
from rich.markup import escape
from rich.table import Table

from ...boards.claims import beneath
from ...boards.columns import FIGURES, OF_CLAIM, SHORT_VERDICTS, Column, columns_of, mean_sd
from ...boards.comparison import ALIKE, FOLLOWS, OF_BOARD
from ...boards.leaderboard import POINT, Board
from ...boards.methods import ABSENT, OPTIONS, short
from ...evaluation.selection import rule
from ...evaluation.statistics import SEEDS_FOR_A_CLAIM
from ...results.calls import ARGMAX, OPERATING_POINTS
from .terminal import fitted, left_out_in_words

IDENTITIES = ("code", "train_labels_id", "labels_id", "weights")  # hashes
SAID_ELSEWHERE = ("synthetic", "partial", "fitted_on", "split_version", "label_map")  # in warnings, or by other words
TELLING = ("train", "backbone", "pretrained", "track", "tuning", "train_fraction", "task")  # comes first
LONGEST_ASIDE = 160  # letters of a line on what differs beside the names of rows
NAMED = 3  # runs that are not done, of one state
BY_CHANCE = {"score": "always-normal", "auroc": "guessing"}  # who has what a claim begins above
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


def shown_rows(board: Board, columns: Mapping[str, Column]) -> pd.DataFrame:
    """The rows of a board at argmax, where its order and its best row are told; at both points if it has `at`."""
    return board.table if "at" in columns else board.table[board.table[POINT] == ARGMAX]


def cells_of(board: Board, columns: Mapping[str, Column]) -> tuple[list[str], list[list[str]]]:
    """The headings of a board and the texts of its cells: all that names a row, and `columns_of` the board."""
    rows = shown_rows(board, columns).to_dict("records")
    cells = [
        [*(short(row[name]) for name in board.names), *(one.cell(row) for one in columns.values())] for row in rows
    ]
    return [*board.names, *(column.heading for column in columns.values())], cells


def board_table(board: Board, asked: str | None = None, *, wide: bool = False, width: int | None = None) -> Table:
    """A leaderboard between what its rows share and how it is read; of a long one the best rows.

    Args:
        board: of `leaderboard`.
        asked: see `columns_of`.
        wide: see `columns_of`; a wide board also says all that its rows share, and what comes with each name.
        width: letters of a line. Columns that do not fit are left out, and the caption says which. None: all are there.
    """
    columns = columns_of(board, asked, wide=wide)
    names = _Names.apart(board, shorter=not wide)
    whole = table = _table(board, columns, names)
    left_out: list[str] = []
    if width is not None:
        important = [known.heading for name in _important(board) if (known := columns.get(name))]
        table, left_out = fitted(whole, width, len(names.headings) + ("at" in columns), important)
        if left_out and len(names.headings) > 1:
            names = _Names.in_one(board)
            table, left_out = fitted(_table(board, columns, names), width, 1 + ("at" in columns), important)
    table.title = "\n".join(head_of(board, columns, names.told, wide=wide))
    foot = foot_of(board, columns, wide=wide)
    if left_out:
        foot = [*(foot if wide else foot[:-1]), left_out_in_words(left_out, whole, width or 0)]
    table.caption = "; ".join(foot if wide or width is None else _of_three_lines(foot, width))
    return table


@dataclass(frozen=True)
class _Names:
    """How the rows of a board are named.

    headings: of the columns that do so. cells: of a row. told: what these leave to a line above the table.
    """

    headings: Sequence[str]
    cells: Callable[[Mapping[Hashable, Any]], list[str]]
    told: Sequence[str] = ()

    @classmethod
    def apart(cls, board: Board, *, shorter: bool) -> _Names:
        """A column for each thing that tells rows apart; shorter: a line says what comes with each backbone."""
        follow = [
            name
            for name in board.names
            if shorter and name.startswith(FOLLOWS["backbone"]) and _goes_with_backbone(board, name)
        ]
        names = [name for name in board.names if name not in follow]
        of_backbones = [
            f"{backbone} ({', '.join(f'{name} {short(rows[name].iloc[0])}' for name in follow)})"
            for backbone, rows in board.table.groupby("backbone")
        ]
        told = [f"with each backbone: {', '.join(of_backbones)}"] if follow else []
        return cls(names, lambda row: [short(row[name]) for name in names], told)

    @classmethod
    def in_one(cls, board: Board) -> _Names:
        """One column for all; what most rows have is said once."""
        who = [name for name in board.names if name in ("loss", "backbone")]
        rest = [name for name in board.names if name not in who]
        counts = {name: board.table[name].value_counts() for name in rest}
        usual = {name: count.index[0] for name, count in counts.items() if 2 * count.iloc[0] > len(board.table)}

        def cells(row: Mapping[Hashable, Any]) -> list[str]:
            own = ", ".join(f"{name} {short(row[name])}" for name in rest if row[name] != usual.get(name))
            return [" · ".join(short(row[name]) for name in who) + (f" ({own})" if own else "")]

        said = ", ".join(f"{name} {short(value)}" for name, value in usual.items())
        return cls(["method"], cells, [f"unless a row says otherwise: {said}"] if said else [])


def _goes_with_backbone(board: Board, name: str) -> bool:
    """Whether a column follows from the backbone, which is another one, and holds no word of warning."""
    if "backbone" not in board.names:
        return False
    warned = board.table[name].astype(str).str.startswith(("CONTAMINATED", "?"))
    return bool((board.table.groupby("backbone")[name].nunique(dropna=False) == 1).all() and not warned.any())


def _important(board: Board) -> list[str]:
    """The columns that stay the longest on a board that is too wide, the most important one first."""
    figure, interval, *difference = OF_CLAIM[board.question.claim.name]
    return [figure, "verdict", "seeds", *difference, interval]


def _table(board: Board, columns: Mapping[str, Column], names: _Names) -> Table:
    table = Table(
        title_justify="left", caption_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False
    )
    for heading in names.headings:
        table.add_column(escape(heading))
    for column in columns.values():
        table.add_column(escape(column.heading), justify="left" if column.words else "right")
    for row in shown_rows(board, columns)[:MOST_ROWS].to_dict("records"):
        table.add_row(*map(escape, [*names.cells(row), *(column.cell(row) for column in columns.values())]))
    return table


def head_of(
    board: Board, columns: Mapping[str, Column], names_told: Sequence[str] = (), *, wide: bool = False
) -> list[str]:
    """Split and rule, what keeps the figures from being taken for more, what all rows share, what differs: in lines."""
    aside = board.aside if wide else [_brief(line) for line in board.aside]
    return [
        f"{board.split} — {board.header}{'' if 'at' in columns else f', at {ARGMAX}'}",
        *cautions(board, wide=wide),
        f"all rows: {shared_in_words(board.shared, wide=wide)}",
        *names_told,
        *aside,
    ]


def shared_in_words(shared: Mapping[str, Any], *, wide: bool = False) -> str:
    """What all rows have in common, the most telling first; unless wide, no hashes, nor what is none."""
    said = {name: short(value) for name, value in shared.items()}
    if not wide:
        hidden = (*IDENTITIES, *SAID_ELSEWHERE)
        said = {name: text for name, text in said.items() if name not in hidden and text not in (ABSENT, "False")}
    order = [*(name for name in TELLING if name in said), *(name for name in said if name not in TELLING)]
    return ", ".join(f"{name} {said[name]}" for name in order)


def _brief(line: str) -> str:
    """A line on what differs aside; of many options, where to find them."""
    if not line.startswith(OPTIONS) or len(line) <= LONGEST_ASIDE:
        return line
    return f"{line.partition(':')[0]}: a long list, see --wide"


def cautions(board: Board, *, wide: bool = False) -> list[str]:
    """What a reader should know of the rows, and which of their runs are not done, in lines."""
    by_state: dict[str, list[str]] = {}
    for run_id, state in board.unfinished.items():
        by_state.setdefault(state, []).append(run_id)
    most = len(board.unfinished) if wide else NAMED
    unfinished = [
        f"{state}: {', '.join(runs[:most])}" + (f" and {len(runs) - most} more" if len(runs) > most else "")
        for state, runs in by_state.items()
    ]
    return [*sorted(board.warnings, key=lambda line: not line.partition(":")[0].isupper()), *unfinished]


def foot_of(board: Board, columns: Mapping[str, Column], *, wide: bool = False) -> list[str]:
    """How to read the columns that a board shows, in parts of a sentence."""
    splits, rows = board.question.splits, shown_rows(board, columns)
    more = [f"{len(rows) - MOST_ROWS} more rows: --format csv, --only"] if len(rows) > MOST_ROWS else []
    parts = [*more, "mean ± sd over seeds; 95 %: new patients and seeds"]
    marked = [prefix for prefix, name in (("", "interval"), ("auroc_", "auroc_interval")) if name in columns]
    held = ["†"] if any(rows[f"{prefix}interval_of"].eq(OF_BOARD).any() for prefix in marked) else []
    if board.baseline and {"delta", "auroc_delta"} & columns.keys():
        parts.append(f"Δ: from {board.baseline}, paired")
        held.append("95 % of Δ")
    if "ranks" in columns:
        held.append(f"ranks (by {board.question.claim.heading})")
    if held:
        parts.append(f"{', '.join(held)}: for all rows{f' of {splits} splits' if splits > 1 else ''} together")
    if {"least", "auroc_least"} & columns.keys():
        parts.append("least Δ: the smallest that this design could have shown")
    if "verdict" in columns:
        parts += _verdicts_in_words(board, rows)
    return parts if wide else [*parts, "more: --wide, --columns help"]


def _of_three_lines(parts: list[str], width: int) -> list[str]:
    """The parts, as many as three lines hold: the last one stays, and before it marks are explained last."""
    while len(parts) > 2 and len(textwrap.wrap("; ".join(parts), width)) > 3:
        parts = [*parts[:-2], parts[-1]]
    return parts


def _verdicts_in_words(board: Board, rows: pd.DataFrame) -> list[str]:
    """What the short verdicts on these rows mean."""
    claim, parts = board.question.claim, []
    alike = rows[rows["verdict"] == ALIKE]
    if len(alike):
        few = (alike[f"{claim.prefix}delta_seeds"] < SEEDS_FOR_A_CLAIM).any()
        parts.append(f"≈: not distinguishable{f' (needs {SEEDS_FOR_A_CLAIM} seeds)' if few else ''}")
    if (rows["verdict"] == claim.beneath).any():
        parts.append(f"{SHORT_VERDICTS[claim.beneath]}: at most {claim.floor:g} ({BY_CHANCE[claim.name]})")
    return parts


def in_a_paper(board: Board, columns: Mapping[str, Column]) -> list[str]:
    """What the caption of a table in a paper says of a board, in parts: protocol, split, rule and seeds first."""
    seeds = _ranges(sorted(board.runs["seed"].unique())) or "none done"
    lines = [f"{board.split}, {board.header}", shared_in_words(board.shared), f"seeds {seeds}"]
    lines += [*(_brief(line) for line in board.aside), *cautions(board), *foot_of(board, columns, wide=True)]
    if best_row(board) is not None and board.question.claim.name in columns:
        lines.append(f"bold: the best {board.question.claim.heading} at argmax")
    if alike_rows(board, columns):
        lines.append(f"≈: not distinguishable from {board.baseline}")
    return lines


def _ranges(numbers: Sequence[int]) -> str:
    """Numbers in order, those that follow one another as 0–7."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ", ".join(f"{run[0]}–{run[-1]}" if len(run) > 1 else f"{run[0]}" for run in runs)


def best_row(board: Board) -> int | None:
    """The row with the best figure of the claim at argmax, which stands first; None where nobody is above the floor."""
    floored = beneath(board.table, board.question.claim)
    return 0 if board.table["n_ok"].iloc[0] and not floored.iloc[0] else None


def alike_rows(board: Board, columns: Mapping[str, Column]) -> list[int]:
    """The rows, of those that are shown, to be marked as not distinguishable: no column says it of them."""
    if "verdict" in columns:
        return []
    verdicts = shown_rows(board, columns)["verdict"][:MOST_ROWS]
    return [number for number, verdict in enumerate(verdicts) if verdict == ALIKE]


def _over_seeds(figure: str, values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    if not known:
        return "–"
    digits = 3 if figure.startswith("au") else 1  # areas under curves are shares, the others percentages
    return mean_sd(statistics.fmean(known), statistics.stdev(known) if len(known) > 1 else None, digits)
