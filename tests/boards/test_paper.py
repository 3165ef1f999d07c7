"""Boards and figures for a paper: names of one's own, widths in centimetres, fonts, and what a file says of itself."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from tiny import Cli

from rsbench.api.leaderboard import Leaderboard, board_sheet
from rsbench.boards.leaderboard import Board
from rsbench.boards.names import read_names, renamed, unknown_names
from rsbench.core.errors import SpecError
from rsbench.report.figures.figure import FigureStyle, write_figure
from rsbench.report.tables.formats import latex

Boards = tuple[Board, Board]
NAMES = {"ce": "Cross-entropy", "strong": "Ours & more"}


@pytest.fixture
def found(boards: Boards) -> Leaderboard:
    return Leaderboard(boards[:1], [board_sheet(boards[0], names=NAMES)], summary=False, names=NAMES)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("names.yaml", 'ce: Cross-entropy\nstrong: "Ours & more"\n'),
        ("names.csv", "method,name\nce,Cross-entropy\nstrong,Ours & more\n"),
        ("bare.csv", "ce,Cross-entropy\nstrong,Ours & more\n"),
    ],
)
def test_names_are_read_from_yaml_and_csv(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_text(content)
    assert read_names(tmp_path / name) == NAMES


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("none.yaml", None, "there is no such file"),
        ("none.csv", None, "there is no such file"),
        ("list.yaml", "- ce\n", "holds no mapping"),
        ("number.yaml", "ce: 3\n", "ce: its name is no text. Write ce: NAME."),
        ("twice.yaml", "ce: Ours\nqlung: Ours\n", "two methods are called Ours, and could not be told apart"),
        ("wide.csv", "ce,a,b\n", "row 1 has 3 cells. Write a row METHOD,NAME for each method"),
        ("again.csv", "ce,a\nce,b\n", "row 2 names ce once more"),
    ],
)
def test_a_file_of_names_that_is_none(tmp_path: Path, name: str, content: str | None, said: str) -> None:
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(SpecError, match=f"^--names .*{name}: .*{said}"):
        read_names(tmp_path / name)


def test_tables_and_figures_have_the_names_and_frames_their_own(found: Leaderboard) -> None:
    said = repr(found)
    assert {"Cross-entropy", "Ours & more", "narrow"} <= {
        word.strip() for line in said.splitlines() for word in line.split("  ")
    }
    assert "Δ: from Cross-entropy, paired" in " ".join(said.split())
    assert r"\textbf{narrow}" in latex(found.sheets[0])
    assert r"Ours \& more & " in latex(found.sheets[0])
    assert set(found.frame["loss"]) >= {"ce", "strong"}
    figure = found.figure()
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()][1] == "Ours & more"
    assert figure.axes[0].get_xlabel() == "Δ Score from Cross-entropy"


def test_a_row_as_a_whole_or_its_loss_and_backbone_have_a_name(boards: Boards) -> None:
    rows = boards[0].table[:2].assign(method=["strong · tiny (loss.m 1)", "ce · tiny"], loss=["strong", "ce"])
    named = renamed(replace(boards[0], table=rows), {"strong · tiny (loss.m 1)": "Ours", "ce": "CE", "tiny": "T"}).table
    assert named["method"].to_list() == ["Ours", "CE · T"]
    assert named["loss"].to_list() == ["Ours", "CE"]


def test_a_name_for_nobody_is_a_note(boards: Boards) -> None:
    (note,) = unknown_names(boards, {"ce": "CE", "stronk": "Ours"})
    assert note.startswith("--names: no method is called 'stronk', so Ours stands nowhere. Did you mean 'strong'?")


@pytest.mark.parametrize("width", [8.5, 17.0])
@pytest.mark.parametrize("provenance", [True, False])
def test_a_figure_is_as_wide_as_asked_and_says_what_it_is_of(
    found: Leaderboard, tmp_path: Path, width: float, provenance: bool
) -> None:
    figure = found.figure()
    write_figure(figure, tmp_path / "a.png", FigureStyle(width, "DejaVu Serif", provenance))
    drawn = (tmp_path / "a.png").read_bytes()
    assert int.from_bytes(drawn[16:20]) == pytest.approx(width / 2.54 * 160, abs=2)
    assert b"selected: val (best Score on validation patients); at argmax; 8 seeds" in drawn
    assert ("selected: val" in " ".join(figure.get_suptitle().split())) == provenance
    figure.draw_without_rendering()
    canvas = figure.bbox
    for text in (figure.axes[0].xaxis.label, *figure.axes[0].get_yticklabels()):
        box = text.get_window_extent()
        assert canvas.x0 - 1 <= box.x0
        assert box.x1 <= canvas.x1 + 1


def test_a_warning_stays_in_a_picture_without_provenance(boards: Boards, tmp_path: Path) -> None:
    partial = replace(boards[0], warnings=("PARTIAL: an incomplete set",))
    figure = Leaderboard([partial], [], summary=False).figure()
    write_figure(figure, tmp_path / "a.svg", FigureStyle(provenance=False))
    assert figure.get_suptitle() == "PARTIAL"
    assert "selected: val" in (tmp_path / "a.svg").read_text()


def test_a_font_is_embedded_and_an_unknown_one_explained(cli: Cli, four_runs: Path, tmp_path: Path) -> None:
    ask: list[Any] = ["leaderboard", "--results", four_runs, "--split", "tiny"]
    (tmp_path / "names.yaml").write_text("qlung: Our loss\nqlong: Nobody\n")
    drawn = cli(*ask, "--figure", tmp_path / "a.pdf", "--font", "DejaVu Serif", "--names", tmp_path / "names.yaml")
    assert drawn.code == 0, drawn.err
    assert "no method is called 'qlong'" in drawn.err
    assert "Our loss" in drawn.out
    written = (tmp_path / "a.pdf").read_bytes()
    assert b"DejaVuSerif" in written
    assert b"/Type3" not in written
    assert b"/Subject" in written
    for command in ("leaderboard", "audit"):
        wrong = [command, *ask[1:], "--figure", tmp_path / "b.png", "--font", "DejaVu Serf"]
        refused = cli(*wrong)
        assert (refused.code, "--font DejaVu Serf: there is no such font here. Did you mean" in refused.err) == (
            2,
            True,
        )
        alone = cli(command, *ask[1:], "--width-cm", "8.5")
        assert (alone.code, "--width-cm: is about a figure" in alone.err) == (2, True)


def test_csv_and_json_keep_the_names_of_runs(cli: Cli, four_runs: Path, tmp_path: Path) -> None:
    (tmp_path / "names.csv").write_text("qlung,Our loss\n")
    ask: list[Any] = ["leaderboard", "--results", four_runs, "--split", "tiny", "--names", tmp_path / "names.csv"]
    frame = pd.read_csv(io.StringIO(cli(*ask, "--format", "csv").out))
    assert set(frame["loss"]) == {"ce", "qlung"}
    (content,) = json.loads(cli(*ask, "--format", "json").out)
    assert {row["method"] for row in content["rows"]} == {"ce", "qlung"}
    assert "| Our loss |" in cli(*ask, "--format", "md").out
