"""`rsbench quality` from end to end: on a ward whose truth is known, and on real recordings where they are at hand."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from tiny import Cli, Outcome

from rsbench.data.clips import FOUR_WORDS
from rsbench.quality.degradation import DEGRADATIONS

QUESTIONS = ("contrasts", "association", "degradation", "degradation_levels", "margins", "recordings")
OF_RUNS = ("ordering", "risk_coverage")
PICTURES = ("distribution", "contrasts", "association", "degradation_levels", "margins", "ordering", "risk_coverage")

Ask = Callable[..., Outcome]


@pytest.fixture
def ask(cli: Cli, ward: Path) -> Ask:
    def call(*arguments: str | Path, index: str = "spotless,hiss,coin", on: str = "ward") -> Outcome:
        known = ("--root", ward, "--plugin", ward / "indices.py", "--clips", "6")
        return cli("quality", "--index", index, "--dataset", on, *known, *arguments)

    return call


def rows_of(done: Outcome, question: str) -> list[dict[str, Any]]:
    (sheet,) = (sheet for sheet in json.loads(done.out) if sheet["question"] == question)
    return list(sheet["rows"])


def test_the_truth_has_area_one_and_chance_a_half(ask: Ask) -> None:
    done = ask("--format", "json")
    assert done.code == 0, done.err
    rows = [row for row in rows_of(done, "contrasts") if row["contrast"] == "good over poor recordings"]
    found = {row["index"]: row for row in rows}
    assert found["spotless"]["value"] == 1
    assert found["coin"]["low"] < 0.5 < found["coin"]["high"]
    assert (found["coin"]["first"], found["coin"]["second"]) == (14, 14)
    assert found["coin"]["first_patients"] == pytest.approx(14)


def test_every_question_has_a_tidy_csv_and_a_picture(ask: Ask, ward_runs: Path, tmp_path: Path) -> None:
    out = tmp_path / "answers"
    done = ask("--results", ward_runs, "ce-*", "--out", out, index="hiss,coin")
    assert done.code == 0, done.err
    assert sorted(path.stem for path in out.glob("*.csv")) == sorted((*QUESTIONS, *OF_RUNS))
    answers = {name: pd.read_csv(out / f"{name}.csv") for name in (*QUESTIONS, *OF_RUNS)}
    assert all({"dataset", "index"} <= set(frame) for frame in answers.values())
    assert len(answers["contrasts"]) == 2 * 3
    levels = sum(1 + len(kind.levels) for kind in DEGRADATIONS.values())
    assert len(answers["degradation_levels"]) == 2 * levels
    assert set(answers["degradation"]["degradation"]) == set(DEGRADATIONS)
    runs = [path.name for path in (ward_runs / "runs").iterdir()]
    assert set(answers["ordering"]["run"]) == {*runs, "mean"}
    assert set(answers["ordering"]["class"]) == {*FOUR_WORDS, "within class"}
    assert answers["recordings"].groupby("index").size().tolist() == [28, 28]
    assert answers["recordings"]["quality"].between(0, 1).all()
    for name in PICTURES:
        assert (out / f"ward_{name}.png").stat().st_size > 5000
        assert (out / f"ward_{name}.svg").is_file()


def test_margins_are_those_of_the_loss(ask: Ask, tmp_path: Path) -> None:
    options = ("--set", "loss.gamma=1", "--set", "loss.kappa_rad=0.6", "--out", tmp_path)
    assert ask(*options, index="hiss").code == 0
    found = pd.read_csv(tmp_path / "margins.csv")
    np.testing.assert_allclose(found["mean"], 0.6 * found["q_mean"], atol=1e-6)
    assert found["clips"].tolist() == [40, 8, 8, 8]


def test_ordering_is_by_the_stored_predictions(ask: Ask, ward_runs: Path) -> None:
    done = ask("--results", ward_runs, "ce-", "--format", "json", index="hiss")
    rows = [row for row in rows_of(done, "ordering") if row["class"] == "within class"]
    for row in rows[:2]:
        figures = json.loads((ward_runs / "runs" / row["run"] / "metrics.json").read_text())["val"]["ward"]["argmax"]
        assert row["risk"] == pytest.approx(1 - figures["score"] / 100)
    assert rows[2]["run"] == "mean"
    assert rows[2]["risk"] == pytest.approx((rows[0]["risk"] + rows[1]["risk"]) / 2)
    assert rows[2]["value"] == pytest.approx((rows[0]["value"] + rows[1]["value"]) / 2)


def test_patients_whom_an_index_saw_are_left_out_for_all(ask: Ask) -> None:
    done = ask("--format", "json", index="insider,coin")
    assert done.code == 0, done.err
    rows = [row for row in rows_of(done, "contrasts") if row["contrast"] == "good over poor recordings"]
    assert [(row["index"], row["first"], row["second"]) for row in rows] == [("insider", 6, 6), ("coin", 6, 6)]
    said = ask(index="insider,coin").out
    assert "insider was fitted on ward; its 8 patients here are left out, for every index." in said
    refused = ask(index="forgetful")
    assert refused.code == 2
    assert "does not say on whom" in refused.err


def test_a_set_without_poor_recordings_says_so(cli: Cli, tiny_root: Path) -> None:
    done = cli("quality", "--index", "rms", "--dataset", "tiny", "--root", tiny_root, "--clips", "4")
    assert done.code == 0, done.err
    assert "No judged recording of tiny has the record_label 'Poor Quality'" in done.out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--index", "spotles"), "Did you mean 'spotless'?"),
        (("--set", "hisss.power=2"), "Did you mean 'hiss'?"),
        (("--set", "power=2"), "write INDEX.OPTION=VALUE"),
        (("--set", "hiss.powr=2"), "Did you mean 'power'?"),
        (("--loss", "ce"), "--loss ce: it has no angular margin."),
        (("--dataset", "wrad"), "there is no folder"),
        (("--format", "tabel"), "Did you mean 'table'?"),
        (("nobody",), "no run in"),
    ],
)
def test_what_is_wrong_is_told_in_a_line(ask: Ask, ward_runs: Path, arguments: tuple[str, str], said: str) -> None:
    done = ask("--results", ward_runs, *arguments)
    assert done.code == 2
    assert said in done.err
    assert "Traceback" not in done.err


def test_a_run_on_other_recordings_is_refused(ask: Ask, ward: Path, tiny_root: Path, ward_runs: Path) -> None:
    done = ask("--root", tiny_root, "--results", ward_runs, "ce-", on="tiny")
    assert done.code == 2
    assert "has no predictions of test clips of 'tiny'" in done.err
    assert "(data sets with predictions: ward)" in done.err


def test_markdown_and_csv_hold_the_same_figures(ask: Ask) -> None:
    assert "| spotless | 1.000" in ask("--format", "md").out
    lines = ask("--format", "csv").out.splitlines()
    assert {"question", "dataset", "index", "value"} <= set(lines[0].split(","))


def test_measuring_again_is_reading_the_cache(
    ask: Ask, cache: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    first = ask(index="hiss")
    monkeypatch.setattr("rsbench.quality.measuring.read", None)
    monkeypatch.setattr("rsbench.quality.assessment.robustness.read", None)
    assert ask(index="hiss").out == first.out
