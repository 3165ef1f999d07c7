"""Boards as pictures, in one visual language: colour-blind safe, one colour per loss, labels where they fit."""

from __future__ import annotations

import textwrap
import zlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import matplotlib
import numpy as np
import pandas as pd

from ...boards.audit import Audit
from ...boards.claims import SCORE, Claim
from ...boards.leaderboard import POINT, Board
from ...core.errors import ResultsError
from ...results.calls import OPERATING_POINTS
from .figure import ReportFigure
from .rows import OF_RULE, DifferenceRow, RuleRow, RunsRow, draw_audit, draw_differences, draw_scores
from .style import NAME_WIDTH, PALETTE, QUIET, WHITE_GRID, say, write_out_names

OF_LINE = 0.19  # inches of a line of a name
MANY_ROWS = 12  # beyond, they stand closer


def colours_of(losses: Iterable[str]) -> dict[str, str]:
    """A colour per loss, told by its name, so that it has the same one on most boards.

    Where two names want one colour, the later in the alphabet gets the next that is used least. So up to seven losses
    have colours of their own; of more, some share one, and are told apart by their names, which stand at every mark.
    """
    used: Counter[str] = Counter()
    found = {}
    for loss in sorted(set(losses)):
        start = zlib.crc32(loss.encode()) % len(PALETTE)
        found[loss] = min(PALETTE[start:] + PALETTE[:start], key=used.__getitem__)
        used[found[loss]] += 1
    return found


def score_figure(boards: Sequence[Board], operating_point: str = "argmax") -> ReportFigure:
    """Score of every run, a panel per split.

    Every seed is a dot, a line is the 95 % interval over new patients and seeds. Methods have the same order, that of
    the first board, and the same colour in every panel.
    """
    runs = [board.runs[board.runs[POINT] == operating_point] for board in boards]
    order = runs[0].groupby("method")["score"].mean().sort_values(ascending=False).index.tolist()
    order += sorted({method for frame in runs for method in frame["method"]} - set(order))
    colours = colours_of(loss for frame in runs for loss in frame["loss"])
    figure, panels = row_panels(len(boards), order)
    for axes, board in zip(panels, boards, strict=True):
        draw_scores(axes, order, score_rows(board, order, colours, operating_point))
        axes.set_title(board.split, loc="left", fontweight="bold")
    told = [boards[0].header, f"at {operating_point}", f"{_seeds(boards)} seeds", *_kinds(boards)]
    return finished(figure, f"{'; '.join(told)}\nline: 95 % over new patients and seeds; dashed: always-normal")


def score_rows(
    board: Board, order: Sequence[str], colours: Mapping[str, str], operating_point: str = "argmax"
) -> list[RunsRow]:
    """The Scores of some methods of a board, those that it has, each in the colour of its loss."""
    runs = board.runs[(board.runs[POINT] == operating_point) & board.runs["method"].isin(order)]
    table = board.table[board.table[POINT] == operating_point].set_index("method")
    return [
        RunsRow(
            str(method),
            mine["score"].to_numpy(),
            mine["score"].mean(),
            colours[mine["loss"].iloc[0]],
            *table.loc[method, ["low", "high"]].astype(float),
        )
        for method, mine in runs.groupby("method")
    ]


def difference_figure(boards: Sequence[Board], operating_point: str = "argmax") -> ReportFigure:
    """Paired differences of Score from the baseline with their simultaneous intervals, a panel per split.

    What cannot be told from the baseline is grey.
    """
    rows = [board.table[(board.table[POINT] == operating_point) & board.table["delta"].notna()] for board in boards]
    order = list(dict.fromkeys(method for table in rows for method in table["method"]))
    figure, panels = row_panels(len(boards), order)
    for axes, board in zip(panels, boards, strict=True):
        draw_differences(axes, order, difference_rows(board, order, operating_point), str(board.baseline))
        axes.set_title(board.split, loc="left", fontweight="bold")
    told = [boards[0].header, f"at {operating_point}", f"{_seeds(boards)} seeds", *_kinds(boards)]
    return finished(figure, f"{'; '.join(told)}\nlines hold together in 95 % of studies; grey: not distinguishable")


def difference_rows(board: Board, order: Sequence[str], operating_point: str = "argmax") -> list[DifferenceRow]:
    """The paired differences of some methods of a board, where they are known."""
    rows = board.table[(board.table[POINT] == operating_point) & board.table["method"].isin(order)]
    known = rows.loc[rows["delta"].notna(), ["method", "delta", "delta_low", "delta_high", "verdict"]]
    return [DifferenceRow(*row) for row in known.itertuples(index=False)]


