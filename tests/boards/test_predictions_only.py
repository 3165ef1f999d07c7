"""Predictions that another program made: rows like those of runs for every reader, and never unflagged."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import on_disk
import pandas as pd
import pytest
from tiny import Cli, Outcome

from rsbench.boards.audit import audit
from rsbench.core.display import Display
from rsbench.core.errors import ResultsError
from rsbench.data.clips import FOUR_WORDS
from rsbench.data.tasks import ICBHI_4
from rsbench.report.page.groups import read_results
from rsbench.report.page.provenance import commands, run_rows
from rsbench.results.rescore import rescore_run
from rsbench.results.run import Run, load_runs

Score = Callable[..., Outcome]


@pytest.fixture
def score(cli: Cli, tiny_root: Path, results: Path) -> Score:
    """`rsbench score` of seed 0 on `tiny`, into `results`, which has runs of ce and qlung."""

    def call(predictions: Path, *more: str | Path, select: str = "test-best", split: str = "tiny") -> Outcome:
        named = ("--test", split, "--method", "BTS", "--select", select, "--root", tiny_root, "--results", results)
        return cli("score", predictions, *named, "--quiet", *more)

    return call


def stored(run: Run, part: str, selection: str = "val") -> pd.DataFrame:
    """What a user would have of a model: clip_id and logits."""
    rows = run.predictions("tiny")
    return rows.loc[(rows["part"] == part) & (rows["selection"] == selection), ["clip_id", *ICBHI_4.logit_columns]]


@pytest.fixture
def of_ce(results: Path, tmp_path: Path) -> Run:
    """A run of ce with seed 0, whose predictions lie in test.csv and validation.parquet."""
    run = next(run for run in load_runs(results) if run.run_id.startswith("ce") and run.spec.seed == 0)
    exact = stored(run, "test").astype(dict.fromkeys(ICBHI_4.logit_columns, np.float64))
    exact.sample(frac=1, random_state=0).to_csv(tmp_path / "test.csv", index=False)
    stored(run, "validation").to_parquet(tmp_path / "validation.parquet")
    return run


def bts(results: Path) -> Run:
    (found,) = (run for run in load_runs(results) if run.run_id.startswith("BTS"))
    return found


def test_the_predictions_of_a_run_give_its_figures_again(
    score: Score, results: Path, of_ce: Run, tmp_path: Path
) -> None:
    done = score(tmp_path / "test.csv", "--validation", tmp_path / "validation.parquet", select="val")
    assert done.code == 0, done.err
    run, theirs = bts(results), of_ce.metrics["val"]["tiny"]
    ours = run.metrics["val"]["tiny"]
    of_quality = {"aurc_quality"}
    for name, figures in theirs.items():
        told = figures.keys() - of_quality if isinstance(figures, dict) else set()
        assert ours[name] == figures or {key: figures[key] for key in told} == {key: ours[name][key] for key in told}
    assert {"argmax", "val-bias", "operating_point"} <= ours.keys()
    again = score(tmp_path / "test.csv", "--validation", tmp_path / "validation.parquet", select="val")
    assert again.code == 0, again.err
    assert bts(results).status == run.status


def test_a_test_best_row_stands_beside_val_rows_and_says_so(
    cli: Cli, score: Score, results: Path, of_ce: Run, tmp_path: Path
) -> None:
    assert score(tmp_path / "test.csv").code == 0
    asked = ("leaderboard", "--results", results, "--split", "tiny", "--format", "json")
    board = json.loads(cli(*asked, "--baseline", "ce").out)[0]
    rows = {row["loss"]: row for row in board["rows"] if row["operating_point"] == "argmax"}
    own = rows["BTS"]
    assert (own["declared"], own["origin"], own["backbone"]) == ("test-best", "predictions only", "predictions")
    assert own["method"] == "BTS (declared test-best)"
    assert own["verdict"] in ("epoch chosen on test", "not above the floor")
    assert own["rank_best"] is None
    assert (own["delta_seeds"], own["delta"]) == (1, pytest.approx(0, abs=1e-9))  # the predictions are those of ce
    assert (rows["qlung"]["declared"], rows["qlung"]["method"]) == ("–", "qlung")
    assert any("predictions only: BTS (test-best), made elsewhere" in line for line in board["warnings"])
    assert not {"optim.lr", "quality.control", "data.clip_s"} & own.keys()

    oracle = json.loads(cli(*asked, "--select", "oracle").out)[0]["rows"]
    (here,) = (row for row in oracle if row["loss"] == "BTS")
    assert (here["inflation_mean"], "epoch" in here["verdict"]) == (None, False)
    published = json.loads(cli(*asked, "--published", "--only", "loss=BTS").out)[0]["rows"]
    assert [row["flag"] for row in published if row["kind"] == "rsbench"] == ["epoch chosen on test"]


def test_every_reader_takes_them(cli: Cli, score: Score, results: Path, of_ce: Run, tmp_path: Path) -> None:
    assert score(tmp_path / "test.csv").code == 0
    run_id = bts(results).run_id
    shown = cli("show", run_id, "--results", results)
    assert "logits of test.csv, made elsewhere" in shown.out
    assert "optim" not in shown.out
    compared = cli("compare", of_ce.run_id, run_id, "--results", results)
    assert compared.code == 0, compared.err
    assert "predictions only: BTS (test-best)" in compared.out
    assert "optim" not in compared.out
    told = cli("leaderboard", "--results", results, "--split", "tiny", "--by", "quality", "--only", "track=fine-tuned")
    assert "BTS" in told.out, told.err
    assert "% loss BTS: no reference" in cli("cite", run_id, "--results", results).out
    with pytest.raises(ResultsError, match="holds predictions that another program made, and no model"):
        bts(results).choice()
    assert rescore_run(bts(results)).differing == ()
    shutil.copytree(bts(results).path, tmp_path / "alone/runs" / run_id)
    with pytest.raises(ResultsError, match="No finished run on 'tiny' kept the epochs of oracle, val, last"):
        audit(load_runs(tmp_path / "alone"), "tiny")
    (group,) = read_results(load_runs(tmp_path / "alone"), None, tmp_path / "index", Display(quiet=True)).groups
    assert group.name == "predictions only, trained on tiny"
    assert any(
        one.command.startswith("rsbench score test.csv --method BTS --select test-best") for one in commands(group)
    )
    assert any(cell.startswith("–, ") for row in run_rows(group) for cell in row)


def test_handed_on_they_are_what_they_were_and_reading_them_again_confirms_nothing(
    cli: Cli, score: Score, results: Path, of_ce: Run, tmp_path: Path
) -> None:
    assert score(tmp_path / "test.csv").code == 0
    bundles = [tmp_path / "alice.zip", tmp_path / "bob.zip"]
    for bundle in bundles:
        assert cli("export", "BTS", "--results", results, "--out", bundle).code == 0
        shutil.rmtree(bts(results).path)
        assert score(tmp_path / "test.csv").code == 0
        on_disk.write(bts(results).path, "status.json", bts(results).status.document() | {"pid": len(bundles) + 1})
    for bundle in bundles:
        merged = cli("merge", bundle, "--results", tmp_path / "board")
        assert merged.code == 0, merged.err
    assert bts(tmp_path / "board").origin_in_words == "predictions only, self-reported by alice"
    assert (
        cli(
            "export",
            "BTS",
            "--results",
            results,
            "--anonymise",
            "--salt",
            tmp_path / "salt",
            "--out",
            tmp_path / "anonymous",
        ).code
        == 0
    )
    assert cli("rescore", "--results", tmp_path / "anonymous").code == 0


def test_of_labels_alone_there_is_no_figure_that_takes_more(
    cli: Cli, score: Score, results: Path, of_ce: Run, tmp_path: Path
) -> None:
    logits = stored(of_ce, "test")
    called = pd.Index(FOUR_WORDS)[logits[list(ICBHI_4.logit_columns)].to_numpy().argmax(axis=1)]
    pd.DataFrame({"clip_id": logits["clip_id"], "called": called}).to_csv(tmp_path / "labels.csv", index=False)
    done = score(tmp_path / "labels.csv", "--validation", tmp_path / "validation.parquet", select="unknown")
    assert done.code == 0, done.err
    figures = bts(results).metrics["unknown"]["tiny"]
    assert figures["argmax"] == of_ce.metrics["val"]["tiny"]["argmax"]
    assert "val-bias" not in figures
    assert set(figures["calibration"].values()) == {None}
    assert rescore_run(bts(results)).differing == ()
    board = cli("leaderboard", "--results", results, "--split", "tiny", "--only", "loss=BTS").out
    assert "labels only: BTS; an AUROC of labels is that of one threshold" in board


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"--method": "B/T"}, "--method B/T: write one word"),
        ({"--select": "oracle"}, "--select oracle: say how the epoch was chosen.*Known: last, test-best, unknown, val"),
        ({"--test": "tiny-cv3"}, "--test tiny-cv3: each of its folds has a model of its own"),
        ({"--test": "tiny,far"}, "'test00:0', a test clip of 'tiny' or 'far', is not there|two data sets have a clip"),
        ({"--validation": "test.csv"}, "is not a training clip of 'tiny'"),
        ({"FILE": "validation.parquet"}, "is not a test clip of 'tiny', nor are"),
    ],
)
def test_what_cannot_be_scored_is_one_message(
    cli: Cli,
    tiny_root: Path,
    of_ce: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    changes: dict[str, str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    asked: dict[str, Any] = {"FILE": "test.csv", "--test": "tiny", "--method": "BTS", "--select": "val"} | changes
    options = [word for name, value in asked.items() if name != "FILE" for word in (name, value)]
    done = cli("score", asked["FILE"], *options, "--root", tiny_root, "--results", tmp_path / "new", "--quiet")
    assert (done.code, done.out) == (2, "")
    assert pd.Series([done.err]).str.contains(message).all(), done.err
    assert not list((tmp_path / "new").glob("runs/*/status.json"))


def test_two_splits_of_one_file_are_a_run(score: Score, results: Path, of_ce: Run, tmp_path: Path) -> None:
    rows = [of_ce.predictions(name).assign(dataset=name) for name in ("tiny", "far")]
    both = pd.concat(rows).query("part == 'test' and selection == 'val'")
    both[["dataset", "clip_id", *ICBHI_4.logit_columns]].to_parquet(tmp_path / "both.parquet")
    assert score(tmp_path / "both.parquet", split="tiny,far").code == 0
    figures = {split: bts(results).metrics["oracle"][split]["argmax"] for split in ("tiny", "far")}
    assert figures == {split: of_ce.metrics["val"][split]["argmax"] for split in ("tiny", "far")}
