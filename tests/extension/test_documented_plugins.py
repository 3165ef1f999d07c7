"""The backbone and the data set of the documentation: their ten lines are listed, checked, run, recorded and ranked."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from examples import documented, documented_command, write_ward
from tiny import CLIP_S, TINY_PLUGIN, Cli

from rsbench.core.backbone import BACKBONES
from rsbench.core.fingerprint import code_sha256
from rsbench.core.plugins import load
from rsbench.data.datasets import DATASETS

SHORT = ["--epochs", "1", "--threads", "1", "--set", f"data.clip_s={CLIP_S}", "--quiet"]


@pytest.fixture
def here(plugins: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The commands name plugins by their file alone."""
    monkeypatch.chdir(plugins)
    return tmp_path


@pytest.mark.parametrize("file", ["pooled.py", "ward.py", "wheezing.py"])
def test_ten_lines(file: str) -> None:
    lines = [line for line in documented(file).splitlines() if line.strip()]
    assert len(lines) <= 10
    assert max(map(len, lines)) <= 120


def test_the_backbone_is_listed_and_run(cli: Cli, here: Path, recordings: Path) -> None:
    options = ["--root", recordings, "--train", "tiny", "--test", "tiny", "--results", here / "results"]
    done = cli(*documented_command("--backbone pooled"), *SHORT, *options)
    assert done.code == 0, done.err
    assert "pooled" in cli("list", "backbones").out
    (record,) = (here / "results").glob("runs/*/data.json")
    code = code_sha256(BACKBONES.entry("pooled"))
    assert json.loads(record.read_text())["identity"]["plugins"]["backbone:pooled"] == code


def test_the_table_says_what_the_names_say(here: Path, tmp_path: Path) -> None:
    written = write_ward(tmp_path / "ward").sort_values("path", ignore_index=True)
    load("ward.py")
    table = DATASETS.entry("ward").value.read(tmp_path / "ward")
    columns = ["device", "patient", "label", "location", "subset"]
    pd.testing.assert_frame_equal(table.clips[columns], written[columns], check_dtype=False)
    assert table.clips["recording"].tolist() == [Path(path).stem for path in written["path"]]
    assert (table.clips["start_s"] == 0).all()
    assert np.isinf(table.clips["end_s"]).all()
    assert not set(table.clips["label"]) - set(table.words)


def test_a_name_of_another_kind_is_one_clear_error(here: Path, tmp_path: Path, cli: Cli) -> None:
    write_ward(tmp_path / "ward", patients=2)
    (tmp_path / "ward" / "notes.wav").write_bytes(b"")
    done = cli("data", "check", "--plugin", "ward.py", "--root", tmp_path, "--dataset", "ward")
    assert done.code == 2
    assert "Data set 'ward', clip 7 (notes.wav), patient: is empty" in done.err


def test_data_check_finds_all_that_is_broken(here: Path, tmp_path: Path, cli: Cli) -> None:
    written = write_ward(tmp_path / "ward", patients=10)
    command = [*documented_command("check --plugin ward"), "--root", tmp_path]
    assert cli(*command).code == 0
    for path in written["path"][:2]:
        (tmp_path / "ward" / path).write_bytes(b"")
    found = cli(*command)
    assert found.code == 1
    assert all(path in found.out for path in written["path"][:2])


def test_the_data_set_is_listed_run_recorded_and_ranked(cli: Cli, here: Path, recordings: Path) -> None:
    small = ["--backbone", "tiny", "--plugin", TINY_PLUGIN, "--test", "ward,far", "--root", recordings]
    out = here / "results"
    done = cli(*documented_command("--train ward"), *small, *SHORT, "--results", out)
    assert done.code == 0, done.err
    assert "ward" in cli("list", "datasets").out
    assert "Every fifth patient tests." in cli("list", "splits").out

    (record,) = out.glob("runs/*/data.json")
    data = json.loads(record.read_text())
    assert data["splits"]["ward"] == {"version": 1, "dataset": "ward"}
    assert data["identity"]["plugins"]["dataset:ward"] == code_sha256(DATASETS.entry("ward"))
    assert data["datasets"]["ward"]["words"]["I C B"] == "crackle"
    assert data["datasets"]["ward"]["clips"] == 24 * 3 - 2 * 3  # two patients breathe bronchially: of no class

    # A board needs no plugin for the splits on which runs were judged when they were made.
    board = [sys.executable, "-m", "rsbench", "leaderboard", "--split", "ward,far", "--results", str(out)]
    shown = subprocess.run(board, capture_output=True, text=True, check=False)
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout.count("qlung") == 2  # a row on each split
