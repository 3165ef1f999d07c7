"""Boards as pictures, in one visual language: colour-blind safe, one colour per loss, labels where they fit."""

from __future__ import annotations

import textwrap
import zlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import FuncFormatter, MaxNLocator

from ...boards.audit import Audit
from ...boards.claims import SCORE, Claim
from ...boards.leaderboard import POINT, Board
from ...core.errors import ResultsError
from ...core.text import visible
from ...results.calls import OPERATING_POINTS
from .figure import ReportFigure

FLOOR = 50.0  # Score of always answering "normal"
# Okabe and Ito's palette: told apart by colour-blind readers.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
QUIET = ".45"
STYLE = {"axes.edgecolor": ".8"}
OF_LINE = 0.19  # inches of a line of a name
NAME_WIDTH = 28  # letters of a method's name on one line
MANY_ROWS = 12  # beyond, they stand closer
JITTER = 0.12  # rows, up or down

# How a rule is drawn: mark, and whether it is filled. The one that looks at the test set is hollow.
OF_RULE = {"oracle": ("D", False), "val": ("o", True), "last": ("|", True)}


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
        draw_scores(axes, board, order, colours, operating_point)
        axes.set_title(board.split, loc="left", fontweight="bold")
    told = [boards[0].header, f"at {operating_point}", f"{_seeds(boards)} seeds", *_kinds(boards)]
    return finished(figure, f"{'; '.join(told)}\nline: 95 % over new patients and seeds; dashed: always-normal")


def draw_scores(
    axes: Axes, board: Board, order: Sequence[str], colours: Mapping[str, str], operating_point: str = "argmax"
) -> None:
    """Score of every run of some methods of a board, in this order, each in the colour of its loss."""
    runs = board.runs[(board.runs[POINT] == operating_point) & board.runs["method"].isin(order)]
    of_method = {method: colours[loss] for method, loss in zip(runs["method"], runs["loss"], strict=True)}
    _dots(axes, runs, order, of_method)
    rows = board.table[(board.table[POINT] == operating_point) & board.table["method"].isin(runs["method"])]
    for row in rows[rows["low"].notna()].to_dict("records"):
        at, colour = order.index(row["method"]), of_method[row["method"]]
        axes.hlines(at, row["low"], row["high"], color=colour, linewidth=2.5, alpha=0.45, zorder=1)
    axes.axvline(FLOOR, color=QUIET, linestyle="--", linewidth=1)
    axes.set(xlabel="Score", ylabel="")
    name_rows(axes, order)


def difference_figure(boards: Sequence[Board], operating_point: str = "argmax") -> ReportFigure:
    """Paired differences of Score from the baseline with their simultaneous intervals, a panel per split.

    What cannot be told from the baseline is grey.
    """
    rows = [board.table[(board.table[POINT] == operating_point) & board.table["delta"].notna()] for board in boards]
    order = list(dict.fromkeys(method for table in rows for method in table["method"]))
    figure, panels = row_panels(len(boards), order)
    for axes, board in zip(panels, boards, strict=True):
        draw_differences(axes, board, order, operating_point)
        axes.set_title(board.split, loc="left", fontweight="bold")
    told = [boards[0].header, f"at {operating_point}", f"{_seeds(boards)} seeds", *_kinds(boards)]
    return finished(figure, f"{'; '.join(told)}\nlines hold together in 95 % of studies; grey: not distinguishable")


def draw_differences(axes: Axes, board: Board, order: Sequence[str], operating_point: str = "argmax") -> None:
    """The paired differences of some methods of a board, in this order, with their simultaneous intervals."""
    rows = board.table[(board.table[POINT] == operating_point) & board.table["method"].isin(order)]
    for row in rows[rows["delta"].notna()].to_dict("records"):
        position = order.index(row["method"])
        colour = {"better": PALETTE[2], "worse": PALETTE[1]}.get(row["verdict"], QUIET)
        axes.hlines(position, row["delta_low"], row["delta_high"], color=colour, linewidth=2)
        axes.plot(row["delta"], position, "o", color=colour)
        say(axes, f"{row['delta']:+z.1f}", (row["delta"], position), colour)
    axes.axvline(0, color=QUIET, linestyle="--", linewidth=1)
    axes.set(xlabel=f"Δ Score from {board.baseline}", ylabel="")
    name_rows(axes, order)


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
        draw_audit(axes, found, order, point, colours)
        axes.set_title(point, loc="left", fontweight="bold")
    for rule, (marker, filled) in OF_RULE.items():
        name = "ORACLE (best epoch on test)" if rule == "oracle" else rule
        panels[0].plot([], [], marker, color=QUIET, markerfacecolor=QUIET if filled else "none", label=name)
    marks, names = panels[0].get_legend_handles_labels()
    figure.legend(marks, names, loc="outside lower left", ncols=3, frameon=False, fontsize="small")
    seeds = sorted({row["n_ok"] for row in found.at("val", "argmax").values()})
    told = [found.split, f"{'–'.join(map(str, sorted({seeds[0], seeds[-1]})))} seeds", *_words(found.warnings)]
    return finished(figure, f"{'; '.join(told)}\nline: 95 % of val over new patients and seeds; dashed: always-normal")


