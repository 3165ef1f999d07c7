"""The first leaderboard: mean ± sd over seeds, and refusals."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from tiny import BringSplit

from rsbench.boards.leaderboard import Board, leaderboard
from rsbench.core.errors import ResultsError, SpecError
from rsbench.data.splits import Split
from rsbench.results.run import load_runs

Run = Callable[..., Any]


def board(results: Path, split: str = "tiny", select: str = "val", only: Mapping[str, str] | None = None) -> Board:
    return leaderboard(load_runs(results), split, select, only or {})


def test_means_and_sds_are_those_of_the_runs(results: Path) -> None:
    rows = board(results).table.set_index(["loss", "operating_point"])
    for loss in ("ce", "qlung"):
        stored = [json.loads(path.read_text()) for path in results.glob(f"runs/{loss}-*/metrics.json")]
        scores = [metrics["val"]["tiny"]["argmax"]["score"] for metrics in stored]
        row = rows.loc[(loss, "argmax")]
        assert row["score_mean"] == pytest.approx(np.mean(scores))
        assert row["score_sd"] == pytest.approx(np.std(scores, ddof=1))
        assert (row["n_ok"], row["n_planned"]) == (2, 2)


def test_classes_of_few_patients_are_named(results: Path) -> None:
    """Four test patients hold the same number of clips each: four effective patients in every class."""
    said, none = [warning for warning in board(results).warnings if "effective" in warning]
    assert "normal 4.0, crackle 4.0" in said
    assert said.endswith("too few to claim anything on normal, crackle, wheeze, both")
    assert none == "too few patients for a verdict or a rank: 4.0 effective ones, and it takes 15"


def test_best_first_and_the_rule_in_the_header(results: Path) -> None:
    made = board(results, "far", "last")
    argmax = made.table[made.table["operating_point"] == "argmax"]
    assert argmax["score_mean"].is_monotonic_decreasing
    assert "last" in made.header
    assert "ORACLE" in board(results, select="oracle").header


def test_the_oracle_shows_what_it_inflates(results: Path) -> None:
    oracle = board(results, "far", "oracle").table.set_index(["loss", "operating_point"])
    val = board(results, "far", "val").table.set_index(["loss", "operating_point"])
    gained = oracle["score_mean"] - val["score_mean"]
    pd.testing.assert_series_equal(oracle["inflation_mean"], gained.reindex(oracle.index), check_names=False)
    assert (oracle["inflation_mean"].xs("argmax", level="operating_point") >= 0).all()
    assert "inflation_mean" not in val


def test_settings_that_differ_become_columns(results: Path, tiny_run: Run) -> None:
    tiny_run(loss="qlung", loss__gamma=0.25, epochs=2, select="val,last,oracle")
    table = board(results).table
    assert sorted(set(table["loss.gamma"])) == ["0.25", "0.5", "–"]  # ce has no gamma
    assert len(table) == 6


def test_an_option_of_an_index_is_a_column_where_that_index_has_two(results: Path, tiny_run: Run) -> None:
    changes: dict[str, Any] = {"loss": "qlung", "epochs": 2, "select": "val,last,oracle"}
    tiny_run(quality="rms", **changes)
    made = board(results)
    assert set(made.table["quality.name"]) == {'"aqs"', '"rms"'}
    assert [name for name in made.names if name.startswith("quality.")] == ["quality.name"]
    assert any("options that come with each quality: aqs (alpha 0.7" in line for line in made.aside)
    tiny_run(quality__alpha=0.5, **changes)
    table = board(results).table
    assert sorted(set(table["quality.alpha"])) == ["0.5", "0.7", "–"]  # rms has no α
    assert len(table) == 8


def test_another_split_of_an_external_set_is_judged_from_stored_predictions(
    results: Path, bring_split: BringSplit
) -> None:
    asked_for = board(results, "far")
    bring_split(Split("far-again", 3, "far", "", (), ("test",)))
    bring_split(Split("tiny-again", 1, "tiny", "", (), ("test",)))
    again = board(results, "far-again")
    pd.testing.assert_frame_equal(again.table, asked_for.table)
    assert (again.shared["split_version"], asked_for.shared["split_version"]) == (3, 1)
    with pytest.raises(ResultsError, match="No run was judged on 'far-again' under 'oracle'"):
        board(results, "far-again", "oracle")
    with pytest.raises(ResultsError, match="No run was judged on 'tiny-again'"):  # the runs were trained on `tiny`
        board(results, "tiny-again")


def test_unfinished_runs_are_planned_and_named(results: Path) -> None:
    victim = next(results.glob("runs/ce-*s1-*"))
    (victim / "status.json").write_text('{"state": "failed"}')
    made = board(results)
    row = made.table.query("loss == 'ce' and operating_point == 'argmax'").iloc[0]
    assert (row["n_ok"], row["n_planned"]) == (1, 2)
    assert made.unfinished == {victim.name: "failed"}


@pytest.mark.parametrize(
    ("changes", "column"),
    [
        ({"validation__fraction": 0.3}, "train_fraction"),
        ({"data__label_map": "four-class-strict"}, "label_map"),
    ],
)
def test_what_must_not_be_mixed_is_refused_and_can_be_chosen(
    results: Path, tiny_run: Run, changes: dict[str, Any], column: str
) -> None:
    odd = tiny_run(epochs=2, select="val,last,oracle", **changes)
    with pytest.raises(ResultsError, match=f"they differ in {column}.*--only") as caught:
        board(results)
    assert odd.run_id in str(caught.value)
    chosen = board(results, only={column: "0.7" if column == "train_fraction" else "four-class-strict"})
    assert set(chosen.table["n_planned"]) == {1}


def test_a_run_made_before_a_field_was_there_has_its_default(results: Path) -> None:
    before = board(results).table
    spec = next(results.glob("runs/ce-*s0-*")) / "spec.json"
    content = json.loads(spec.read_text())
    del content["tuning_trials"]
    spec.write_text(json.dumps(content))
    pd.testing.assert_frame_equal(board(results).table, before)
    spec.write_text(json.dumps(content | {"of_old": 1}))
    made = board(results)
    assert any(re.search(r"left out.*spec\.json: of_old: .*another version of rsbench", said) for said in made.warnings)
    assert set(made.table.query("loss == 'ce'")["n_planned"]) == {1}


def test_other_sound_under_the_same_labels_is_refused(results: Path) -> None:
    sketch = next(results.glob("runs/ce-*s0-*")) / "sketch" / "tiny.parquet"
    frame = pd.read_parquet(sketch)
    frame["duration_s"] += 1
    frame.to_parquet(sketch, index=False)
    with pytest.raises(ResultsError, match="have different sound of 'tiny' under the same labels"):
        board(results)


def test_one_method_and_seed_twice_is_refused(results: Path) -> None:
    run = next(results.glob("runs/ce-*s0-*"))
    shutil.copytree(run, run.with_name("copy"))
    with pytest.raises(ResultsError, match="same method and seed twice"):
        board(results)


def test_unknown_names_are_explained(results: Path) -> None:
    with pytest.raises(SpecError, match=r"no split 'tinny'.*'tiny'"):
        board(results, "tinny")
    with pytest.raises(SpecError, match="no selection rule"):
        board(results, select="best")
    with pytest.raises(SpecError, match="no such field.*'loss'"):
        board(results, only={"los": "ce"})
    with pytest.raises(SpecError, match="no row has it. There are: ce, qlung"):
        board(results, only={"loss": "focal"})
    with pytest.raises(ResultsError, match="No run was judged on 'sprsound'.*rsbench run"):
        board(results, "sprsound")


def test_a_loss_of_a_plugin_stands_beside_one_of_the_package(results: Path, tiny_run: Run) -> None:
    tiny_run(loss="unhurried", epochs=2, select="val,last,oracle")
    table = board(results).table
    assert "plugins" not in table
    assert set(table["loss"]) == {"ce", "qlung", "unhurried"}
