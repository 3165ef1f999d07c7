"""From the split in distribution to the others, against subtracting what metrics.json says."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from imitated import Make, Method

from rsbench.boards.leaderboard import Board, leaderboard, with_shift
from rsbench.results.run import load_runs

SHIFT = ["shift_mean", "shift_sd", "rank_change"]


@pytest.fixture(scope="module")
def four(four_runs: Path) -> tuple[Board, Board]:
    tiny, far = (leaderboard(load_runs(four_runs), split, "val") for split in ("tiny", "far"))
    return tiny, far


def recorded(study: Path) -> pd.DataFrame:
    """The Scores of every run and operating point on both splits."""
    rows = []
    for path in study.glob("runs/*/metrics.json"):
        scored = json.loads(path.read_text())["val"]
        for point in ("argmax", "val-bias"):
            scores = (scored[split][point]["score"] for split in ("tiny", "far"))
            rows.append((path.parent.name.partition("-")[0], point, *scores))
    return pd.DataFrame(rows, columns=["loss", "operating_point", "tiny", "far"])


def test_the_shift_is_paired_by_run_and_ranks_move(study: Path, boards: tuple[Board, Board]) -> None:
    scores = recorded(study)
    groups = scores.assign(shift=scores["far"] - scores["tiny"]).groupby(["loss", "operating_point"])
    found = boards[1].table.set_index(["loss", "operating_point"]).sort_index()
    np.testing.assert_allclose(found["shift_mean"], groups["shift"].mean(), atol=1e-9)
    np.testing.assert_allclose(found["shift_sd"], groups["shift"].std(ddof=1), atol=1e-9)
    means = groups[["tiny", "far"]].mean()
    ranks = means.groupby(level="operating_point").rank(ascending=False)
    np.testing.assert_array_equal(found["rank_change"], ranks["tiny"] - ranks["far"])
    assert found.at[("narrow", "argmax"), "rank_change"] == -4  # from the first place to the last
    assert found.at[("strong", "argmax"), "rank_change"] == 1
    assert found["rank_change"].groupby(level="operating_point").sum().eq(0).all()  # who falls lets others rise


def test_the_split_in_distribution_is_the_reference_wherever_it_stands(four: tuple[Board, Board]) -> None:
    tiny, far = four
    there, back = with_shift([tiny, far]), with_shift([far, tiny])
    assert there[0] is back[1] is tiny
    pd.testing.assert_frame_equal(there[1].table, back[0].table)
    assert set(SHIFT) <= set(there[1].table)
    assert not set(SHIFT) & set(there[0].table)


def test_without_a_split_in_distribution_nothing_shifts(four: tuple[Board, Board]) -> None:
    _, far = four
    assert with_shift([far, far]) == [far, far]


def test_a_second_split_of_the_data_that_was_learnt_from_has_no_shift(four: tuple[Board, Board]) -> None:
    tiny, far = four
    again = replace(tiny)
    shifted = with_shift([tiny, again, far])
    assert shifted[1] is again
    assert "shift_mean" in shifted[2].table


def test_only_runs_that_both_have_count(study: Path, boards: tuple[Board, Board], tmp_path: Path) -> None:
    """A run that is judged elsewhere alone has a Score there, and no part in the shift."""
    copy = Path(shutil.copytree(study, tmp_path / "copy"))
    (run,) = copy.glob("runs/strong-*-s5-*")
    spec = json.loads((run / "spec.json").read_text())
    spec["data"]["test"] = ["far"]
    (run / "spec.json").write_text(json.dumps(spec))
    kept = [folder for folder in load_runs(copy) if folder.run_id.startswith("strong")]
    _, far = with_shift([leaderboard(kept, split, "val") for split in ("tiny", "far")])
    (row,) = far.table.query("operating_point == 'argmax'").to_dict("records")
    scores = recorded(study).query("loss == 'strong' and operating_point == 'argmax'")
    assert row["n_ok"] == 8
    without = json.loads((run / "metrics.json").read_text())["val"]
    lost = without["far"]["argmax"]["score"] - without["tiny"]["argmax"]["score"]
    assert row["shift_mean"] == pytest.approx(((scores["far"] - scores["tiny"]).sum() - lost) / 7)


def test_methods_of_which_no_run_has_both_have_no_shift(make: Make) -> None:
    make(Method("ce"), tests=("tiny", "far"))
    results = make(Method("it"), tests=("far",))
    _, far = with_shift([leaderboard(load_runs(results), split, "val") for split in ("tiny", "far")])
    table = far.table.set_index("loss")
    assert table.loc["it", SHIFT].isna().all(axis=None)
    assert table.loc["ce", "shift_mean"].notna().all()
    assert table.loc["ce", "rank_change"].eq(0).all()  # among those that both splits have
