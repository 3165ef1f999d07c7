"""Absurd values of every kind of option: success, or one message and exit code 1 or 2; nothing is trained."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from tiny import TINY_PLUGIN, Cli

RUN = ("run", "--backbone", "tiny", "--plugin", TINY_PLUGIN, "--train", "tiny", "--dry-run", "--quiet")
COMMANDS = (
    *((*RUN, option, "@") for option in ("--weights", "--test", "--epochs", "--select", "--device", "--threads")),
    *((*RUN, "--loss", "ce", option, "@") for option in ("--seeds", "--set", "--spec", "--root", "--plugin")),
    (*RUN, "--loss", "ce", "--results", "@"),
    *((*RUN, "--loss", "ce", "--set", f"{key}=@") for key in ("seed", "optim.lr", "data.clip_s", "loss", "select")),
    ("show", "@"),
    ("compare", "@", "@"),
    ("cite", "@"),
    ("merge", "@", "--results", "merged"),
    ("rescore", "--results", "@"),
    ("export", "@", "--out", "bundle.zip"),
    ("leaderboard", "--split", "@"),
    ("leaderboard", "--split", "tiny", "--only", "@"),
    ("leaderboard", "--split", "tiny", "--format", "@"),
    ("leaderboard", "--split", "tiny", "--figure", "@"),
    ("audit", "--split", "tiny", "--results", "@"),
    ("report", "--results", "@", "--out", "page.html"),
    ("predict", "@", "--card"),
    ("export-model", "x", "--out", "@"),
    ("list", "@"),
    ("doctor", "@"),
    ("sweep", "@", "--dry-run", "--serial"),
    ("sweep", "status", "@"),
    ("sweep", "smoke", "--dry-run", "--serial", "--set", "@"),
    ("sweep", "smoke", "--dry-run", "--serial", "--set", "seeds=@"),
    ("sweep", "smoke", "--dry-run", "--serial", "--set", "resources.threads=@"),
    ("data", "check", "--root", "@"),
    ("data", "clips", "--dataset", "synthetic", "--out", "@"),
    ("embed", "--backbone", "@", "--dataset", "synthetic", "--out", "e.parquet", "--dry-run"),
    ("embed", "--backbone", "tiny", "--plugin", TINY_PLUGIN, "--dataset", "@", "--out", "e.parquet", "--dry-run"),
    ("quality", "--index", "@", "--dataset", "synthetic"),
    ("quality", "--index", "rms", "--dataset", "@"),
)
VALUES = ("", ".", "missing/x", "file", "file/x", "folder", "folder.py", "binary.yaml", "a\nb", "\x1b[31mred", "[/b]")
VALUES += ("x" * 5000, "-1", "nan", "1e999", "9" * 40, "0-2000000000", "100000", "\udcff", "=", "a=b", "[ce, qlung]")
VALUES += ("loss=5", "optim.lr=null", "{a: {b: {}}}", "ce,ce", ",", "*", "'", "état", "--", "pml:x", "timm:", "../..")


def test_absurd_options_are_taken_or_named(
    cli: Cli, generators: Iterator[random.Random], tiny_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One input in ten of the others: a command takes longer than a parser."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RSBENCH_DATA", str(tiny_root))
    Path("file").write_text("x")
    Path("binary.yaml").write_bytes(bytes(range(256)))
    for folder in ("folder", "folder.py"):
        Path(folder).mkdir()
    for generator in itertools.islice(generators, None, None, 10):
        command, value = generator.choice(COMMANDS), generator.choice(VALUES)
        arguments = [part.replace("@", value) for part in command]
        print(arguments)
        done = cli(*arguments)
        assert done.code in (0, 1, 2)
        assert bool(done.code) == ("rror" in done.err or "Usage" in done.err), done
        assert "Traceback" not in done.out + done.err