def draw_audit(axes: Axes, found: Audit, order: Sequence[str], point: str, colours: Mapping[str, str]) -> None:
    """The Scores of methods, in this order, under each rule at one operating point, in the colours of their losses."""
    for rule, (marker, filled) in OF_RULE.items():
        rows = found.at(rule, point)
        for height, row in ((order.index(method), rows[method]) for method in order if method in rows):
            colour = colours[row["loss"]]
            if rule == "val":
                axes.hlines(height, row["low"], row["high"], color=colour, linewidth=2.5, alpha=0.35)
            inside = colour if filled else "none"
            axes.plot(row["score_mean"], height, marker, color=colour, markerfacecolor=inside, markersize=8)
    axes.axvline(FLOOR, color=QUIET, linestyle="--", linewidth=1)
    axes.set(xlabel="Score", ylabel="")
    name_rows(axes, order)


def name_rows(axes: Axes, order: Sequence[str]) -> None:
    """A row per method from the top, with room for a label above the first."""
    axes.set_yticks(range(len(order)), [textwrap.fill(name, NAME_WIDTH) for name in order])
    axes.set_ylim(len(order) - 0.5, -0.7)


def row_panels(count: int, names: Sequence[str]) -> tuple[ReportFigure, np.ndarray]:
    """Axes side by side, with room for a row of each name. Raises ResultsError where there is none."""
    if not count * len(names):
        raise ResultsError(
            "--figure: there is nothing to draw: no run is done, or no difference from a baseline is known."
        )
    with sns.axes_style("whitegrid", STYLE):
        lines = max(len(textwrap.wrap(name, NAME_WIDTH)) for name in names)
        of_row = max(0.55 if len(names) <= MANY_ROWS else 0.4, OF_LINE * lines)
        figure = ReportFigure(figsize=(4.4 * count + 0.8, 1.5 + of_row * len(names)), layout="constrained")
        panels: np.ndarray = figure.subplots(1, count, sharex=True, sharey=True, squeeze=False)[0]
    return figure, panels


def _dots(axes: Axes, runs: pd.DataFrame, order: Sequence[str], colours: Mapping[str, str]) -> None:
    """A dot per run, moved a little so that equal ones are both seen, and an upright bar at their mean."""
    for name, scores in runs.groupby("method")["score"]:
        method, row = str(name), order.index(str(name))
        moved = np.random.default_rng(0).uniform(-JITTER, JITTER, len(scores))  # the same in every drawing
        colour = colours[method]
        axes.plot(scores, row + moved, "o", color=colour, markersize=4, alpha=0.55, markeredgewidth=0)
        axes.plot(scores.mean(), row, "|", color=colour, markersize=14, markeredgewidth=2)
        say(axes, f"{scores.mean():.1f}", (scores.mean(), row), colour)


def say(axes: Axes, text: str, at: tuple[float, float], colour: str) -> None:
    """A label just above a mark."""
    axes.annotate(text, at, (0, 10), textcoords="offset points", ha="center", fontsize="small", color=colour)


def whole_numbers(axes: Axes) -> None:
    """Marks of the horizontal axis at whole numbers alone, as epochs and trials are; one is enough."""
    axes.xaxis.set_major_locator(MaxNLocator("auto", integer=True, min_n_ticks=1))


def write_out_names(figure: Figure) -> None:
    """Names in a finished figure become text that every format can hold, and that no formula begins in.

    Texts of ticks are made anew for every drawing: those that are names are given again, numbers are left alone.
    """
    of_ticks = set()
    for axis in (axis for axes in figure.axes for axis in (axes.xaxis, axes.yaxis)):
        # Names are given by `set_xticks` and `set_yticks`; a panel that hides those it shares has none of its own.
        if isinstance(axis.get_major_formatter(), FuncFormatter):
            names = [text.get_text() for text in axis.get_ticklabels()]
            if any(names):
                axis.set_ticklabels(list(map(_written_out, names)))
        of_ticks |= {text for tick in axis.get_major_ticks() for text in (tick.label1, tick.label2)}
    for text in figure.findobj(Text):
        if text not in of_ticks:
            text.set_text(_written_out(text.get_text()))


def _written_out(text: str) -> str:
    return visible(text).replace("$", r"\$")


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
