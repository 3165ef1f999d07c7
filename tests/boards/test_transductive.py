"""The transductive board: its reference is what other boards say, and it says that it is none of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from imitated import Make, Method

from rsbench.boards.leaderboard import leaderboard
from rsbench.boards.transductive import Transductive, transductive
from rsbench.core.errors import ResultsError, SpecError
from rsbench.data.tasks import NORMAL
from rsbench.evaluation.transduction import ORACLE, POINTS
from rsbench.results.run import load_runs


@pytest.fixture(scope="module")
def found(study: Path) -> Transductive:
    return transductive(load_runs(study), "far")


def test_its_reference_is_the_row_of_other_boards(found: Transductive, study: Path) -> None:
    board = leaderboard(load_runs(study), "far", "val").table
    of_board = board[board["operating_point"] == "val-bias"].set_index("method")
    mine = found.table[found.table["point"] == "val-bias"].set_index("method")
    assert set(mine.index) == set(of_board.index)
    for name in ("score_mean", "score_sd", "sp_mean", "se_mean"):
        assert mine[name].to_dict() == pytest.approx(of_board[name].to_dict())
    assert mine["n_ok"].eq(8).all()


def test_each_method_has_every_point_and_none_beats_the_oracle_offset(found: Transductive) -> None:
    for _, rows in found.table.groupby("method"):
        assert rows["point"].tolist() == list(POINTS)
        of_offsets = rows.set_index("point")["score_mean"]
        assert of_offsets[["val-bias", "call-rate"]].max() <= of_offsets[ORACLE]
    oracle = found.table[found.table["point"] == ORACLE]
    assert oracle[["low", "high", "delta_low", "delta_high"]].isna().all(axis=None)
    assert oracle["delta"].ge(0).all()


def test_differences_are_paired_with_the_same_methods_val_bias(found: Transductive) -> None:
    for _, rows in found.table.groupby("method"):
        beyond = rows["score_mean"] - rows["score_mean"].iloc[0]
        assert np.isnan(rows["delta"].iloc[0])
        assert rows["delta"].iloc[1:].tolist() == pytest.approx(beyond.iloc[1:].tolist())


def test_an_epoch_that_test_chose_is_refused(study: Path) -> None:
    with pytest.raises(SpecError, match="may not begin there"):
        transductive(load_runs(study), "far", "oracle")


def test_runs_without_validation_clips_are_refused_in_words(make: Make) -> None:
    results = make(Method("ce"), seeds=[0])
    run = load_runs(results)[0]
    path = run.path / "predictions" / "tiny.parquet"
    stored = run.predictions("tiny")
    path.unlink()  # it is linked
    stored.assign(label=stored["label"].where(stored["part"] == "test", NORMAL)).to_parquet(path)
    with pytest.raises(ResultsError, match="validation clips of both kinds"):
        transductive(load_runs(results), "tiny")


def test_the_command_says_what_it_is(cli: Any, study: Path) -> None:
    said = cli("transductive", "--split", "far", "--results", study, "--only", "loss=ce")
    assert said.code == 0
    assert "TRANSDUCTIVE" in said.out
    assert "Not to be set beside other boards" in said.out
    assert all(f"{name}: {summary[:30]}" in said.out for name, summary in POINTS.items())
