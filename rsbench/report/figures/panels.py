"""How each kind of panel is drawn, from plain numbers and words.

Who draws in a process of its own loads this and matplotlib, and nothing of boards and runs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.colors import to_rgba
from numpy.typing import NDArray

from .style import FLOOR, INK, QUIET, SOFT_INK, whole_numbers

FloatArray = NDArray[np.float64]
Place = tuple[float, float]  # across and up
Curve = tuple[FloatArray, FloatArray]  # likewise

FAINT = ".7"  # the other methods, behind the one that a panel is about
MARKS = {"argmax": "o", "val-bias": "s"}
FLAT = 4  # names of classes that stand side by side
DEEPEST = 0.36  # opacity of a confusion cell, on which its number can still be read, in light and in dark


@dataclass(frozen=True)
class Crossing:
    """The Scores of a method on two splits, each with its 95 % interval."""

    method: str
    inside: float
    inside_interval: tuple[float, float]
    outside: float
    outside_interval: tuple[float, float]
    colour: str


@dataclass(frozen=True, eq=False)
class Band:
    """The mean of some curves with their lowest and highest values, (n,) each."""

    at: FloatArray
    mean: FloatArray
    lowest: FloatArray
    highest: FloatArray


@dataclass(frozen=True, eq=False)
class ClassCurve:
    """What is known of a class, across and up, (n,) each; line: how it is drawn."""

    name: str
    across: FloatArray
    up: FloatArray
    line: str


@dataclass(frozen=True, eq=False)
class ClipMap:
    """Clips on a plane, neighbours where their axes (N, A) are alike, by t-SNE (van der Maaten & Hinton 2008).

    It takes seconds to lay out, and is not before it is drawn: by the process that draws, once for all its panels.
    """

    axes: NDArray[np.float32]
    perplexity: float

    @cached_property
    def places(self) -> NDArray[np.float32]:
        """(N, 2), the same for the same clips: with several threads sums would be rounded in another order."""
        from sklearn.manifold import TSNE  # takes a second to load
        from threadpoolctl import threadpool_limits

        with threadpool_limits(1):
            laid_out = TSNE(init="pca", perplexity=self.perplexity, random_state=0).fit_transform(self.axes)
        places: NDArray[np.float32] = laid_out.astype(np.float32)
        return places

    def __reduce__(self) -> tuple[type[ClipMap], tuple[NDArray[np.float32], float]]:
        """What it follows from alone, so that a map is known again after it was laid out as well as before."""
        return ClipMap, (self.axes, self.perplexity)


@dataclass(frozen=True, eq=False)
class ClipKind:
    """Some of a map's clips: which, and how they are drawn."""

    name: str
    clips: NDArray[np.int64]
    colour: str


def draw_shift(axes: Axes, crossings: Sequence[Crossing], inside: str, outside: str) -> None:
    """Score on one split against Score on another, a dot per method."""
    for crossing in crossings:
        x, y, colour = crossing.inside, crossing.outside, crossing.colour
        axes.hlines(y, *crossing.inside_interval, color=colour, linewidth=1.5, alpha=0.3)
        axes.vlines(x, *crossing.outside_interval, color=colour, linewidth=1.5, alpha=0.3)
        axes.plot(x, y, "o", color=colour, markersize=5)
    axes.axhline(FLOOR, color=QUIET, linestyle="--", linewidth=1)
    axes.axvline(FLOOR, color=QUIET, linestyle="--", linewidth=1)
    axes.set(xlabel=f"Score on {inside}", ylabel=f"Score on {outside}")
    axes.margins(x=0.08, y=0.08)
    marks = [(crossing.outside, crossing.inside, crossing.method) for crossing in crossings]
    names_at_the_side(axes, marks, [crossing.colour for crossing in crossings], apart=0.055)


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


def draw_curve(axes: Axes, se: Band, others: Sequence[FloatArray], points: Mapping[str, Place], colour: str) -> None:
    """The Sp–Se curve of a method, before those of the others, with its operating points; all in percent."""
    for other in others:
        axes.plot(se.at, other, color=FAINT, linewidth=0.8)
    axes.fill_between(se.at, se.lowest, se.highest, color=colour, alpha=0.15, lw=0)
    axes.plot(se.at, se.mean, color=colour, linewidth=2)
    for point, at in points.items():
        axes.plot(*at, MARKS[point], color=colour, markeredgecolor="white", markersize=7)
        axes.annotate(point, at, (6, 4), textcoords="offset points", fontsize="small", color=colour)
    axes.set(xlabel="Sp, %", ylabel="Se, %", xlim=(0, 100), ylim=(0, 100))


def draw_confusion(axes: Axes, shares: FloatArray, classes: Sequence[str], colour: str) -> None:
    """Shares of each true class (C, C) that were called so; right calls in the colour of the loss. NaN is left out."""
    axes.grid(visible=False)
    cells = [cell for cell in np.ndindex(shares.shape) if not np.isnan(shares[cell])]
    corners = [[(x, y), (x + 1, y), (x + 1, y + 1), (x, y + 1)] for y, x in cells]
    depths = [DEEPEST * float(shares[cell]) for cell in cells]
    colours = [to_rgba(colour if x == y else QUIET, depth) for (y, x), depth in zip(cells, depths, strict=True)]
    axes.add_collection(PolyCollection(corners, facecolors=colours, linewidths=0), autolim=False)
    for y, x in cells:
        axes.text(x + 0.5, y + 0.5, f"{100 * shares[y, x]:.0f}", ha="center", va="center", color=INK)
    middles = np.arange(len(classes)) + 0.5
    axes.set_xticks(middles, classes, rotation=0 if len(classes) <= FLAT else 90)
    axes.set_yticks(middles, classes)
    axes.set(xlim=(0, len(classes)), ylim=(len(classes), 0), xlabel="called, %", ylabel="true class")
    axes.tick_params(length=0)