def forest_figure(
    studies: pd.DataFrame, summary: pd.DataFrame, claim: Claim = SCORE, operating_point: str = "argmax"
) -> ReportFigure:
    """Differences of each loss from the baseline, a line per study and a diamond for what they say together.

    `studies` (the table) and `summary` are as `boards.summary` makes them, `claim` is the figure they are about.
    """
    studies = studies[studies[POINT] == operating_point]
    summary = summary[summary[POINT] == operating_point].set_index("loss")
    losses = list(summary.index)
    places = list(dict.fromkeys(studies["study"]))
    figure, panels = row_panels(len(losses), [*places, "all"])
    for axes, loss in zip(panels, losses, strict=True):
        for row in studies[studies["loss"] == loss].to_dict("records"):
            position = places.index(row["study"])
            axes.hlines(position, row["low"], row["high"], color=QUIET, linewidth=2)
            axes.plot(row["delta"], position, "s", color=QUIET, markersize=5)
        whole, bottom = summary.loc[loss], len(places)
        width = [whole["low"], whole["mean"], whole["high"], whole["mean"]]
        axes.fill(width, [bottom, bottom - 0.2, bottom, bottom + 0.2], color=PALETTE[0])
        say(axes, f"{whole['mean']:+z.{claim.digits}f}", (whole["mean"], bottom - 0.15), PALETTE[0])
        axes.axvline(0, color=QUIET, linestyle="--", linewidth=1)
        axes.set_yticks(range(bottom + 1), [*places, "all (random effects)"])
        axes.set_ylim(bottom + 0.5, -0.5)
        axes.set(xlabel=f"Δ {claim.heading}", ylabel="")
        axes.set_title(loss, loc="left", fontweight="bold")
    return finished(figure, f"at {operating_point}; lines and diamonds: 95 %; dashed: the baseline")


def audit_figure(found: Audit) -> ReportFigure:
    """Every method's Score by who chose the epoch, a panel per operating point; the line is val's 95 % interval."""
    order, colours = found.methods, colours_of(found.table["loss"])
    figure, panels = row_panels(2, order)
    for axes, point in zip(panels, OPERATING_POINTS, strict=True):
        draw_audit(axes, order, audit_rows(found, order, point, colours))
        axes.set_title(point, loc="left", fontweight="bold")
    for rule, (marker, filled) in OF_RULE.items():
        name = "ORACLE (best epoch on test)" if rule == "oracle" else rule
        panels[0].plot([], [], marker, color=QUIET, markerfacecolor=QUIET if filled else "none", label=name)
    marks, names = panels[0].get_legend_handles_labels()
    figure.legend(marks, names, loc="outside lower left", ncols=3, frameon=False, fontsize="small")
    seeds = sorted({row["n_ok"] for row in found.at("val", "argmax").values()})
    told = [found.split, f"{'–'.join(map(str, sorted({seeds[0], seeds[-1]})))} seeds", *_words(found.warnings)]
    return finished(figure, f"{'; '.join(told)}\nline: 95 % of val over new patients and seeds; dashed: always-normal")


def audit_rows(found: Audit, order: Sequence[str], point: str, colours: Mapping[str, str]) -> dict[str, list[RuleRow]]:
    """Rule → the Scores of some methods under it at one operating point, each in the colour of its loss."""
    return {
        rule: [
            RuleRow(method, row["score_mean"], row["low"], row["high"], colours[row["loss"]])
            for method, row in found.at(rule, point).items()
            if method in order
        ]
        for rule in OF_RULE
    }


def row_panels(count: int, names: Sequence[str]) -> tuple[ReportFigure, np.ndarray]:
    """Axes side by side, with room for a row of each name. Raises ResultsError where there is none."""
    if not count * len(names):
        raise ResultsError(
            "--figure: there is nothing to draw: no run is done, or no difference from a baseline is known."
        )
    with matplotlib.rc_context(WHITE_GRID):
        lines = max(len(textwrap.wrap(name, NAME_WIDTH)) for name in names)
        of_row = max(0.55 if len(names) <= MANY_ROWS else 0.4, OF_LINE * lines)
        figure = ReportFigure(figsize=(4.4 * count + 0.8, 1.5 + of_row * len(names)), layout="constrained")
        panels: np.ndarray = figure.subplots(1, count, sharex=True, sharey=True, squeeze=False)[0]
    return figure, panels


def finished(figure: ReportFigure, told: str) -> ReportFigure:
    """The figure with what it says to those who see it alone."""
    figure.told = told
    figure.suptitle(told, x=0.01, ha="left", fontsize="small", color=".35")
    write_out_names(figure)
    return figure


def _seeds(boards: Sequence[Board]) -> str:
    counts = sorted({int(count) for board in boards for count in board.table["n_ok"] if count})
    return f"{counts[0]}" if len(counts) == 1 else f"{counts[0]}–{counts[-1]}"


def _kinds(boards: Sequence[Board]) -> list[str]:
    return _words(warning for board in boards for warning in board.warnings)


def _words(warnings: Iterable[str]) -> list[str]:
    """What a picture says even to those who do not read the board."""
    starts = {warning.partition(":")[0] for warning in warnings}
    return sorted(starts & {"SYNTHETIC", "PARTIAL", "CONTAMINATED"})
