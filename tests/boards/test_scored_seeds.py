"""Predictions of several trainings on one command line, and from Python: the same rows as one file after the other."""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from tiny import Cli, Outcome

import rsbench
from rsbench.core.display import Display
from rsbench.core.errors import DataError, RsbenchError, SpecError
from rsbench.data.tasks import ICBHI_4
from rsbench.report.page.groups import read_results
from rsbench.report.page.provenance import commands
from rsbench.results.run import Run, load_runs

SEEDS = (3, 5)


@pytest.fixture
def frames(cli: Cli, tiny_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[pd.DataFrame]:
    """Predictions of two trainings, which lie in `s 3.csv` and `s 5.csv` of the working folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RSBENCH_DATA", str(tiny_root))
    assert cli("data", "clips", "--dataset", "tiny", "--out", "clips.csv").code == 0
    test = pd.read_csv("clips.csv").query("subset == 'test'")
    made = []
    for seed in SEEDS:
        logits = np.random.default_rng(seed).normal(size=(len(test), len(ICBHI_4.classes)))
        frame = pd.DataFrame(logits, columns=[f"logit_{name}" for name in ICBHI_4.classes]).assign(
            clip_id=test["clip_id"].array
        )
        frame.to_csv(f"s {seed}.csv", index=False)
        made.append(frame)
    return made


def score(cli: Cli, *words: str) -> Outcome:
    return cli("score", *words, "--test", "tiny", "--method", "BTS", "--select", "test-best", "--quiet")


def from_python(predictions: Any, **changes: Any) -> Run:
    declared: dict[str, Any] = {"test": "tiny", "method": "BTS", "select": "test-best", "seed": 3, "results": "python"}
    return rsbench.score(predictions, **declared | changes, quiet=True)


def test_several_files_are_the_seeds_in_their_order(cli: Cli, frames: list[pd.DataFrame]) -> None:
    done = score(cli, "s 3.csv", "s 5.csv", "--seeds", "3,5", "--pretrained-on", "none")
    assert done.code == 0, done.err
    assert "mean ± sd over 2 seeds" in done.out
    assert f"s 5.csv, seed 5: kept in {next(Path('results/runs').glob('BTS*s5*'))}" in done.out
    for seed in SEEDS:
        alone = score(cli, f"s {seed}.csv", "--seeds", str(seed), "--pretrained-on", "none", "--results", "single")
        assert alone.code == 0, alone.err
    assert {run.run_id for run in load_runs(Path("single"))} == {run.run_id for run in load_runs(Path("results"))}
    (row,) = rsbench.leaderboard("tiny", quiet=True).frame.query("operating_point == 'argmax'").to_dict("records")
    assert (row["n_ok"], row["low"] < row["score_mean"] < row["high"]) == (2, True)


def test_the_command_on_the_page_makes_the_rows_again(cli: Cli, frames: list[pd.DataFrame], tiny_root: Path) -> None:
    assert score(cli, "s 3.csv", "s 5.csv", "--seeds", "3,5", "--pretrained-on", "AudioSet, a hospital").code == 0
    (group,) = read_results(load_runs(Path("results")), None, Path("index"), Display(quiet=True)).groups
    (told,) = commands(group)
    shutil.move("results", "before")
    words = shlex.split(told.command.replace("DIR", str(tiny_root)))
    assert cli(*words[1:], "--quiet").code == 0
    assert {run.run_id for run in load_runs(Path("before"))} == {run.run_id for run in load_runs(Path("results"))}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("s 3.csv", "s 5.csv"), "--seeds: 1 given for 2 files. Give one for each, in their order"),
        (("s 3.csv", "--seeds", "0-2"), "--seeds: 3 given for 1 files"),
        (("s 3.csv", "s 5.csv", "--seeds", "0-1", "--validation", "s 3.csv"), "--validation: 1 given for 2 files"),
        (("s 3.csv", "copy.csv", "--seeds", "0-1"), "copy.csv: is the same as s 3.csv, and two seeds are two"),
        (("s 3.csv", "--seeds", "first"), "--seeds 'first': write numbers and ranges"),
    ],
)
def test_files_and_seeds_that_do_not_fit_are_one_message(
    cli: Cli, frames: list[pd.DataFrame], words: tuple[str, ...], message: str
) -> None:
    shutil.copy("s 3.csv", "copy.csv")
    done = score(cli, *words)
    assert (done.code, done.out) == (2, "")
    assert message in done.err
    assert not Path("results/runs").exists()


def test_a_frame_is_the_run_that_its_file_is(cli: Cli, frames: list[pd.DataFrame]) -> None:
    run = from_python(frames[0].sample(frac=1, random_state=0).set_index("clip_id"))
    assert isinstance(run, rsbench.Run)
    assert score(cli, "s 3.csv", "--seeds", "3").code == 0
    (of_file,) = load_runs(Path("results"))
    assert (run.run_id, run.metrics) == (of_file.run_id, of_file.metrics)
    assert "logits of DataFrame, made elsewhere" in cli("show", run.run_id, "--results", "python").out
    assert from_python("s 3.csv").status == run.status  # which is done already


def test_what_python_is_given_wrongly_is_one_error(frames: list[pd.DataFrame]) -> None:
    wrong: list[tuple[type[RsbenchError], str, Any, dict[str, Any]]] = [
        (DataError, "DataFrame: column 'clip_id': 'test00:0', a test clip of 'tiny', is not there", frames[0][1:], {}),
        (SpecError, "seed -1: give a whole number from 0", frames[0], {"seed": -1}),
        (SpecError, "--select best: say how the epoch was chosen", frames[0], {"select": "best"}),
        (DataError, "nowhere.csv: there is no such file", "nowhere.csv", {}),
        (DataError, "DataFrame: .* is not a training clip of 'tiny'", frames[0], {"validation": frames[1]}),
    ]
    for kind, message, predictions, changes in wrong:
        with pytest.raises(kind, match=message):
            from_python(predictions, **changes)
    assert not list(Path().glob("python/runs/*/status.json"))
