"""How each kind of panel is drawn."""

from __future__ import annotations

import itertools
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from ...boards.leaderboard import POINT, Board
from ...evaluation.metrics import FloatArray
from ..page.summaries import COVERAGE, QUALITY_BINS, SP_GRID, OfBoard, OfMethod, Reliability
from .board import FLOOR, NAME_WIDTH, QUIET, name_rows, whole_numbers
from .picture import INK, SOFT_INK, Panel

FAINT = ".7"  # the other methods, behind the one that a panel is about
MARKS = {"argmax": "o", "val-bias": "s"}
# Classes are no losses: on one panel they are told apart by line and name, never by a loss's colour.
CLASS_LINES = ("-", "--", ":", "-.")
FLAT = 4  # names of classes that stand side by side
FEWEST = 10  # clips in a bin of confidence for its frequency to be drawn
DEEPEST = 0.36  # opacity of a confusion cell, on which its number can still be read, in light and in dark

Colours = Mapping[str, str]


def _title(name: str) -> str:
    return textwrap.fill(name, NAME_WIDTH)


def shift_panel(inside: Board, outside: Board, colours: Colours, methods: Sequence[str], point: str) -> Panel:
    """Score on one split against Score on another, each with its 95 % interval."""

    def draw(axes: Axes) -> None:
        here, there = (_rows_at(board, point) for board in (inside, outside))
        known = [name for name in methods if name in here and name in there]
        for name in known:
            x, y, colour = here[name]["score_mean"], there[name]["score_mean"], colours[here[name]["loss"]]
            axes.hlines(y, here[name]["low"], here[name]["high"], color=colour, linewidth=1.5, alpha=0.3)
            axes.vlines(x, there[name]["low"], there[name]["high"], color=colour, linewidth=1.5, alpha=0.3)
            axes.plot(x, y, "o", color=colour, markersize=5)
        axes.axhline(FLOOR, color=QUIET, linestyle="--", linewidth=1)
        axes.axvline(FLOOR, color=QUIET, linestyle="--", linewidth=1)
        axes.set(xlabel=f"Score on {inside.split}", ylabel=f"Score on {outside.split}")
        axes.margins(x=0.08, y=0.08)
        marks = [(there[name]["score_mean"], here[name]["score_mean"], name) for name in known]
        names_at_the_side(axes, marks, [colours[here[name]["loss"]] for name in known], apart=0.055)

    return Panel(f"at {point}", draw, 5.0, 3.8)


def _rows_at(board: Board, point: str) -> dict[Any, dict[Any, Any]]:
    """Method → its row at an operating point."""
    return board.table[board.table[POINT] == point].set_index("method").to_dict("index")


def names_at_the_side(
    axes: Axes, marks: Sequence[tuple[float, float, str]], colours: Sequence[str], apart: float
) -> None:
    """A name for each mark (height, place, name) right of the axes, at its height or as near as the others allow.

    apart: the least distance of two names, as a share of the height of the axes.
    """
    low, high = axes.get_ylim()
    step = (high - low) * apart
    order = np.argsort([height for height, _, _ in marks])
    heights = np.array([marks[place][0] for place in order])
    shown = heights.copy()
    for place in range(1, len(shown)):
        shown[place] = max(shown[place], shown[place - 1] + step)
    shown += heights.mean() - shown.mean()  # as many are moved down as up
    for place, at in zip(order, shown, strict=True):
        height, across, name = marks[place]
        axes.annotate(
            name,
            (across, height),
            (1.02, (at - low) / (high - low)),
            textcoords="axes fraction",
            va="center",
            color=colours[place],
            fontsize="small",
            arrowprops={"arrowstyle": "-", "color": colours[place], "linewidth": 0.6, "alpha": 0.5, "shrinkB": 4},
        )


