"""Pictures: one figure of all panels for files; the same panels for the page, where they follow light and dark."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

import matplotlib
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.backend_bases import RendererBase
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.transforms import Affine2D, Bbox

from ...core.text import file_name, visible
from .style import PALETTE, SOFT_INK, WHITE_GRID, write_out_names

ACROSS = 3  # panels side by side in a file
DPI = 160
POINTS, PIXELS = 72, 96  # of an SVG file and of a style sheet, to an inch
HEAD = 0.3  # inches above all panels, for what the picture is of
PAD = 0.06  # inches that stay free around a panel
# About what titles, labels and numbers around a panel take, left, below, right and above, in inches.
AROUND = (0.6, 0.5, 0.2, 0.35)

SVG = "http://www.w3.org/2000/svg"
ElementTree.register_namespace("", SVG)
ElementTree.register_namespace("xlink", "http://www.w3.org/1999/xlink")

# What the page's style sheet names, by the colour that stands for it in a drawing. Greys are those of `style`: text,
# labels, marks that step back, lines of the grid and of the frame.
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
    """One pair of axes: what it shows in words, how it is drawn, and its size in inches.

    draw: a function of a module with all that it draws, by `partial`: so a panel can be drawn in another process, and
    known again by what it shows. effort: how long that takes, as a number of usual panels.
    """

    title: str
    draw: Callable[[Axes], None]
    width: float = 3.2
    height: float = 2.5
    effort: int = 1


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

    @property
    def effort(self) -> int:
        """That of its panels."""
        return sum(panel.effort for panel in self.panels)


@dataclass(frozen=True)
class Drawn:
    """A picture in the page: an SVG element per panel; name: that of its files. files: their names and content."""

    name: str
    caption: str
    panels: tuple[Markup, ...]
    files: Mapping[str, bytes] = field(repr=False)


def render(picture: Picture) -> Drawn:
    """Draw a picture, as PNG and as SVG, and cut its panels out for the page."""
    name = file_name(picture.name)
    with matplotlib.rc_context(WHITE_GRID | _settings(name)):
        figure, cells = _whole(picture)
        svg, png = io.BytesIO(), io.BytesIO()
        figure.savefig(svg, format="svg", dpi=DPI, metadata={"Date": None})
        figure.savefig(png, format="png", dpi=DPI)
    whole = ElementTree.fromstring(svg.getvalue())
    panels = [
        _cut(whole, panel, cell, _cell_id(number))
        for number, (panel, cell) in enumerate(zip(picture.panels, cells, strict=True))
    ]
    return Drawn(name, picture.caption, tuple(panels), {f"{name}.svg": svg.getvalue(), f"{name}.png": png.getvalue()})


def _settings(name: str) -> dict[Any, Any]:
    """Text stays text, and the same picture has the same bytes and ids that no other picture has."""
    return {"svg.fonttype": "none", "svg.hashsalt": name, "font.size": 9, "axes.titlesize": 9.5, "legend.fontsize": 8}


def _whole(picture: Picture) -> tuple[Figure, list[Bbox]]:
    """All panels in one figure, and the cell of each, in inches from its lower left corner."""
    across = min(ACROSS, len(picture.panels))
    down = -(-len(picture.panels) // across)
    width = max(panel.width for panel in picture.panels)
    height = max(panel.height for panel in picture.panels)
    # Laid out for the resolution that text is drawn in.
    figure = Figure(figsize=(across * width, down * height + HEAD), dpi=DPI)
    top = 1 - PAD / figure.get_figheight()
    figure.suptitle(picture.told, x=0.01, y=top, ha="left", va="top", fontsize="small", color=SOFT_INK)
    cells = []
    for number, panel in enumerate(picture.panels):
        row, column = divmod(number, across)
        cells.append(Bbox.from_bounds(column * width, (down - 1 - row) * height, width, height))
        axes = figure.add_axes(_inside(cells[-1], AROUND, figure).bounds, gid=_cell_id(number))
        panel.draw(axes)
        axes.set_title(panel.title, loc="left", fontweight="bold", y=1)  # where it would come to lie, not searched for
    write_out_names(figure)
    renderer = FigureCanvasAgg(figure).get_renderer()
    for axes, cell in zip(figure.axes, cells, strict=True):
        axes.set_position(_inside(cell, _taken_around(axes, renderer), figure))
    return figure, cells


def _cell_id(number: int) -> str:
    return f"cell-{number}"


def _inside(cell: Bbox, margins: Sequence[float], figure: Figure) -> Bbox:
    """What of a cell its margins (left, below, right, above, all in inches) leave to the axes, in shares of the figure.

    Never less than a quarter of it: a name that takes more reaches beyond the cell.
    """
    left, below, right, above = margins
    wide, high = max(cell.width - left - right, cell.width / 4), max(cell.height - below - above, cell.height / 4)
    axes = Bbox.from_bounds(cell.x0 + left, cell.y0 + below, wide, high)
    return axes.transformed(Affine2D().scale(1 / figure.get_figwidth(), 1 / figure.get_figheight()))


def _taken_around(axes: Axes, renderer: RendererBase) -> list[float]:
    """What titles, labels and numbers take left, below, right and above, in inches.

    Measured once, on axes of about the size that they will have: every panel stands alone in its cell, so that no other
    has a say in its margins, and no solver is needed.
    """
    inner = axes.bbox
    whole = axes.get_tightbbox(renderer, for_layout_only=True) or inner
    beyond = (inner.x0 - whole.x0, inner.y0 - whole.y0, whole.x1 - inner.x1, whole.y1 - inner.y1)
    return [max(0.0, pixels) / DPI + PAD for pixels in beyond]


def _cut(whole: Element, panel: Panel, cell: Bbox, cell_id: str) -> Markup:
    """A panel as an SVG element of its own, in the page's colours and font, without what cannot be seen."""
    (group,) = whole.findall(f".//{{{SVG}}}g[@id='{cell_id}']")
    height = float(whole.get("viewBox", "").split()[3])
    left, top = POINTS * cell.x0, height - POINTS * cell.y1
    element = Element(f"{{{SVG}}}svg")
    element.set("viewBox", f"{left:.2f} {top:.2f} {POINTS * cell.width:.2f} {POINTS * cell.height:.2f}")
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
