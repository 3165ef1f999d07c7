"""`rsbench run`, `leaderboard`, `list` and `data check` as a user types them."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from tiny import CLIP_S, TINY_PLUGIN, Cli, tiny_settings

import rsbench
from rsbench.core.errors import RunFailed, SpecError

COMMAND = ["run", "--backbone", "tiny", "--plugin", TINY_PLUGIN, "--train", "tiny", "--test", "tiny,far"]
COMMAND += ["--set", f"data.clip_s={CLIP_S}", "--threads", "1", "--device", "cpu"]


def test_a_run_says_what_it_does_and_ends_in_a_table(cli: Cli, tiny_root: Path, tmp_path: Path) -> None:
    given = ("--loss", "qlung", "--seeds", "0-1", "--epochs", "2")
    done = cli(*COMMAND, *given, "--root", tiny_root, "--results", tmp_path)
    assert done.code == 0, done.err
    assert "tiny fit: 32 / 16 / 8 / 8 clips, 8 patients" in done.err
    for word in ("mean ± sd over 2 seeds", "val-bias", "argmax", "last", "far", "Score", "AUROC"):
        assert word in done.out
    assert f"kept in {tmp_path / 'runs'}, 2 runs" in done.out
    told = re.findall(r"next: (rsbench .*)", done.err)
    assert told == [f"rsbench leaderboard --split tiny,far --results {tmp_path}"]
    assert "A verdict takes 8 seeds: the same command with --seeds 0-7 runs those to come." in done.err
    assert cli(*shlex.split(told[0])[1:]).code == 0


def test_json_is_all_that_standard_output_holds(cli: Cli, tiny_root: Path, tmp_path: Path) -> None:
    given = ("--loss", "ce", "--epochs", "1", "--format", "json", "--quiet")
    done = cli(*COMMAND, *given, "--root", tiny_root, "--results", tmp_path)
    (run,) = json.loads(done.out)["runs"]
    assert done.err == ""
    assert json.loads((Path(run["path"]) / "metrics.json").read_text()) == run["metrics"]


def test_a_record_holds_all_that_it_should(cli: Cli, tiny_root: Path, tmp_path: Path) -> None:
    cli(*COMMAND, "--loss", "arcface", "--root", tiny_root, "--results", tmp_path, "--epochs", "2")
    (run,) = (tmp_path / "runs").iterdir()
    files = {str(path.relative_to(run)) for path in run.rglob("*") if path.is_file() and path.name != ".lock"}
    assert files >= {
        "spec.json",
        "status.json",
        "env.json",
        "data.json",
        "epochs.csv",
        "metrics.json",
        "predictions/tiny.parquet",
        "predictions/far.parquet",
    }
    assert not any(name.endswith((".tmp", "resume.pt")) for name in files)
    predictions = pd.read_parquet(run / "predictions" / "tiny.parquet")
    assert set(predictions["part"]) == {"validation", "test"}
    assert predictions["margin_rad"].unique() == pytest.approx([0.5])
    assert predictions["quality"].between(0, 1).all()
    data = json.loads((run / "data.json").read_text())
    assert not set(data["validation_patients"]) & set(predictions.query("part == 'test'")["patient"])


def test_dry_run_checks_and_leaves_nothing(cli: Cli, tiny_root: Path, tmp_path: Path) -> None:
    done = cli(*COMMAND, "--loss", "ce", "--root", tiny_root, "--results", tmp_path, "--dry-run")
    assert done.code == 0
    assert ": to run" in done.out
    assert list(tmp_path.iterdir()) == []


def test_a_runs_spec_makes_the_same_run(cli: Cli, tiny_root: Path, tmp_path: Path) -> None:
    options = ("--root", tiny_root, "--threads", "1", "--device", "cpu", "--plugin", TINY_PLUGIN)
    cli(*COMMAND, "--loss", "ce", "--root", tiny_root, "--results", tmp_path, "--epochs", "1", "--seeds", "3")
    (run,) = (tmp_path / "runs").iterdir()
    again = cli("run", "--spec", run / "spec.json", *options, "--results", tmp_path)
    assert "already done" in again.err
    assert str(run) in again.out


def test_one_failed_seed_does_not_stop_the_others(cli: Cli, tiny_root: Path, tmp_path: Path) -> None:
    done = cli(*COMMAND, "--loss", "breaks_down", "--root", tiny_root, "--results", tmp_path, "--seeds", "0,1")
    assert done.code == 1
    assert done.err.count("became nan") == 2
    board = cli("leaderboard", "--split", "tiny", "--results", tmp_path)
    assert "failed: breaks_down-tiny-s0" in board.out


def test_leaderboard_shows_the_runs(cli: Cli, tiny_root: Path, tmp_path: Path) -> None:
    for loss in ("ce", "cosface"):
        cli(*COMMAND, "--loss", loss, "--root", tiny_root, "--results", tmp_path, "--epochs", "1")
    for split in ("tiny", "far"):
        board = cli("leaderboard", "--split", split, "--results", tmp_path)
        assert board.code == 0, board.err
        for word in (split, "selected: val", "ce", "cosface", "1/1", "val-bias"):
            assert word in board.out


@pytest.mark.parametrize("kind", ["losses", "backbones", "frontends", "splits", "datasets", "indices"])
def test_list(cli: Cli, kind: str) -> None:
    expected = {
        "losses": ("qlung", "kappa_rad = 0.5 rad", "2606.11915"),
        "backbones": ("ast", "base | small | tiny"),
        "frontends": ("kaldi-fbank", "hop_ms = 10.0 ms"),
        "splits": ("sprsound-qlung", "icbhi-official-clean"),
        "datasets": ("icbhi", "synthetic-shift"),
        "indices": ("aqs", "alpha = 0.7"),
    }
    listed = cli("list", kind)
    assert listed.code == 0
    assert all(word in listed.out for word in expected[kind])


def test_a_plugin_is_listed(cli: Cli) -> None:
    assert "becomes NaN half-way" in cli("list", "losses", "--plugin", TINY_PLUGIN).out


def test_help_has_examples(cli: Cli) -> None:
    assert "rsbench run --loss qlung --backbone cnn6" in cli("run", "--help").out


def _unhurried(root: Path, out: Path) -> list[str]:
    options = ["--root", str(root), "--results", str(out), "--epochs", "6", "--save-every-s", "0", "--format", "json"]
    return [*COMMAND, "--loss", "unhurried", *options]


def _start(root: Path, out: Path) -> subprocess.Popen[str]:
    # Where the tests run in the background, SIGINT is ignored, and children inherit that: a terminal's does not.
    heeding = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    program = [sys.executable, "-c", f"{heeding}; from rsbench.cli import main; main()", *_unhurried(root, out)]
    environment = os.environ | {"UNHURRIED_S": "0.1"}
    return subprocess.Popen(program, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def _wait_for_epoch(out: Path, epoch: int, process: subprocess.Popen[str]) -> Path:
    """Until this process, and none before it, says that it is so far."""
    while process.poll() is None:
        for path in out.glob("runs/*/status.json"):
            status = json.loads(path.read_text())
            if status["pid"] == process.pid and status.get("epoch", 0) >= epoch:
                return path
        time.sleep(0.01)
    raise AssertionError(f"epoch {epoch} was never reached")


def test_kill_and_interrupt_leave_a_run_that_ends_as_if_nothing_had_been(
    cli: Cli, tiny_root: Path, tmp_path: Path
) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    killed = _start(tiny_root, parts)
    status = _wait_for_epoch(parts, 2, killed)
    killed.kill()
    killed.communicate()
    assert json.loads(status.read_text())["state"] == "running"

    interrupted = _start(tiny_root, parts)
    _wait_for_epoch(parts, 4, interrupted)
    interrupted.send_signal(signal.SIGINT)
    _, said = interrupted.communicate(timeout=60)
    assert interrupted.returncode == 130, said
    assert "The same command continues" in said
    assert json.loads(status.read_text())["state"] == "interrupted"

    continued = cli(*_unhurried(tiny_root, parts))
    assert (continued.code, "going on after epoch" in continued.err) == (0, True), continued.err
    assert cli(*_unhurried(tiny_root, whole)).code == 0
    for name in ("tiny", "far"):
        one, other = (next(out.glob(f"runs/*/predictions/{name}.parquet")) for out in (whole, parts))
        pd.testing.assert_frame_equal(pd.read_parquet(one), pd.read_parquet(other), check_exact=True)


def test_python_runs_several_losses_and_seeds_and_lists_them_in_whatever_state(
    tiny_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = {key: value for key, value in tiny_settings(epochs=2).items() if key != "loss"}
    options: dict[str, Any] = {"plugins": [TINY_PLUGIN], "root": tiny_root, "results": tmp_path, "threads": 1}
    with pytest.raises(RunFailed, match=r"1 of 2 runs failed, the others are kept in .*\nbreaks_down-tiny-s0"):
        rsbench.run(settings, losses="breaks_down, ce", **options)
    capsys.readouterr()
    done = rsbench.run(settings, losses=["ce"], seeds=[0], **options)
    assert capsys.readouterr().err.startswith("already done: ")
    assert [run.run_id for run in done] == [done[0].run_id]
    (tmp_path / "runs" / "damaged").mkdir()
    (tmp_path / "runs" / "damaged" / "status.json").write_text("{ half")
    found = rsbench.runs(results=tmp_path)
    assert dict(zip(found.frame["loss"], found.frame["state"], strict=True)) == {"breaks_down": "failed", "ce": "done"}
    assert found.frame["score"].isna().sum() == 1
    (stored,) = found.frame.query("rule == 'val' and split == 'far' and at == 'argmax'")["score"]
    assert stored == done[0].figures("far", "val")["argmax"]["score"]
    assert "left out: " in repr(found)
    _, score = found.figure().axes
    assert score.lines[0].get_ydata().tolist() == done[0].epochs["val_score"].tolist()
    assert len(rsbench.runs("ce-*", results=tmp_path)) == 1


def test_the_same_field_said_twice_is_refused(tmp_path: Path) -> None:
    for settings, several in (({"loss": "ce"}, {"losses": "ce,qlung"}), ({"seed": 1}, {"seeds": "0-1"})):
        with pytest.raises(SpecError, match="both say the same field"):
            rsbench.run({"backbone": "tiny", **settings}, results=tmp_path, **several)
