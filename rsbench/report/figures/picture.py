"""Pictures: one figure of all panels for files; the same panels for the page, where they follow light and dark."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

import matplotlib
import seaborn as sns
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from ...core.files import write_bytes, writing
from ...core.text import file_name, visible
from .board import PALETTE, STYLE, write_out_names

ACROSS = 3  # panels side by side in a file
DPI = 160
POINTS, PIXELS = 72, 96  # of an SVG file and of a style sheet, to an inch

SVG = "http://www.w3.org/2000/svg"
ElementTree.register_namespace("", SVG)
ElementTree.register_namespace("xlink", "http://www.w3.org/1999/xlink")

# What the page's style sheet names, by the colour that stands for it in a drawing. Greys are those of seaborn's
# whitegrid and of `boards.figures`: text, labels, marks that step back, lines of the grid and of the frame.
INK, SOFT_INK = ".15", ".35"
_THEMED = {
    "#262626": "ink",
    "#000000": "ink",
    "#595959": "soft",
    "#737373": "quiet",
    "#b3b3b3": "faint",
    "#cccccc": "line",
    "#ffffff": "paper",
    **{colour.lower(): f"colour-{place}" for place, colour in enumerate(PALETTE)},
}
_COLOUR = re.compile("|".join(_THEMED))
_TAG = re.compile(r"<[^>]+>")  # what stands between tags is text, to be left as it is
_CLIPPED = re.compile(r"url\(#(\w+)\)")
_LONG_NUMBER = re.compile(r"(\d+\.\d\d)\d+")
# Ids that nothing refers to, alike in every drawing; fonts, which are the page's; rotations by nothing.
_NEEDLESS = re.compile(
    r""" id="[\w.]+_\d+"| font-family: [^;]*;| transform="rotate\(-0 [^"]*"|\s*<metadata>.*?</metadata>"""
    r"""|\s*<style.*?</style>|^\s+""",
    flags=re.DOTALL | re.MULTILINE,
)


@dataclass(frozen=True)
class Panel:
    """One pair of axes: what it shows in words, how it is drawn, and its size in inches."""

    title: str
    draw: Callable[[Axes], None]
    width: float = 3.2
    height: float = 2.5


@dataclass(frozen=True)
class Picture:
    """Panels that are seen together.

    name: of its files. told: the rule, the split and the kind of data, for who sees the file alone. caption: what is
    seen, in the page.
    """

    name: str
    told: str
    caption: str
    panels: Sequence[Panel]


@dataclass(frozen=True)
class Drawn:
    """A picture in the page: an SVG element per panel; name: that of its files."""

    name: str
    caption: str
    panels: tuple[Markup, ...]


def render(picture: Picture, folder: Path) -> Drawn:
    """Draw a picture, write it as `<folder>/<name>.png` and `.svg`, and cut its panels out for the page."""
    name = file_name(picture.name)
    with sns.axes_style("whitegrid", STYLE), matplotlib.rc_context(_settings(name)):
        figure, cells = _whole(picture)
        svg = io.BytesIO()
        figure.savefig(svg, format="svg", dpi=DPI, metadata={"Date": None})
        write_bytes(folder / f"{name}.svg", svg.getvalue())
        with writing(folder / f"{name}.png") as file:
            figure.savefig(file, format="png", dpi=DPI)
    whole = ElementTree.fromstring(svg.getvalue())
    panels = [_cut(whole, panel, cell) for panel, cell in zip(picture.panels, cells, strict=True)]
    return Drawn(name, picture.caption, tuple(panels))


def _settings(name: str) -> dict[Any, Any]:
    """Text stays text, and the same picture has the same bytes and ids that no other picture has."""
    return {"svg.fonttype": "none", "svg.hashsalt": name, "font.size": 9, "axes.titlesize": 9.5, "legend.fontsize": 8}


def _whole(picture: Picture) -> tuple[Figure, list[SubFigure]]:
    """All panels in one figure, each in a cell of its own."""
    across = min(ACROSS, len(picture.panels))
    down = -(-len(picture.panels) // across)
    width = across * max(panel.width for panel in picture.panels)
    height = down * max(panel.height for panel in picture.panels)
    figure = Figure(figsize=(width, height + 0.4), dpi=DPI)  # laid out for the resolution that text is drawn in
    cells = list(figure.subfigures(down, across, squeeze=False).flat)[: len(picture.panels)]
    for number, (panel, cell) in enumerate(zip(picture.panels, cells, strict=True)):
        cell.set_gid(f"cell-{number}")
        axes = cell.subplots()
        panel.draw(axes)
        axes.set_title(panel.title, loc="left", fontweight="bold", y=1)  # where it would come to lie, not searched for
    figure.suptitle(picture.told, x=0.01, ha="left", fontsize="small", color=SOFT_INK)
    write_out_names(figure)
    ConstrainedLayoutEngine().execute(figure)  # once; a figure with an engine would do so again for every file
    return figure, cells


def _cut(whole: Element, panel: Panel, cell: SubFigure) -> Markup:
    """A panel as an SVG element of its own, in the page's colours and font, without what cannot be seen."""
    (group,) = whole.findall(f".//{{{SVG}}}g[@id='{cell.get_gid()}']")
    scale = POINTS / cell.dpi
    left, right = cell.bbox.x0 * scale, cell.bbox.x1 * scale
    top, bottom = (POINTS * cell.figure.get_figheight() - side * scale for side in (cell.bbox.y1, cell.bbox.y0))
    element = Element(f"{{{SVG}}}svg")
    element.set("viewBox", f"{left:.2f} {top:.2f} {right - left:.2f} {bottom - top:.2f}")
    # What is black is written without a fill, and has that of the element: none would be black on a dark page.
    element.set("style", f"width: {PIXELS * panel.width:.0f}px; fill: #000000")
    for name, value in (("class", "panel"), ("role", "img"), ("aria-label", visible(panel.title))):
        element.set(name, value)
    clipped = set(_CLIPPED.findall(ElementTree.tostring(group, encoding="unicode")))
    element.extend([*(path for path in whole.iter(f"{{{SVG}}}clipPath") if path.get("id") in clipped), *group])
    text = _NEEDLESS.sub("", ElementTree.tostring(element, encoding="unicode"))
    return Markup(_TAG.sub(lambda tag: _LONG_NUMBER.sub(r"\1", _COLOUR.sub(_variable, tag[0])), text))


def _variable(colour: re.Match[str]) -> str:
    return f"var(--{_THEMED[colour[0]]})"
