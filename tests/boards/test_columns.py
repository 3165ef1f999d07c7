"""The columns that a board can show, and the text of its cells."""

from __future__ import annotations

import io
import json
import math
import statistics
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from rsbench.boards.claims import AUROC, Question
from rsbench.boards.columns import (
    ALWAYS,
    FIGURES,
    WIDE,
    Column,
    column_groups,
    columns_of,
    known_columns,
    mean_sd,
)
from rsbench.boards.leaderboard import Board, leaderboard
from rsbench.core.display import Display
from rsbench.core.errors import SpecError
from rsbench.data.tasks import ICBHI_4
from rsbench.report.tables.board import board_table, cells_of
from rsbench.results.merge import merge
from rsbench.results.run import load_runs

Boards = tuple[Board, Board]


@pytest.fixture(scope="module")
def four(four_runs: Path) -> Board:
    return leaderboard(load_runs(four_runs), "tiny", "val")


@pytest.fixture(scope="module")
def oracle(four_runs: Path) -> Board:
    return leaderboard(load_runs(four_runs), "tiny", "oracle")


def cell(board: Board, column: Column, loss: str, point: str = "argmax") -> str:
    rows = board.table[(board.table["loss"] == loss) & (board.table["operating_point"] == point)]
    (row,) = rows.to_dict("records")
    return column.cell(row)


def found_in(figures: dict[str, Any], point: str, name: str) -> float:
    """A figure of metrics.json, wherever it stands."""
    parts = [figures[point], *(figures[part] for part in ("threshold_free", "calibration", "risk_coverage"))]
    (value,) = [part[name] for part in parts if name in part]
    return float(value)


@pytest.mark.parametrize("point", ["argmax", "val-bias"])
def test_every_figure_is_mean_and_sd_of_what_the_runs_recorded(four: Board, four_runs: Path, point: str) -> None:
    runs = [json.loads(path.read_text())["val"]["tiny"] for path in sorted(four_runs.glob("runs/qlung-*/metrics.json"))]
    stored = {"auroc": "auroc_abnormal", "auprc": "auprc_abnormal"}
    shares = (
        "au",
        "macro_au",
        "nll",
        "brier",
        "ece",
        "risk",
    )  # in [0, 1] or nats: three digits; all else is percent
    for name, column in FIGURES.items():
        if name == "seconds":
            continue
        if name == "worst_device":
            assert cell(four, column, "qlung", point) == "–"  # all clips are of one device
            continue
        values = [found_in(run, point, stored.get(name, name)) for run in runs]
        digits = 3 if name.startswith(shares) else 1
        expected = f"{statistics.mean(values):.{digits}f} ± {statistics.stdev(values):.{digits}f}"
        assert cell(four, column, "qlung", point) == expected, name


def test_seconds_are_those_of_the_runs(four: Board, four_runs: Path) -> None:
    took = [json.loads(path.read_text())["seconds"] for path in four_runs.glob("runs/ce-*/cost.json")]
    assert cell(four, FIGURES["seconds"], "ce").startswith(f"{statistics.mean(took):.0f} ± ")


def test_intervals_ranks_and_differences_in_words(boards: Boards) -> None:
    (row,) = boards[1].table.query("loss == 'narrow' and operating_point == 'argmax'").to_dict("records")
    said = {name: column.cell(row) for name, column in COLUMNS.items() if name != "inflation"}
    assert said["interval"] == f"{row['low']:.1f} … {row['high']:.1f}"
    assert said["auroc_interval"].rstrip("†") == f"{row['auroc_low']:.3f} … {row['auroc_high']:.3f}"
    assert said["auroc_delta"] == f"{row['auroc_delta']:.3f}"
    assert said["delta"] == f"{row['delta']:.1f}"  # negative
    assert said["delta_interval"] == f"{row['delta_low']:.1f} … {row['delta_high']:.1f}"
    assert said["least"] == f"{row['delta_least']:.1f}"
    assert said["shift"] == f"{row['shift_mean']:.1f} ± {row['shift_sd']:.1f}"
    assert (said["verdict"], said["rank_change"], said["sign_flip"]) == ("≤ floor", "-4", "0.008")
    assert (said["ranks"], said["seeds"], said["origin"]) == ("–", "8", "here")


def test_the_best_of_several_is_marked_as_chosen(boards: Boards) -> None:
    at_argmax = boards[0].table[boards[0].table["operating_point"] == "argmax"].to_dict("records")
    cells = [COLUMNS["interval"].cell(row) for row in at_argmax]
    assert [cell.endswith("†") for cell in cells] == [True] + [False] * (len(cells) - 1)


def test_a_baseline_differs_from_nothing(boards: Boards) -> None:
    for name in ("delta", "delta_interval", "least", "verdict", "sign_flip"):
        assert cell(boards[0], COLUMNS[name], "ce") == "–"
    assert cell(boards[0], COLUMNS["delta"], "strong").startswith("+")


