"""What several studies say together, against statsmodels and by what must not change it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from imitated import Make, Method
from scipy import stats
from statsmodels.stats.meta_analysis import combine_effects

from rsbench.boards.claims import Question
from rsbench.boards.leaderboard import Board, leaderboard
from rsbench.boards.summary import STUDIES, SUMMARY, studies, summarise
from rsbench.core.errors import ResultsError
from rsbench.report.tables.summary import summary_table
from rsbench.results.run import load_runs

Boards = tuple[Board, Board]


def of_loss(found: pd.DataFrame, loss: str) -> pd.DataFrame:
    return found[(found["loss"] == loss) & (found["operating_point"] == "argmax")]


def test_a_study_is_a_difference_on_one_split_with_its_own_interval(boards: Boards) -> None:
    found = studies(boards).table
    assert list(found) == STUDIES
    assert set(found["loss"]) == {"close", "strong", "narrow"}  # not the baseline, nor what is the same as it
    narrow = of_loss(found, "narrow")
    assert list(narrow["study"]) == ["tiny · tiny", "tiny · far"]  # backbone, split
    for row, board in zip(narrow.to_dict("records"), boards, strict=True):
        (of_board,) = of_loss(board.table, "narrow").to_dict("records")
        expected = stats.t.interval(0.95, of_board["delta_df"], of_board["delta"], of_board["delta_se"])
        assert row["delta"] == of_board["delta"]
        assert (row["low"], row["high"]) == pytest.approx(expected)
        assert row["high"] < of_board["delta_high"]  # which holds for others too


def test_the_summary_is_that_of_statsmodels(boards: Boards) -> None:
    whole = studies(boards)
    found, independent = whole.table, replace(whole, covariance=np.diag(whole.covariance.diagonal()))
    summary = summarise(independent)
    assert list(summary) == SUMMARY
    assert len(summary) == len(found[["loss", "operating_point"]].drop_duplicates())
    for row in summary.to_dict("records"):
        mine = found[(found["loss"] == row["loss"]) & (found["operating_point"] == row["operating_point"])]
        expected = combine_effects(mine["delta"].to_numpy(), mine["se"].to_numpy() ** 2, method_re="pm")
        assert row["mean"] == pytest.approx(expected.mean_effect_re, abs=1e-4)
        assert row["tau"] == pytest.approx(np.sqrt(expected.tau2), abs=1e-3)
        assert row["low"] < row["mean"] < row["high"]
        assert row["studies"] == 2


def test_where_studies_contradict_each_other_the_summary_says_so(boards: Boards) -> None:
    """`narrow` is far better here and worse there."""
    summary = summarise(studies(boards)).set_index(["loss", "operating_point"])
    narrow, strong = summary.loc[("narrow", "argmax")], summary.loc[("strong", "argmax")]
    assert narrow["tau"] > 20
    assert narrow["low"] < 0 < narrow["high"]
    assert strong["low"] > 0


def test_a_single_study_is_its_own_summary(boards: Boards) -> None:
    found = studies(boards[:1])
    (row,) = of_loss(summarise(found), "strong").to_dict("records")
    (alone,) = of_loss(found.table, "strong").to_dict("records")
    assert (row["mean"], row["tau"], row["studies"]) == (pytest.approx(alone["delta"]), 0, 1)
    assert (row["low"], row["high"]) == pytest.approx(stats.norm.interval(0.95, alone["delta"], alone["se"]))


def test_the_order_of_studies_changes_nothing(boards: Boards) -> None:
    keys = ["loss", "operating_point"]
    one, other = (summarise(studies(order)).sort_values(keys, ignore_index=True) for order in (boards, boards[::-1]))
    pd.testing.assert_frame_equal(one, other)


def test_it_is_printed_a_row_per_loss_and_operating_point(boards: Boards) -> None:
    summary = summarise(studies(boards))
    table = summary_table(summary, Question("ce"))
    assert "Δ of the Score from ce" in str(table.title)
    assert table.row_count == len(summary) == 6
    first = [next(iter(column.cells)) for column in table.columns]
    row = summary.iloc[0]
    assert first[:3] == [row["loss"], row["operating_point"], f"{row['mean']:+.1f}"]
    assert first[3] == f"{row['low']:+.1f} … {row['high']:+.1f}"
    assert first[4:] == [f"{row['tau']:.1f}", "2"]


def test_without_any_error_there_is_nothing_to_sum_up(boards: Boards) -> None:
    bare = replace(boards[0], table=boards[0].table.assign(delta_se=np.nan))
    with pytest.raises(ResultsError, match="--summary: no difference from ce has an error.*two seeds or more"):
        studies([bare])


def test_backbones_that_are_judged_on_the_same_patients_err_together(make: Make) -> None:
    """Four copies of one study say no more than one; taken as independent they would seem to say twice as much."""
    copies = [
        Method(loss, skill, noise=loss, backbone=name) for name in "abcd" for loss, skill in (("ce", 1), ("it", 1.3))
    ]
    made = leaderboard(load_runs(make(*copies, seeds=range(8))), "tiny", "val", question=Question("ce"))
    whole = studies([made])
    alone = of_loss(whole.table, "it").iloc[0]
    row = of_loss(summarise(whole), "it").iloc[0]
    assert (row["high"] - row["low"]) / 2 == pytest.approx(stats.t.ppf(0.975, 3) * alone["se"], rel=1e-3)
    independent = replace(whole, covariance=np.diag(whole.covariance.diagonal()))
    naive = of_loss(summarise(independent), "it").iloc[0]
    assert naive["high"] - naive["low"] == pytest.approx((row["high"] - row["low"]) / 2, rel=1e-3)


def test_splits_that_the_same_runs_are_judged_on_share_their_luck(boards: Boards) -> None:
    whole = studies(boards)
    of_strong = whole.table.index[whole.table["loss"] == "strong"][[0, 2]]
    one, other = (
        board.paired.of_seeds.loc[board.table["loss"] == "strong"].iloc[0] for board in boards if board.paired
    )
    assert whole.covariance[tuple(of_strong)] == pytest.approx(np.cov(one, other)[0, 1] / 8)