def draw_reliability(axes: Axes, raw: Curve, scaled: Curve | None, colour: str) -> None:
    """How often calls of a confidence are right: before the temperature dotted, after it solid."""
    axes.plot([0, 1], [0, 1], color=QUIET, linestyle="--", linewidth=1)
    axes.plot(*raw, color=colour, linestyle=":", linewidth=1.5)
    if scaled:
        axes.plot(*scaled, "o-", color=colour, linewidth=2, markersize=3.5)
    axes.set(xlabel="confidence", ylabel="share of right calls", xlim=(0.2, 1), ylim=(0, 1))


def draw_risk(axes: Axes, kept: FloatArray, risk: Mapping[str, FloatArray], of_all: float, colour: str) -> None:
    """The share of wrong calls among the clips kept, by confidence solid, by quality dashed; all in percent."""
    for by, line in (("confidence", "-"), ("quality", "--")):
        if by in risk:
            axes.plot(kept, risk[by], color=colour, linestyle=line, linewidth=2)
            axes.annotate(
                f"by {by}",
                (kept[4], risk[by][4]),
                (0, 5 if line == "--" else -11),
                textcoords="offset points",
                fontsize="small",
                color=colour,
            )
    axes.axhline(of_all, color=QUIET, ls=":", lw=1)
    axes.set(xlabel="clips kept, %", ylabel="wrong calls, %", xlim=(0, 100))
    axes.set_ylim(0, 1.15 * axes.get_ylim()[1])  # room for a label above the highest line


def draw_margin(axes: Axes, curves: Sequence[ClassCurve], limits: tuple[float, float], colour: str) -> None:
    """The angular margin of clips against their quality, a line per class.

    Args:
        axes: to draw on.
        curves: of the classes, quality and margin_rad.
        limits: the lowest and the highest margin of any clip, and 0.
        colour: of the loss.
    """
    for curve in curves:
        axes.plot(curve.across, curve.up, curve.line, color=colour, linewidth=1.8)
    low, high = limits
    axes.set(xlabel="quality", ylabel="margin, rad", ylim=(low - 0.05 * (high - low), high + 0.1 * (high - low)))
    ends = [(curve.up[-1], curve.across[-1], curve.name) for curve in curves]
    names_at_the_side(axes, ends, [SOFT_INK] * len(ends), apart=0.09)


def draw_training(
    axes: Axes, loss: Curve, score: Band | None, chosen: Sequence[tuple[str, Sequence[int]]], colour: str
) -> None:
    """Validation Score (where there is one) above training loss, and at the foot the epochs that rules chose.

    Args:
        axes: room for both.
        loss: epochs and the mean over runs.
        score: likewise.
        chosen: rules, and the epoch of each run.
        colour: of the loss.
    """
    mark = "." if len(loss[0]) == 1 else ""  # a line through one point cannot be seen
    below = axes.inset_axes((0, 0, 1, 0.32))
    below.plot(*loss, marker=mark, color=QUIET, linewidth=1.2)
    below.set(xlabel="epoch", ylabel="loss")
    whole_numbers(below)
    below.tick_params(labelsize="small")
    above = axes.inset_axes((0, 0.42, 1, 0.58), sharex=below)
    if score:
        above.fill_between(score.at, score.lowest, score.highest, color=colour, alpha=0.15, linewidth=0)
        above.plot(score.at, score.mean, marker=mark, color=colour, linewidth=1.8)
    for place, (rule, epochs) in enumerate(chosen):
        height = 0.04 + 0.09 * place
        foot = above.get_xaxis_transform()
        above.plot(epochs, [height] * len(epochs), "|", color=colour, markersize=7, transform=foot)
        at = (1.01, height)
        above.annotate(rule, at, xycoords="axes fraction", va="center", fontsize="x-small", color=SOFT_INK)
    above.set(ylabel="val. Score")
    above.tick_params(labelbottom=False, labelsize="small")
    _bare(axes)
    axes.axis("off")


def draw_kinds(axes: Axes, clips: ClipMap, kinds: Sequence[ClipKind]) -> None:
    """Clips on a map, each in the colour of its kind."""
    for kind in kinds:
        across, up = clips.places[kind.clips].T
        axes.scatter(across, up, s=5, color=kind.colour, linewidth=0, rasterized=True, label=kind.name)
    axes.legend(loc="upper left", bbox_to_anchor=(0, 0), ncols=2, frameon=False, markerscale=3)
    _bare(axes)


def draw_qualities(axes: Axes, clips: ClipMap, quality: FloatArray) -> None:
    """Clips on a map, coloured by their quality (N,) in [0, 1]."""
    across, up = clips.places.T
    shown = axes.scatter(across, up, 5, quality, cmap="cividis", vmin=0, vmax=1, linewidth=0, rasterized=True)
    scale = axes.inset_axes((0.02, -0.06, 0.5, 0.03))
    axes.figure.colorbar(shown, cax=scale, orientation="horizontal", ticks=[0, 0.5, 1])
    _bare(axes)


def _bare(axes: Axes) -> None:
    """Without marks and grid: neither place nor distance has a unit."""
    axes.set(xticks=[], yticks=[])
    axes.grid(visible=False)