def curve_panel(of_board: OfBoard, method: OfMethod, colours: Colours) -> Panel:
    """The Sp–Se curve of a method, before those of the others, with its operating points."""

    def draw(axes: Axes) -> None:
        for other in of_board.methods:
            if other is not method:
                axes.plot(SP_GRID, np.mean(other.se, axis=0), color=FAINT, linewidth=0.8)
        colour = colours[method.loss]
        axes.fill_between(SP_GRID, np.min(method.se, axis=0), np.max(method.se, axis=0), color=colour, alpha=0.15, lw=0)
        axes.plot(SP_GRID, np.mean(method.se, axis=0), color=colour, linewidth=2)
        for point, mark in MARKS.items():
            row = _rows_at(of_board.board, point).get(method.name)
            if row:
                at = (row["sp_mean"], row["se_mean"])
                axes.plot(*at, mark, color=colour, markeredgecolor="white", markersize=7)
                axes.annotate(point, at, (6, 4), textcoords="offset points", fontsize="small", color=colour)
        axes.set(xlabel="Sp, %", ylabel="Se, %", xlim=(0, 100), ylim=(0, 100))

    return Panel(_title(method.name), draw)


def recall_panel(board: Board, name: str, about: str, order: Sequence[str], colours: Colours) -> Panel:
    """The recall of a class by every method at argmax: a dot per run, a bar at their mean."""
    runs = board.runs[board.runs[POINT] == "argmax"]

    def draw(axes: Axes) -> None:
        for position, method in enumerate(order):
            mine = runs[runs["method"] == method]
            colour = colours[mine["loss"].iloc[0]]
            recall = mine[f"recall_{name}"]
            axes.plot(recall, [position] * len(recall), "o", color=colour, markersize=3.5, alpha=0.5)
            axes.plot(recall.mean(), position, "|", color=colour, markersize=14, markeredgewidth=2)
            axes.annotate(
                f"{recall.mean():.0f}",
                (recall.mean(), position),
                (0, 9),
                textcoords="offset points",
                ha="center",
                fontsize="small",
                color=colour,
            )
        axes.set(xlabel="recall, %", xlim=(-3, 103))
        name_rows(axes, order)

    return Panel(about, draw, 5.0, 1.1 + 0.38 * len(order))


def confusion_panel(method: OfMethod, classes: Sequence[str], colours: Colours) -> Panel:
    """Shares of each true class that were called so, mean over runs; right calls in the colour of the loss."""
    shares = np.mean(method.confusion, axis=0)

    def draw(axes: Axes) -> None:
        axes.grid(visible=False)
        for row, column in np.ndindex(shares.shape):
            share = shares[row, column]
            if not np.isnan(share):
                colour = colours[method.loss] if row == column else QUIET
                axes.fill_between([column, column + 1], row, row + 1, color=colour, alpha=DEEPEST * share, linewidth=0)
                axes.text(column + 0.5, row + 0.5, f"{100 * share:.0f}", ha="center", va="center", color=INK)
        middles = np.arange(len(classes)) + 0.5
        axes.set_xticks(middles, classes, rotation=0 if len(classes) <= FLAT else 90)
        axes.set_yticks(middles, classes)
        axes.set(xlim=(0, len(classes)), ylim=(len(classes), 0), xlabel="called, %", ylabel="true class")
        axes.tick_params(length=0)

    room = max(0, len(classes) - FLAT)
    return Panel(_title(method.name), draw, 3.2 + 0.4 * room, 2.6 + 0.4 * room)


def reliability_panel(method: OfMethod, colours: Colours) -> Panel:
    """How often calls of a confidence are right: before the temperature dotted, after it solid."""

    def draw(axes: Axes) -> None:
        axes.plot([0, 1], [0, 1], color=QUIET, linestyle="--", linewidth=1)
        colour = colours[method.loss]
        axes.plot(*_frequencies(method.raw), color=colour, linestyle=":", linewidth=1.5)
        if method.scaled:
            axes.plot(*_frequencies(method.scaled), "o-", color=colour, linewidth=2, markersize=3.5)
        axes.set(xlabel="confidence", ylabel="share of right calls", xlim=(0.2, 1), ylim=(0, 1))

    return Panel(_title(method.name), draw)


def _frequencies(parts: Sequence[Reliability]) -> tuple[FloatArray, FloatArray]:
    """Mean confidence and share of right calls in each bin with enough clips."""
    whole = sum(parts[1:], parts[0])
    filled = whole.clips >= FEWEST * len(parts)
    return whole.confidence[filled] / whole.clips[filled], whole.hits[filled] / whole.clips[filled]


