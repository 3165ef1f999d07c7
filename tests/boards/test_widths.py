"""Boards in lines of any length: no number is cut or broken, and what does not fit is named."""

from __future__ import annotations

import io
import re
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from imitated import Make, Method
from rich.cells import cell_len
from rich.table import Table

from rsbench.boards.claims import Question
from rsbench.boards.leaderboard import Board, leaderboard
from rsbench.cli import main
from rsbench.core.display import PlainConsole
from rsbench.report.tables import board as tables
from rsbench.report.tables.board import board_table
from rsbench.report.tables.terminal import fitted, print_table
from rsbench.results.run import load_runs

NUMBER = re.compile(r"[-+]?\d+(?:\.\d+)?")


def printed(table: Table, width: int) -> str:
    console = PlainConsole(file=io.StringIO(), width=width, highlight=False)
    print_table(table, console)
    return console.file.getvalue()  # type: ignore[attr-defined, no-any-return]


def numbers(table: Table) -> list[str]:
    cells = (str(cell) for column in table.columns if column.justify == "right" for cell in column.cells)
    return sorted(number for cell in cells for number in NUMBER.findall(cell))


def foot(board: Board, width: int) -> str:
    return str(board_table(board, width=width).caption)


words = st.text("abc de", min_size=1, max_size=40)
figures = st.sampled_from(["71.3 ± 0.4", "-10.7 … +1.9", "0.912", "–", "10/10", "100"])


@given(
    rows=st.lists(st.tuples(words, *[figures] * 5), min_size=1, max_size=4),
    width=st.integers(10, 90),
    first=st.sampled_from([(), ("c 3",), ("c 4", "c 1")]),
)
def test_a_table_that_is_made_to_fit(rows: list[tuple[str, ...]], width: int, first: tuple[str, ...]) -> None:
    whole = Table("name", *(f"c {number}" for number in range(5)))
    for column in whole.columns[1:]:
        column.justify = "right"
    for row in rows:
        whole.add_row(*row)
    table, left_out = fitted(whole, width, first=first)
    kept = [str(column.header) for column in table.columns]
    assert sorted([*kept, *left_out]) == sorted(str(column.header) for column in whole.columns)
    assert kept[0] == "name"
    if left_out and first:  # what is important goes last, the most important one the very last
        others = [name for name in kept[1:] if name not in first]
        assert not (others and set(first) & set(left_out))
    lines = printed(table, width).splitlines()
    if len(kept) > 1:
        assert max(map(cell_len, lines)) <= width
    said = " ".join(lines)
    for column in table.columns[1:]:
        assert all(str(cell) in said for cell in column.cells)


@pytest.mark.parametrize("width", [80, 100, 120, 200])
@pytest.mark.parametrize("wide", [False, True])
def test_no_number_of_a_board_is_cut(boards: tuple[Board, Board], width: int, wide: bool) -> None:
    for board in boards:
        table = board_table(board, wide=wide, width=width)
        lines = printed(table, width).splitlines()
        assert max(map(cell_len, lines)) <= width
        body = "\n".join(lines)
        body = body[body.index(" n ") :]
        counted = NUMBER.findall(body)
        assert all(counted.count(number) >= numbers(table).count(number) for number in numbers(table))
        whole = board_table(board, wide=wide)
        missing = {" ".join(str(one.header).split()) for one in whole.columns[len(table.columns) :]}
        assert not missing or "left out at" in str(table.caption)


def test_by_default_a_board_has_few_columns_and_three_lines_below(boards: tuple[Board, Board]) -> None:
    for board in boards:
        table = board_table(board, width=80)
        headings = [str(column.header) for column in table.columns]
        assert headings == ["loss", "Score", "95 %", "Δ", "95 % of Δ", "verdict", "n"]
        assert len([line for line in printed(table, 80).splitlines() if line][-3:]) == 3
        assert len(printed(table, 80).split("\n\n")[-1].splitlines()) <= 3
        assert set(table.columns[5].cells) <= {"–", "≈", "better", "worse", "≤ floor"}
        assert "paired" in str(table.caption)


@pytest.mark.parametrize("splits", [1, 2])
@pytest.mark.parametrize("baseline", ["ce", "data.window=repeat"])
@pytest.mark.parametrize("width", [40, 80, 120])
def test_the_footer_has_three_lines_at_most(
    boards: tuple[Board, Board], splits: int, baseline: str, width: int
) -> None:
    said = printed(board_table(replace(boards[1], question=Question(baseline, splits=splits)), width=width), width)
    below = said[said.index("mean ± sd") :].strip().splitlines()
    assert len(below) <= 3
    assert re.search(r"--wide|left out at", " ".join(below))


def test_a_board_says_first_what_it_is_worth(boards: tuple[Board, Board]) -> None:
    warned = replace(boards[0], warnings=(*boards[0].warnings, "PARTIAL: an incomplete set", "left out: a run"))
    lines = str(board_table(warned, width=80).title).splitlines()
    assert lines[0] == "tiny — selected: val (best Score on validation patients), at argmax"
    assert lines[1] == "PARTIAL: an incomplete set"
    assert "left out: a run" in lines
    assert any("train_fraction 0.8" in line and "backbone tiny" in line for line in lines)
    assert not any("labels_id" in line for line in lines)
    assert "labels_id" in str(board_table(warned, wide=True).title)


def test_of_a_long_board_the_best_rows_are_shown(boards: tuple[Board, Board], monkeypatch: pytest.MonkeyPatch) -> None:
    whole = board_table(boards[0])
    monkeypatch.setattr(tables, "MOST_ROWS", 3)
    table = board_table(boards[0])
    assert table.row_count == 3
    assert list(table.columns[0].cells) == list(whole.columns[0].cells)[:3]
    assert str(table.caption).startswith("2 more rows: --format csv")
    assert "more rows" not in str(whole.caption)


def test_settings_that_do_not_fit_are_in_the_names_of_rows(make: Make) -> None:
    balanced, few = {"optim": {"sampling": "balanced"}}, {"augment": {"mixup": 0.2}, "optim": {"weight_decay": 0.5}}
    made = make(Method("ce"), Method("ce", noise="b", spec=balanced), Method("ce", noise="c", spec=few))
    board = leaderboard(load_runs(made), "tiny", "val")
    assert str(board_table(board, width=200).columns[0].header) == "loss"
    narrow = board_table(board, width=50)
    assert sorted(map(str, narrow.columns[0].cells)) == [
        "ce",
        "ce (augment.mixup 0.2, optim.weight_decay 0.5)",
        "ce (optim.sampling balanced)",
    ]
    assert "unless a row says otherwise: augment.mixup 0, optim.sampling shuffled" in str(narrow.title)


@pytest.mark.parametrize("command", [["audit"], ["leaderboard", "--baseline", "ce", "--wide"]])
@pytest.mark.parametrize("columns", ["80", ""])
def test_a_pipe_is_as_wide_as_columns_say(
    four_runs: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    command: list[str],
    columns: str,
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    monkeypatch.setattr(sys, "argv", ["rsbench", *command, "--results", str(four_runs), "--split", "tiny"])
    with pytest.raises(SystemExit) as stop:
        main()
    assert not stop.value.code
    said = capsys.readouterr().out
    sentence = " ".join(said.split())
    width = int(columns or 120)
    assert max(map(cell_len, said.splitlines())) <= width
    assert not re.search(r"\d…|…\d", said)
    assert re.search(rf"left out at {width} columns: .*\(COLUMNS=\d+ shows them\)", sentence)
