"""A picture's file and its panels in the page show the same, and what is written in them stays as it is."""

from __future__ import annotations

import re
from collections import Counter
from itertools import combinations
from pathlib import Path
from xml.etree import ElementTree

import pytest
from matplotlib.axes import Axes

from rsbench.report.figures.board import PALETTE, colours_of
from rsbench.report.figures.picture import Drawn, Panel, Picture, render

WORDS = ("lr 0.00125 <of> #262626 & more", "#0072B2")


def draw(axes: Axes) -> None:
    axes.plot([0, 1], [0, 1 / 3], color=PALETTE[0])
    axes.text(0.5, 0.2, WORDS[0])
    axes.set_xlabel(WORDS[1])


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> tuple[Drawn, Path]:
    folder = tmp_path_factory.mktemp("figures")
    return render(
        Picture("one", "told", "seen", [Panel(f"panel {number}", draw) for number in range(2)]), folder
    ), folder


def test_texts_are_left_alone_and_numbers_and_colours_are_not(drawn: tuple[Drawn, Path]) -> None:
    for number, panel in enumerate(drawn[0].panels):
        element = ElementTree.fromstring(panel)
        texts = [text.text for text in element.iter() if text.tag.endswith("text")]
        assert {*WORDS, f"panel {number}"} <= set(texts)
        attributes = " ".join(value for one in element.iter() for value in one.attrib.values())
        assert "var(--colour-0)" in attributes
        assert not re.search(r"#[0-9a-f]{6}", attributes)
        assert not re.search(r"\d\.\d{3}", attributes)


def test_a_panel_shows_its_own_part_of_the_file(drawn: tuple[Drawn, Path]) -> None:
    """Every text of a panel lies in its view, at the place that it has in the file."""
    whole = ElementTree.parse(drawn[1] / "one.svg").getroot()
    places = {(text.text, f"{float(text.get('x', 'nan')):.1f}") for text in whole.iter() if text.tag.endswith("text")}
    for panel in drawn[0].panels:
        element = ElementTree.fromstring(panel)
        left, top, width, height = map(float, element.get("viewBox", "").split())
        texts = [text for text in element.iter() if text.tag.endswith("text") and text.get("x")]
        assert len(texts) > 5
        for text in texts:
            x, y = float(text.get("x", "")), float(text.get("y", ""))
            assert left <= x <= left + width
            assert top <= y <= top + height
            assert any(text.text == word and abs(float(place) - x) < 0.2 for word, place in places)


def test_the_same_picture_has_the_same_bytes_and_ids_of_its_own(drawn: tuple[Drawn, Path], tmp_path: Path) -> None:
    panels = [Panel(f"panel {number}", draw) for number in range(2)]
    again, other = (render(Picture(name, "told", "seen", panels), tmp_path) for name in ("one", "other"))
    assert again == drawn[0]
    for ending in ("svg", "png"):
        assert (tmp_path / f"one.{ending}").read_bytes() == (drawn[1] / f"one.{ending}").read_bytes()
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