def test_what_is_not_there_is_a_dash() -> None:
    assert mean_sd(math.nan, math.nan, 1) == "–"
    assert mean_sd(51.25, math.nan, 1) == mean_sd(51.25, None, 1) == "51.2"
    assert mean_sd(51.25, 0.0, 1) == "51.2 ± 0.0"
    empty = dict.fromkeys(("low", "high", "rank_best", "rank_worst"), math.nan) | {"interval_of": "board"}
    assert [ALWAYS[name].cell(empty) for name in ("interval", "ranks")] == ["–", "–"]


BRIEF = ["score", "interval"]


def test_the_default_is_what_a_board_has(four: Board, oracle: Board, boards: Boards) -> None:
    compared = ["delta", "delta_interval"]
    assert set(four.table["verdict"]) == {"not above the floor", "too few patients"}
    assert list(columns_of(four)) == [*BRIEF, "verdict", "seeds"]
    assert list(columns_of(oracle)) == [*BRIEF, "inflation", "verdict", "seeds"]
    assert list(columns_of(boards[1])) == [*BRIEF, *compared, "verdict", "seeds"]
    about_auroc = replace(boards[1], question=Question("ce", AUROC))
    differences = ["auroc_delta", "auroc_delta_interval"]
    assert list(columns_of(about_auroc)) == ["auroc", "auroc_interval", *differences, "verdict", "seeds"]


def test_wide_has_both_points_and_what_tells_more(four: Board, oracle: Board, boards: Boards) -> None:
    compared = ["delta", "delta_interval", "least", "verdict"]
    assert list(columns_of(four, wide=True)) == [*WIDE, "verdict", "seeds"]
    assert list(columns_of(oracle, wide=True)) == [*WIDE, "inflation", "verdict", "seeds"]
    assert list(columns_of(boards[1], wide=True)) == [*WIDE, "shift", "rank_change", *compared, "seeds"]


COLUMNS, GROUPS = known_columns(ICBHI_4), column_groups(ICBHI_4)
names = st.sampled_from([*FIGURES, "interval", "ranks", "origin", *GROUPS])


@given(asked=st.lists(names, min_size=1, max_size=6), beside=st.booleans())
def test_columns_come_in_the_order_in_which_they_are_asked_for(four: Board, asked: list[str], beside: bool) -> None:
    found = list(columns_of(four, ("+" if beside else "") + ", ".join(asked)))
    wanted = [one for name in asked for one in GROUPS.get(name, (name,))]
    assert found == list(dict.fromkeys([*((*BRIEF, "verdict") if beside else ()), *wanted, "seeds"]))


def test_every_heading_is_one_columns_alone() -> None:
    headings = [column.heading for column in COLUMNS.values()]
    assert len(set(headings)) == len(headings)
    assert not set(GROUPS) & set(COLUMNS)
    assert set(COLUMNS) >= {name for group in GROUPS.values() for name in group}


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("scor", r"--columns scor: there is no such column. Did you mean 'score'"),
        ("+recal", r"Did you mean 'recall'"),
        ("inflation", "needs --select oracle"),
        ("shift", "needs a second --split"),
        ("+rank_change", "needs a second --split"),
        *(
            (name, f"--columns {name}: needs --baseline LOSS")
            for name in ("delta", "least", "auroc_delta", "sign_flip")
        ),
    ],
)
def test_what_a_board_has_not_is_explained(four: Board, asked: str, said: str) -> None:
    with pytest.raises(SpecError, match=said):
        columns_of(four, asked)


def test_runs_of_other_people_say_whose_they_are(four: Board, four_runs: Path, tmp_path: Path) -> None:
    """A name is shown as it is written, though brackets are markup to the library that draws the table."""
    merge([four_runs], tmp_path, "Lab [/A]", Display(quiet=True))
    console = Console(file=io.StringIO(), width=300)
    console.print(board_table(leaderboard(load_runs(tmp_path), "tiny", "val"), wide=True))
    assert console.file.getvalue().count("self-reported by Lab [/A]") == len(four.table)
    assert "origin" not in columns_of(four)


def test_a_method_of_which_nothing_is_done_has_dashes_and_no_origin(results: Path) -> None:
    for folder in results.glob("runs/ce-*"):
        (folder / "status.json").write_text('{"state": "failed"}')
    made = leaderboard(load_runs(results), "tiny", "val")
    headings, rows = cells_of(made, columns_of(made))
    assert "origin" not in headings
    (row,) = [row for row in rows if row[0] == "ce"]
    assert row == ["ce", *["–"] * len(BRIEF), "–", "0/2"]


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [
        (-1.23, -0.02, "-1.23 … -0.02"),
        (0.04, 2.0, "+0.04 … +2.00"),
        (-1.23, -0.004, "-1.230 … -0.004"),
        (-1.23, 0.0, "-1.2 … +0.0"),
        (-0.31, 0.12, "-0.3 … +0.1"),
        (math.nan, math.nan, "–"),
    ],
)
def test_an_end_of_an_interval_is_not_rounded_to_zero(low: float, high: float, said: str) -> None:
    assert COLUMNS["delta_interval"].cell({"delta_low": low, "delta_high": high}) == said
