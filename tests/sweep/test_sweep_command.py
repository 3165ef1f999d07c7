"""`rsbench sweep`: plan first, do what is missing, rank; stopped anywhere, the same command goes on."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from tiny import CLIP_S, TINY_PLUGIN, Cli, Outcome

import rsbench

Sweep = Callable[..., Outcome]
ONE_RUN: dict[str, Any] = {"grid": {"loss": ["ce"]}, "seeds": 0}

GRID: dict[str, Any] = {
    "name": "mine",
    "purpose": "a grid of two losses",
    "base": {"backbone": "tiny", "train": "tiny", "test": "tiny,far", "epochs": 2, "data.clip_s": CLIP_S},
    "grid": {"loss": ["ce", "qlung"]},
    "seeds": "0-1",
    "plugins": [TINY_PLUGIN],
}
TUNED: dict[str, Any] = GRID | {
    "seeds": 0,
    "track": "tuned",
    "search": {
        "trials": 2,
        "space": {"optim.lr": {"low": 1e-3, "high": 1e-1, "log": True}, "loss.class_weights": ["none", "inverse"]},
    },
    "confirm": {"seeds": "1-2"},
}


@pytest.fixture
def sweep(cli: Cli, tiny_root: Path, tmp_path: Path) -> Sweep:
    def call(study: dict[str, Any] = GRID, *more: str) -> Outcome:
        path = tmp_path / "mine.yaml"
        path.write_text(yaml.safe_dump(study, sort_keys=False))
        return cli("sweep", path, "--serial", "--root", tiny_root, "--results", tmp_path / "results", *more)

    return call


def runs(tmp_path: Path) -> list[Path]:
    return sorted((tmp_path / "results" / "runs").iterdir())


def test_the_plan_comes_first_and_a_dry_run_starts_nothing(sweep: Sweep, tmp_path: Path) -> None:
    planned = sweep(GRID, "--dry-run")
    assert planned.code == 0, planned.err
    assert "4 runs: 4 to go; about" in planned.err
    assert "tiny: no verdict: 4.0 effective patients, and it takes 15" in planned.err
    assert len(planned.out.splitlines()) == 4
    assert not (tmp_path / "results" / "runs").exists()


def test_a_grid_is_run_ranked_and_never_repeated(sweep: Sweep, tmp_path: Path) -> None:
    first = sweep()
    assert first.code == 0, first.err
    assert len(runs(tmp_path)) == 4
    assert len(re.findall(r"^ (?:ce|qlung) .* 2 *$", first.out, re.MULTILINE)) == 4  # seeds of two losses on two splits
    stamps = {path: (path / "metrics.json").stat().st_mtime_ns for path in runs(tmp_path)}
    again = sweep()
    assert (again.code, "4 runs: 4 done" in again.err) == (0, True)
    assert {path: (path / "metrics.json").stat().st_mtime_ns for path in runs(tmp_path)} == stamps


def test_what_is_planned_is_what_a_run_of_its_own_would_be(
    sweep: Sweep, tiny_run: Callable[..., Any], tmp_path: Path
) -> None:
    sweep(GRID | {"seeds": 1})
    alone = tiny_run(out=tmp_path / "alone", epochs=2, seed=1, loss="qlung")
    (same,) = (path for path in runs(tmp_path) if path.name == alone.run_id)
    pd.testing.assert_frame_equal(
        pd.read_parquet(same / "predictions" / "far.parquet"),
        pd.read_parquet(alone.path / "predictions" / "far.parquet"),
        check_exact=True,
    )


def test_a_failing_run_is_named_and_the_others_are_done(sweep: Sweep, tmp_path: Path) -> None:
    study = GRID | {"grid": {"loss": ["breaks_down", "ce"]}, "seeds": 0}
    outcome = sweep(study)
    assert outcome.code == 1
    assert "1 of 2 runs of 'mine' are not done" in outcome.err
    assert "became nan" in outcome.err
    assert re.search(r"^ *ce .* 1 *$", outcome.out, re.MULTILINE)  # the other one is ranked
    assert "2 runs: 1 done, 1 failed" in sweep(study).err
    assert "became nan" not in sweep(study).err  # not tried again
    assert "became nan" in sweep(study, "--retry-failed").err


def test_limits_stop_a_study_and_it_goes_on(sweep: Sweep, tmp_path: Path) -> None:
    stopped = sweep(GRID | {"grid": {"loss": ["breaks_down", "ce"]}, "seeds": 0, "limits": {"failures": 1}})
    assert stopped.code == 1
    assert "limits.failures: 1 failed" in stopped.err
    assert len(runs(tmp_path)) == 1


def test_tuning_chooses_on_validation_and_repeats_on_fresh_seeds(sweep: Sweep, cli: Cli, tmp_path: Path) -> None:
    assert "search: 4 trials: 0 done, 4 to go" in sweep(TUNED, "--dry-run").err
    outcome = sweep(TUNED)
    assert outcome.code == 0, outcome.err
    specs = [json.loads((path / "spec.json").read_text()) for path in runs(tmp_path)]
    assert sorted((spec["loss"]["name"], spec["seed"]) for spec in specs) == [
        (loss, seed) for loss in ("ce", "qlung") for seed in (1, 2)
    ]
    assert {spec["tuning_trials"] for spec in specs} == {2}
    assert "tuning tuned" in " ".join(outcome.out.split())
    assert "trials" in outcome.out.split()
    trials = [json.loads(path.read_text()) for path in tmp_path.glob("results/sweeps/mine/trials/*/trial.json")]
    for spec in specs:
        of_loss = [trial for trial in trials if trial["cell"] == spec["loss"]["name"]]
        assert len(of_loss) == 2
        best = max(trial["value"] for trial in of_loss)
        assert spec["optim"]["lr"] in [trial["params"]["optim.lr"] for trial in of_loss if trial["value"] == best]
    again = sweep(TUNED)
    assert "search: 4 trials: 4 done, 0 to go" in again.err
    assert len(runs(tmp_path)) == 4

    status = cli("sweep", "status", "mine", "--results", tmp_path / "results")
    assert status.code == 0, status.err
    assert "qlung" in status.out
    found = cli("sweep", "results", "mine", "--results", tmp_path / "results", "--figures", tmp_path / "figures")
    assert found.code == 0, found.err
    assert "optim.lr" in found.out
    assert list((tmp_path / "figures").glob("*.png"))


def test_tuned_and_published_share_no_board(sweep: Sweep, cli: Cli, tmp_path: Path) -> None:
    sweep(GRID | ONE_RUN)
    sweep(TUNED | ONE_RUN | {"name": "tuned", "confirm": {"seeds": 1}})
    refused = cli("leaderboard", "--split", "tiny", "--results", tmp_path / "results")
    assert (refused.code, "they differ in tuning" in refused.err) == (2, True)


def test_unknown_studies_and_broken_files_are_one_message(sweep: Sweep, cli: Cli, tmp_path: Path) -> None:
    sweep(GRID | ONE_RUN)
    missing = cli("sweep", "status", "mime", "--results", tmp_path / "results")
    assert (missing.code, "Did you mean 'mine'" in missing.err) == (2, True)
    broken = sweep(GRID | {"grid": {"loss": ["ce", "qlong"]}})
    assert (broken.code, "Did you mean 'qlung'" in broken.err) == (2, True)
    assert cli("sweep", "nowhere.yaml").code == 2


def test_in_python_a_study_is_carried_out_and_its_boards_come_back(tiny_root: Path, tmp_path: Path, cli: Cli) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(GRID, sort_keys=False))
    changes = {"seeds": 0, "grid": {"loss": ["ce"]}, "base.epochs": 1}
    found = rsbench.sweep(path, changes=changes, root=tiny_root, results=tmp_path / "results", quiet=True)
    assert [board.split for board in found.boards] == ["tiny", "far"]
    assert set(found.frame["n_ok"]) == {1}
    pd.testing.assert_series_equal(
        found.found.runs["score_mean"],
        found.frame.query("operating_point == 'argmax'")["score_mean"].reset_index(drop=True),
    )
    assert "1 done" in cli("sweep", "status", "mine", "--results", tmp_path / "results").out
    assert inspect.ismodule(rsbench.sweep)  # the room keeps its name
