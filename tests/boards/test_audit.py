"""The replication audit, against subtracting what metrics.json says under each rule."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from imitated import Make, Method
from rich.console import Console

from rsbench.boards.audit import RULES, Audit, audit
from rsbench.boards.claims import Question
from rsbench.boards.leaderboard import leaderboard
from rsbench.core.errors import ResultsError, SpecError
from rsbench.report.tables.audit import audit_table
from rsbench.results.run import load_runs

POINTS = ("argmax", "val-bias")


@pytest.fixture(scope="module")
def audited(tracked: Path) -> Audit:
    return audit(load_runs(tracked), "tiny", baseline="ce")


@pytest.fixture(scope="module")
def of_four(four_runs: Path) -> Audit:
    return audit(load_runs(four_runs), "far")


def scores(results: Path, loss: str, rule: str, point: str, split: str) -> np.ndarray:
    """(seeds,) as they stand in metrics.json."""
    found = [json.loads(path.read_text()) for path in sorted(results.glob(f"runs/{loss}-*/metrics.json"))]
    return np.array([metrics[rule][split][point]["score"] for metrics in found])


@pytest.mark.parametrize("rule", RULES)
def test_scores_and_inflation_are_those_of_the_runs(audited: Audit, tracked: Path, rule: str) -> None:
    for point in POINTS:
        rows = audited.at(rule, point)
        assert set(rows) == {"ce", "lucky"}
        for method, row in rows.items():
            here, val = (scores(tracked, method, name, point, "tiny") for name in (rule, "val"))
            assert row["score_mean"] == pytest.approx(here.mean())
            assert row["score_sd"] == pytest.approx(here.std(ddof=1))
            assert row["inflation"] == pytest.approx((here - val).mean(), abs=1e-9)
            assert row["inflation_low"] <= row["inflation"] <= row["inflation_high"]
            assert row["low"] < row["score_mean"] < row["high"]
            assert row["n_ok"] == 8


def test_val_is_not_above_itself(audited: Audit) -> None:
    val = audited.table[audited.table["rule"] == "val"]
    assert val[["inflation", "inflation_low", "inflation_high"]].eq(0).all(axis=None)


def test_best_first_is_as_the_field_reports_it(audited: Audit) -> None:
    assert audited.methods == ["lucky", "ce"]


def test_a_claim_that_the_oracle_makes_is_not_made_by_val(audited: Audit) -> None:
    """`lucky` is no better than ce: its epochs are."""
    assert audited.at("oracle", "argmax")["lucky"]["verdict"] == "better"
    assert audited.at("val", "argmax")["lucky"]["verdict"] == "not distinguishable"
    assert audited.at("oracle", "argmax")["lucky"]["inflation_low"] > 0
    assert audited.at("val", "argmax")["ce"]["verdict"] == ""


@pytest.mark.parametrize("rule", RULES)
def test_under_each_rule_it_is_that_rules_board(audited: Audit, tracked: Path, rule: str) -> None:
    made = leaderboard(load_runs(tracked), "tiny", rule, question=Question("ce"))
    columns = ["score_mean", "score_sd", "low", "high", "rank_best", "delta", "delta_low", "delta_least", "verdict"]
    for row in made.table.to_dict("records"):
        mine = audited.at(rule, row["operating_point"])[row["method"]]
        pd.testing.assert_series_equal(pd.Series(mine)[columns], pd.Series(row)[columns], check_names=False)


def test_an_oracle_is_never_below_val_where_it_was_really_chosen(of_four: Audit) -> None:
    assert all(row["inflation"] >= 0 for row in of_four.at("oracle", "argmax").values())
    assert of_four.baseline is None
    assert "delta" not in of_four.table


def test_the_order_of_run_folders_changes_nothing(of_four: Audit, four_runs: Path) -> None:
    again = audit(load_runs(four_runs)[::-1], "far")
    pd.testing.assert_frame_equal(again.table, of_four.table)


def printed(found: Audit) -> str:
    console = Console(file=io.StringIO(), width=300)
    console.print(audit_table(found))
    return console.file.getvalue()


def test_the_table_tells_the_oracle_from_a_result(audited: Audit) -> None:
    said = printed(audited)
    table = audit_table(audited)
    headings = [" ".join(str(column.header).split()) for column in table.columns]
    assert [heading for heading in headings if "ORACLE" in heading] == ["ORACLE argmax", "ORACLE val-bias"]
    assert headings[1:5] == ["ORACLE argmax", "val argmax", "oracle − val 95 %", "n"]
    assert headings[5:9] == ["Δ by oracle argmax", "Δ by val argmax", "verdict val", "least Δ val"]
    first = [next(iter(column.cells)) for column in table.columns]
    oracle = audited.at("oracle", "argmax")["lucky"]
    assert first[:2] == ["lucky", f"{oracle['score_mean']:.1f} ± {oracle['score_sd']:.1f}"]
    assert f"{oracle['inflation']:+.1f} ({oracle['inflation_low']:+.1f} … {oracle['inflation_high']:+.1f})" in first
    assert (first[4], first[7]) == ("8", "≈")
    assert "≈: not distinguishable" in said
    added = np.mean([row["inflation"] for row in audited.at("oracle", "argmax").values()])
    assert f"the oracle's epochs score {added:.1f} points more than val's and " in said
    assert "Δ" not in printed(replace(audited, baseline=None))


def test_a_single_seed_has_an_inflation_without_an_interval(make: Make) -> None:
    found = audit(load_runs(make(Method("ce"), seeds=[0], rules=RULES)), "tiny")
    assert np.isnan(found.at("oracle", "argmax")["ce"]["inflation_low"])
    assert "nan" not in printed(found)
    assert "no interval for a single seed" in printed(found)


def test_runs_that_did_not_track_the_oracle_are_left_out_and_counted(make: Make) -> None:
    make(Method("ce"), rules=RULES)
    results = make(Method("other"), Method("ce", spec={"validation": {"fraction": 0.3}}))
    found = audit(load_runs(results), "tiny")  # what is left out is not mixed with anything
    assert found.methods == ["ce"]
    assert any(note.startswith("4 runs left out: not done, or not with the epochs") for note in found.warnings)
    with pytest.raises(SpecError, match="--only loss=other: no row has it. There are: ce"):
        audit(load_runs(results), "tiny", {"loss": "other"})
    with pytest.raises(SpecError, match="There is no split 'far-away'"):
        audit(load_runs(results), "far-away")


def test_without_such_runs_it_says_how_to_make_some(make: Make) -> None:
    results = make(Method("ce"))
    with pytest.raises(ResultsError, match=r"No finished run on 'tiny' kept.*--test tiny --select oracle,val,last"):
        audit(load_runs(results), "tiny")


def test_a_damaged_run_is_named_once(of_four: Audit, results: Path) -> None:
    (victim,) = results.glob("runs/ce-*-s1-*")
    (victim / "metrics.json").write_text("{")
    found = audit(load_runs(results), "far")
    (said,) = [note for note in found.warnings if note.startswith("left out")]
    assert str(victim / "metrics.json") in said
    assert found.at("val", "argmax")["ce"]["n_ok"] == 1
    assert found.at("val", "argmax")["qlung"]["score_mean"] == of_four.at("val", "argmax")["qlung"]["score_mean"]


def test_what_must_not_be_mixed_is_refused(make: Make) -> None:
    results = make(Method("ce"), Method("ce", spec={"validation": {"fraction": 0.3}}), rules=RULES)
    with pytest.raises(ResultsError, match="they differ in train_fraction"):
        audit(load_runs(results), "tiny")
    assert audit(load_runs(results), "tiny", {"train_fraction": "0.7"}).methods == ["ce"]


def test_what_the_oracle_is_above_the_last_epoch_and_its_optimism(four_runs: Path) -> None:
    """Of trained runs, whose record says what was hit after every epoch."""
    found = audit(load_runs(four_runs), "tiny")
    oracle = found.at("oracle", "argmax")
    for loss, row in oracle.items():
        last = found.at("last", "argmax")[loss]
        assert row["above_last"] == pytest.approx(row["score_mean"] - last["score_mean"])
        assert row["above_last"] >= 0
        runs = [run for run in load_runs(four_runs) if run.spec.loss.name == loss]
        for run in runs:
            tracked = run.tracked("tiny")
            assert tracked is not None
            assert list(tracked["epoch"].unique()) == [1, 2]
            best = run.selection["oracle:tiny"].epoch
            hits = tracked[tracked["epoch"] == best]
            stored = run.metrics["oracle"]["tiny"]["argmax"]
            assert 100 * hits["hits_normal"].sum() / stored["support_normal"] == pytest.approx(stored["sp"])
        assert np.isfinite([row["optimism"], row["other_half"]]).all()
        assert np.isnan(last["optimism"])
    assert "optimism: epochs chosen on half of the test patients" in printed(found)
