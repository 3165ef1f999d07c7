"""Methods as rows of a panel, one below the other: what of them is drawn, and how."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from .style import FLOOR, PALETTE, QUIET, name_rows, say

JITTER = 0.12  # rows, up or down
# How a rule is drawn: mark, and whether it is filled. The one that looks at the test set is hollow.
OF_RULE = {"oracle": ("D", False), "val": ("o", True), "last": ("|", True)}


@dataclass(frozen=True, eq=False)
class RunsRow:
    """The figure of every run of a method (runs,), NaN where there is none, their mean and its 95 % interval."""

    method: str
    values: NDArray[np.float64]
    mean: float
    colour: str
    low: float = np.nan
    high: float = np.nan


@dataclass(frozen=True)
class DifferenceRow:
    """How far a method is from the baseline, with its simultaneous interval; verdict: "better", "worse" or another."""

    method: str
    delta: float
    low: float
    high: float
    verdict: str


@dataclass(frozen=True)
class RuleRow:
    """The mean Score of a method under a rule with its 95 % interval."""

    method: str
    mean: float
    low: float
    high: float
    colour: str


def draw_scores(axes: Axes, order: Sequence[str], rows: Sequence[RunsRow]) -> None:
    """Score of every run of methods, a dot each, moved a little so that equal ones are both seen; a bar: their mean."""
    for row in rows:
        at, colour = order.index(row.method), row.colour
        moved = np.random.default_rng(0).uniform(-JITTER, JITTER, len(row.values))  # the same in every drawing
        axes.plot(row.values, at + moved, "o", color=colour, markersize=4, alpha=0.55, markeredgewidth=0)
        axes.plot(row.mean, at, "|", color=colour, markersize=14, markeredgewidth=2)
        say(axes, f"{row.mean:.1f}", (row.mean, at), colour)
        if not np.isnan(row.low):
            axes.hlines(at, row.low, row.high, color=colour, linewidth=2.5, alpha=0.45, zorder=1)
    axes.axvline(FLOOR, color=QUIET, linestyle="--", linewidth=1)
    axes.set(xlabel="Score", ylabel="")
    name_rows(axes, order)


def draw_differences(axes: Axes, order: Sequence[str], rows: Sequence[DifferenceRow], baseline: str) -> None:
    """Paired differences of methods from the baseline; what cannot be told from it is grey."""
    for row in rows:
        at, colour = order.index(row.method), {"better": PALETTE[2], "worse": PALETTE[1]}.get(row.verdict, QUIET)
        axes.hlines(at, row.low, row.high, color=colour, linewidth=2)
        axes.plot(row.delta, at, "o", color=colour)
        say(axes, f"{row.delta:+z.1f}", (row.delta, at), colour)
    axes.axvline(0, color=QUIET, linestyle="--", linewidth=1)
    axes.set(xlabel=f"Δ Score from {baseline}", ylabel="")
    name_rows(axes, order)


def draw_audit(axes: Axes, order: Sequence[str], rules: Mapping[str, Sequence[RuleRow]]) -> None:
    """Scores of methods by the rule that chose the epoch."""
    for rule, (marker, filled) in OF_RULE.items():
        for row in rules[rule]:
            at, colour = order.index(row.method), row.colour
            if rule == "val":
                axes.hlines(at, row.low, row.high, color=colour, linewidth=2.5, alpha=0.35)
            axes.plot(row.mean, at, marker, color=colour, markerfacecolor=colour if filled else "none", markersize=8)
    axes.axvline(FLOOR, color=QUIET, linestyle="--", linewidth=1)
    axes.set(xlabel="Score", ylabel="")
    name_rows(axes, order)


def draw_recall(axes: Axes, order: Sequence[str], rows: Sequence[RunsRow]) -> None:
    """The recall of a class by every method: a dot per run, a bar at their mean."""
    for row in rows:
        at, colour = order.index(row.method), row.colour
        axes.plot(row.values, [at] * len(row.values), "o", color=colour, markersize=3.5, alpha=0.5)
        axes.plot(row.mean, at, "|", color=colour, markersize=14, markeredgewidth=2)
        say(axes, f"{row.mean:.0f}", (row.mean, at), colour)
    axes.set(xlabel="recall, %", xlim=(-3, 103))
    name_rows(axes, order)
