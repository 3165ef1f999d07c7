"""What all pictures look alike in: colours, grid, names of rows and labels of marks."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import FuncFormatter, MaxNLocator

from ...core.text import visible

FLOOR = 50.0  # Score of always answering "normal"
# Okabe and Ito's palette: told apart by colour-blind readers.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
# Greys: text, labels, marks that step back.
INK, SOFT_INK, QUIET = ".15", ".35", ".45"
STYLE = {"axes.edgecolor": ".8"}
# seaborn's style "whitegrid" under STYLE, as far as matplotlib's own differs: who draws hundreds of panels in processes
# of their own need not load seaborn, and SciPy with it, in each.
WHITE_GRID: dict[Any, Any] = STYLE | {
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.labelcolor": INK,
    "font.sans-serif": ["Arial", "DejaVu Sans", "Liberation Sans", "Bitstream Vera Sans", "sans-serif"],
    "grid.color": ".8",
    "lines.solid_capstyle": "round",
    "patch.edgecolor": "w",
    "patch.force_edgecolor": True,
    "text.color": INK,
    "xtick.bottom": False,
    "xtick.color": INK,
    "ytick.color": INK,
    "ytick.left": False,
}
NAME_WIDTH = 28  # letters of a method's name on one line


def name_rows(axes: Axes, order: Sequence[str]) -> None:
    """A row per method from the top, with room for a label above the first."""
    axes.set_yticks(range(len(order)), [textwrap.fill(name, NAME_WIDTH) for name in order])
    axes.set_ylim(len(order) - 0.5, -0.7)


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
