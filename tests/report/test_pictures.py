"""A picture's file and its panels in the page show the same, and what is written in them stays as it is."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from importlib.resources import files
from itertools import combinations
from xml.etree import ElementTree

import matplotlib
import pandas as pd
import pytest
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from rsbench.report.figures.board import colours_of
from rsbench.report.figures.panels import DEEPEST
from rsbench.report.figures.picture import DPI, Drawn, Panel, Picture, _whole, render
from rsbench.report.figures.style import PALETTE, STYLE, WHITE_GRID
from rsbench.report.page.panels import training_panel

WORDS = ("lr 0.00125 <of> #262626 & more", "#0072B2")


def draw(axes: Axes) -> None:
    axes.plot([0, 1], [0, 1 / 3], color=PALETTE[0])
    axes.text(0.5, 0.2, WORDS[0])
    axes.set_xlabel(WORDS[1])
    axes.fill_between([0, 1], 0, 0.2, color="black")
    axes.annotate("black", (0.1, 0.1), color="#000000")
    axes.plot(0.5, 0.5, "o", color="black")


@pytest.fixture(scope="module")
def drawn() -> Drawn:
    return render(Picture("one", "told", "seen", [Panel(f"panel {number}", draw) for number in range(2)]))


def test_texts_are_left_alone_and_numbers_and_colours_are_not(drawn: Drawn) -> None:
    for number, panel in enumerate(drawn.panels):
        element = ElementTree.fromstring(panel)
        texts = [text.text for text in element.iter() if text.tag.endswith("text")]
        assert {*WORDS, f"panel {number}"} <= set(texts)
        attributes = " ".join(value for one in element.iter() for value in one.attrib.values())
        assert "var(--colour-0)" in attributes
        assert not re.search(r"#[0-9a-f]{6}", attributes)
        assert not re.search(r"\d\.\d{3}", attributes)


def test_nothing_is_black_on_a_dark_page(drawn: Drawn) -> None:
    """What has no fill is drawn black, and matplotlib writes none for black."""

    def fills(element: ElementTree.Element, inherited: str) -> Iterator[tuple[str, str]]:
        found = re.search(r"fill: ([^;]+)", element.get("style", ""))
        own = found[1] if found else element.get("fill", inherited)
        yield element.tag.rpartition("}")[2], own
        for child in element:
            yield from fills(child, own)

    for panel in drawn.panels:
        drawn_with = list(fills(ElementTree.fromstring(panel), ""))
        assert Counter(tag for tag, _ in drawn_with).keys() >= {"text", "path", "use"}
        for tag, fill in drawn_with:
            assert fill == "none" or re.fullmatch(r"var\(--[a-z]+(-\d)?\)", fill), (tag, fill)
        assert sum(fill == "var(--colour-6)" for _, fill in drawn_with) > 3


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_number_in_a_confusion_cell_can_be_read(scheme: str) -> None:
    """Contrast of 4.5 and more, as WCAG 2.2 asks for text, on the deepest cell of every loss."""
    style = files("rsbench.report.page").joinpath("page.css").read_text(encoding="utf-8")
    light, _, dark = style.partition("@media (prefers-color-scheme: dark)")
    text = light if scheme == "light" else dark.partition("\n}")[0]
    colours = {name: to_rgb(colour) for name, colour in re.findall(r"--([\w-]+): (#\w{6})", text)}

    def luminance(colour: Sequence[float]) -> float:
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in colour]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    for name in ("quiet", *(f"colour-{place}" for place in range(len(PALETTE)))):
        mixed = [
            DEEPEST * above + (1 - DEEPEST) * below
            for above, below in zip(colours[name], colours["paper"], strict=True)
        ]
        low, high = sorted([luminance(mixed), luminance(colours["ink"])])
        assert (high + 0.05) / (low + 0.05) >= 4.5, name


@pytest.mark.parametrize("epochs", [1, 2, 3, 50])
def test_epochs_are_whole_numbers(epochs: int) -> None:
    history = pd.DataFrame({"epoch": range(1, epochs + 1), "train_loss": 1.0, "val_score": 50.0})
    axes = Figure().subplots()
    training_panel("ce", [history], {"val": [1]}, PALETTE[0]).draw(axes)
    below, above = axes.child_axes
    for curve in (below.lines[0], above.lines[0]):
        assert len(curve.get_xdata()) == epochs
        assert (curve.get_marker() == ".") == (epochs == 1)  # else a single epoch could not be seen
    below.figure.draw_without_rendering()
    inside = [tick for tick in below.get_xticks() if 0.9 <= tick <= epochs + 0.1]
    assert inside
    assert all(float(tick).is_integer() for tick in inside)


def test_the_grid_is_that_of_seaborn() -> None:
    style = {**matplotlib.rcParamsDefault, **sns.axes_style("whitegrid", STYLE), "image.cmap": None}
    assert {**matplotlib.rcParamsDefault, **WHITE_GRID, "image.cmap": None} == style


@pytest.mark.parametrize(
    ("title", "words"), [("panel", "word"), ("two lines\nof a title", "long words " * 2), ("a title " * 10, "w")]
)
def test_nothing_of_a_panel_lies_outside_its_cell(title: str, words: str) -> None:
    """As measured in the finished figure; a title that is too long for any cell goes on to the right."""

    def described(axes: Axes) -> None:
        axes.plot([1e-3, 2e5], [0, 1e4])
        axes.set(xlabel=words, ylabel=words)
        axes.annotate(words, (1.02, 0.5), textcoords="axes fraction", xycoords="axes fraction")

    figure, cells = _whole(Picture("one", "told", "seen", [Panel(title, described, 4.0, 3.0)] * 5))
    renderer = FigureCanvasAgg(figure).get_renderer()
    for axes, cell in zip(figure.axes, cells, strict=True):
        seen, inner = axes.get_tightbbox(renderer, for_layout_only=True), axes.bbox
        assert seen is not None
        assert DPI * cell.x0 <= seen.x0 < inner.x0
        assert inner.x1 < seen.x1 <= DPI * cell.x1
        assert DPI * cell.y0 <= seen.y0 < inner.y0
        assert inner.y1 < seen.y1 <= DPI * cell.y1
        assert inner.width > 0.3 * DPI * cell.width  # and the room is not given away
        assert inner.height > 0.3 * DPI * cell.height


def test_a_panel_shows_its_own_part_of_the_file(drawn: Drawn) -> None:
    """Every text of a panel lies in its view, at the place that it has in the file."""
    whole = ElementTree.fromstring(drawn.files["one.svg"])
    places = {(text.text, f"{float(text.get('x', 'nan')):.1f}") for text in whole.iter() if text.tag.endswith("text")}
    for panel in drawn.panels:
        element = ElementTree.fromstring(panel)
        left, top, width, height = map(float, element.get("viewBox", "").split())
        texts = [text for text in element.iter() if text.tag.endswith("text") and text.get("x")]
        assert len(texts) > 5
        for text in texts:
            x, y = float(text.get("x", "")), float(text.get("y", ""))
            assert left <= x <= left + width
            assert top <= y <= top + height
            assert any(text.text == word and abs(float(place) - x) < 0.2 for word, place in places)


def test_the_same_picture_has_the_same_bytes_and_ids_of_its_own(drawn: Drawn) -> None:
    panels = [Panel(f"panel {number}", draw) for number in range(2)]
    again, other = (render(Picture(name, "told", "seen", panels)) for name in ("one", "other"))
    assert again == drawn  # its files too
    assert sorted(again.files) == ["one.png", "one.svg"]
    ids = [set(re.findall(r' id="([^"]+)"', "".join(one.panels))) for one in (again, other)]
    assert ids[0]
    assert not ids[0] & ids[1]


def test_a_loss_has_one_colour_and_its_neighbours_have_others() -> None:
    losses = [f"loss{number}" for number in range(7)]
    assert len(set(colours_of(losses).values())) == 7
    assert colours_of(reversed(losses * 2)) == colours_of(losses)


def test_a_loss_keeps_its_colour_from_board_to_board() -> None:
    of_one = {name: colours_of([name])[name] for name in (f"loss{number}" for number in range(20))}
    first, second = next(pair for pair in combinations(of_one, 2) if of_one[pair[0]] != of_one[pair[1]])
    assert colours_of([first, second]) == {first: of_one[first], second: of_one[second]}
    shared = Counter(colours_of(of_one).values())
    assert max(shared.values()) - min(shared.values()) <= 1
