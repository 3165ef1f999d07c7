"""Splits that a plugin's data set brings, on boards: judged when the run was made, or from its predictions later."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from tiny import CLIP_S, TINY_PLUGIN, Cli

PLUGIN = """
import pandas as pd
from rsbench import Split, clip_table, register_dataset

SPLITS = [
    Split("wards", 2, "wards", "Both wards.", (), ("east", "west")),
    Split("wards-east", 1, "wards", "The eastern ward.", (), ("east",)),
]


@register_dataset("wards", splits=SPLITS)
def read_wards(root):
    clips = pd.read_csv(root / "clips.csv")
    ward = clips["patient"].isin(["test00", "test01"]).map({True: "east", False: "west"})
    return clip_table("wards", root, clips.assign(subset=ward))
"""


@pytest.fixture(scope="module")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("wards") / "wards.py"
    path.write_text(PLUGIN)
    return path


def test_external_splits_of_a_plugin(cli: Cli, plugin: Path, tiny_root: Path, tmp_path: Path) -> None:
    out = tmp_path / "results"
    options = ["--loss", "ce", "--backbone", "tiny", "--train", "tiny", "--test", "tiny,wards", "--epochs", "1"]
    options += ["--plugin", TINY_PLUGIN, "--set", f"data.clip_s={CLIP_S}", "--threads", "1", "--quiet"]
    roots = ["--root", tiny_root, "--root", f"wards={tiny_root / 'far'}"]
    done = cli("run", *options, *roots, "--plugin", plugin, "--results", out)
    assert done.code == 0, done.err
    (record,) = out.glob("runs/*/data.json")
    assert json.loads(record.read_text())["splits"]["wards"] == {"version": 2, "dataset": "wards"}

    board = ["leaderboard", "--split", "wards-east", "--results", str(out)]
    # In a process of its own, which has not loaded the plugin before.
    alone = [sys.executable, "-m", "rsbench", *board]
    unknown = subprocess.run(alone, capture_output=True, text=True, check=False)
    assert unknown.returncode == 2
    assert "There is no split 'wards-east'. Did you mean 'wards'" in unknown.stderr
    assert "needs its --plugin" in unknown.stderr
    later = cli(*board, "--plugin", plugin)
    assert later.code == 0, later.err
    assert "normal 2.0" in later.out  # the effective patients: two in that ward


def test_no_split_can_be_trained_on_whose_side_is_empty(cli: Cli, plugin: Path, tiny_root: Path) -> None:
    roots = ["--root", tiny_root, "--root", f"wards={tiny_root / 'far'}"]
    done = cli("run", "--loss", "ce", "--backbone", "cnn6", "--train", "wards", "--plugin", plugin, *roots)
    assert done.code == 2
    assert "split 'wards' has no training clip" in done.err