def risk_panel(method: OfMethod, colours: Colours) -> Panel:
    """The share of wrong calls among the clips kept, by confidence solid, by quality dashed."""

    def draw(axes: Axes) -> None:
        colour = colours[method.loss]
        for by, line in (("confidence", "-"), ("quality", "--")):
            if method.risk[by]:
                risk = 100 * np.mean(method.risk[by], axis=0)
                axes.plot(100 * COVERAGE, risk, color=colour, linestyle=line, linewidth=2)
                axes.annotate(
                    f"by {by}",
                    (100 * COVERAGE[4], risk[4]),
                    (0, 5 if line == "--" else -11),
                    textcoords="offset points",
                    fontsize="small",
                    color=colour,
                )
        axes.axhline(100 * np.mean([curve[-1] for curve in method.risk["confidence"]]), color=QUIET, ls=":", lw=1)
        axes.set(xlabel="clips kept, %", ylabel="wrong calls, %", xlim=(0, 100))
        axes.set_ylim(0, 1.15 * axes.get_ylim()[1])  # room for a label above the highest line

    return Panel(_title(method.name), draw)


def margin_panel(method: OfMethod, classes: Sequence[str], colours: Colours) -> Panel:
    """The angular margin of clips against their quality, a line per class through bins of equally many clips."""
    clips = pd.concat(method.margins)
    colour = colours[method.loss]

    def draw(axes: Axes) -> None:
        ends = []
        for index, (name, line) in enumerate(zip(classes, itertools.cycle(CLASS_LINES), strict=False)):
            mine = clips[clips["label"] == index]
            if len(mine):
                bins = pd.qcut(mine["quality"], min(QUALITY_BINS, len(mine)), duplicates="drop")
                means = mine.groupby(bins, observed=True)[["quality", "margin_rad"]].mean()
                axes.plot(means["quality"], means["margin_rad"], line, color=colour, linewidth=1.8)
                ends.append((means["margin_rad"].iloc[-1], means["quality"].iloc[-1], name))
        low, high = min(0.0, clips["margin_rad"].min()), max(0.0, clips["margin_rad"].max())
        axes.set(xlabel="quality", ylabel="margin, rad", ylim=(low - 0.05 * (high - low), high + 0.1 * (high - low)))
        names_at_the_side(axes, ends, [SOFT_INK] * len(ends), apart=0.09)

    return Panel(_title(method.name), draw)


def training_panel(
    name: str, histories: Sequence[pd.DataFrame], chosen: Mapping[str, Sequence[int]], colour: str
) -> Panel:
    """Validation Score (where there is one) and training loss over epochs, and at the foot the epochs that rules chose.

    Args:
        name: of the method.
        histories: epochs.csv of each run.
        chosen: rule → the epoch of each run.
        colour: of its loss.
    """
    frame = pd.concat(histories)
    by_epoch = frame.groupby("epoch").agg(["mean", "min", "max"])

    def draw(axes: Axes) -> None:
        loss = by_epoch["train_loss", "mean"]
        mark = "." if len(by_epoch) == 1 else ""  # a line through one point cannot be seen
        below = axes.inset_axes((0, 0, 1, 0.32))
        below.plot(loss.index, loss, marker=mark, color=QUIET, linewidth=1.2)
        below.set(xlabel="epoch", ylabel="loss")
        whole_numbers(below)
        below.tick_params(labelsize="small")
        above = axes.inset_axes((0, 0.42, 1, 0.58), sharex=below)
        scored = next((name for name in ("val_score", "val-auroc_score") if name in frame), None)
        if scored:
            score = by_epoch[scored]
            above.fill_between(score.index, score["min"], score["max"], color=colour, alpha=0.15, linewidth=0)
            above.plot(score.index, score["mean"], marker=mark, color=colour, linewidth=1.8)
        for place, (rule, epochs) in enumerate(chosen.items()):
            above.plot(
                epochs,
                [0.04 + 0.09 * place] * len(epochs),
                "|",
                color=colour,
                markersize=7,
                transform=above.get_xaxis_transform(),
            )
            above.annotate(
                rule,
                (1.01, 0.04 + 0.09 * place),
                xycoords="axes fraction",
                va="center",
                fontsize="x-small",
                color=SOFT_INK,
            )
        above.set(ylabel="val. Score")
        above.tick_params(labelbottom=False, labelsize="small")
        axes.axis("off")

    return Panel(_title(name), draw, 3.2, 2.9)
