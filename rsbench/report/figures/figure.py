"""A figure as notebooks show it and papers print it."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib import font_manager
from matplotlib.figure import Figure
from matplotlib.text import Text

from ...core.errors import SpecError, StorageError, did_you_mean

DPI = 160
SIGNS = "DejaVu Sans"  # comes with matplotlib, and has the signs that a font may lack
CM_TO_INCH = 2.54
LEGEND_IN_A_LINE = 5.0  # inches
LETTERS_TO_INCH = 17  # of the small line above a figure, on average
WARNED = (
    "SYNTHETIC",
    "PARTIAL",
    "CONTAMINATED",
    "ORACLE",
    "Not a medical device",
)  # what a picture says whoever looks at it


class ReportFigure(Figure):
    """A matplotlib figure that a notebook shows by itself, and whose PDF embeds TrueType fonts, as journals ask.

    told: what it is of, in the line above it.
    """

    told = ""

    def savefig(self, *args: Any, **options: Any) -> None:
        """As matplotlib has it."""
        with matplotlib.rc_context({"pdf.fonttype": 42, "ps.fonttype": 42}):
            super().savefig(*args, **options)

    def _repr_png_(self) -> bytes:
        """A picture in a notebook, whether or not pyplot is used there."""
        shown = io.BytesIO()
        self.savefig(shown, format="png")
        return shown.getvalue()


@dataclass(frozen=True)
class FigureStyle:
    """How a figure is written.

    width_cm: of the whole, None: as it was drawn. font: one that the system has, None: matplotlib's own. provenance:
    whether the picture says what it is of; the metadata of the file always do.
    """

    width_cm: float | None = None
    font: str | None = None
    provenance: bool = True


def known_font(name: str) -> None:
    """Raise SpecError for a font that the system has not."""
    try:
        font_manager.findfont(name, fallback_to_default=False)
    except ValueError:
        guess = did_you_mean(name, font_manager.get_font_names())
        raise SpecError(f"--font {name}: there is no such font here.{guess}") from None


def write_figure(figure: ReportFigure, path: Path, style: FigureStyle | None = None) -> None:
    """Write a figure; the ending of `path` says the format. Raises StorageError where that is impossible."""
    style = style or FigureStyle()
    families = [style.font, SIGNS] if style.font else matplotlib.rcParams["font.family"]
    _restyle(figure, style, families)
    field = "Subject" if path.suffix.lower() == ".pdf" else "Description"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with matplotlib.rc_context({"font.family": families}):  # of numbers at axes, which are made as it is drawn
            figure.savefig(path, dpi=DPI, metadata={field: " ".join(figure.told.split())})
    except OSError as error:
        raise StorageError(f"--figure {path}: cannot be written ({error.strerror}).") from error


def _restyle(figure: ReportFigure, style: FigureStyle, families: Sequence[str]) -> None:
    told = figure.told
    if not style.provenance:
        told = ", ".join(word for word in WARNED if word in figure.told)
    if style.width_cm is not None:
        figure.set_size_inches(style.width_cm / CM_TO_INCH, figure.get_figheight())
        _narrow(figure)
    if figure.told:
        letters = int(figure.get_figwidth() * LETTERS_TO_INCH)
        lines = [textwrap.fill(line, letters) for line in told.splitlines()]
        figure.suptitle("\n".join(lines), x=0.01, ha="left", fontsize="small", color=".35")
    if style.font:
        for text in figure.findobj(Text):
            text.set_fontfamily(families)


def _narrow(figure: ReportFigure) -> None:
    """Labels below axes are wrapped, and a legend has one entry below the other, where they would be cut off."""
    panels = len(figure.axes)
    for axes in figure.axes:
        letters = max(6, int(0.4 * figure.get_figwidth() / panels * LETTERS_TO_INCH))  # a third is for names
        axes.set_xlabel(textwrap.fill(axes.get_xlabel(), letters, break_long_words=False))
    for legend in list(figure.legends):
        marks = [mark for mark in legend.legend_handles if mark is not None]
        names = [text.get_text() for text in legend.get_texts()]
        legend.remove()
        columns = 1 if figure.get_figwidth() < LEGEND_IN_A_LINE else len(names)
        figure.legend(marks, names, loc="outside lower left", ncols=columns, frameon=False, fontsize="small")
