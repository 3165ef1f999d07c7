"""What the README and CONTRIBUTING show is true: their code runs as it stands."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from tiny import CLIP_S, PROJECT, TINY_PLUGIN, Cli

README = (PROJECT / "README.md").read_text(encoding="utf-8")
CONTRIBUTING = (PROJECT / "CONTRIBUTING.md").read_text(encoding="utf-8")


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)


def commands() -> list[str]:
    lines = [line.partition("#")[0].strip() for block in blocks(README, "console") for line in block.splitlines()]
    return [line for line in lines if line]


@pytest.fixture
def my_loss(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_loss.py").write_text(blocks(README, "python")[0])
    monkeypatch.chdir(tmp_path)


def test_the_loss_in_ten_lines_is_listed_run_and_ranked(
    cli: Cli, my_loss: None, tiny_root: Path, tmp_path: Path
) -> None:
    assert len([line for line in blocks(README, "python")[0].splitlines() if line.strip()]) <= 10
    command = next(shlex.split(line) for line in commands() if "my_loss.py" in line)
    # The README's own words, on a backbone and recordings that take a second.
    small = ["--plugin", TINY_PLUGIN, "--backbone", "tiny", "--train", "tiny", "--test", "tiny,far", "--epochs", "1"]
    small += ["--root", str(tiny_root), "--set", f"data.clip_s={CLIP_S}"]
    done = cli(*command[1:], *small)
    assert done.code == 0, done.err
    assert "my_margin" in cli("list", "losses", "--plugin", "my_loss.py").out
    board = cli("leaderboard", "--split", "tiny,far", "--figure", "scores.png")
    assert board.out.count("my_margin") == 4
    assert (tmp_path / "scores.png").stat().st_size > 10_000


def test_every_command_is_one_that_exists(cli: Cli) -> None:
    for line in commands():
        words = shlex.split(line.split("&&")[-1])
        if words[0] != "rsbench":
            continue
        options = {word.partition("=")[0] for word in words if word.startswith("--")}
        path = [word for word in words[1:3] if not word.startswith("-")]
        said = cli(*(path[:2] if path[0] == "data" else path[:1]), "--help").out
        assert all(option in said for option in options), line


def test_the_python_example_runs(my_loss: None) -> None:
    """The README's second block, in a process of its own, on the embedded set with the smallest of clips."""
    example = blocks(README, "python")[1].replace('"epochs": 2', '"epochs": 1, "data.clip_s": 0.6')
    run = subprocess.run([sys.executable, "-c", example], capture_output=True, text=True, env=os.environ, check=False)
    assert run.returncode == 0, run.stderr
    assert 0 <= float(run.stdout) <= 100


def test_the_backbone_example_runs(cli: Cli, tiny_root: Path, tmp_path: Path) -> None:
    (tmp_path / "pooled.py").write_text(blocks(CONTRIBUTING, "python")[0])
    options = ["--train", "tiny", "--epochs", "1", "--root", tiny_root, "--out", tmp_path / "results"]
    plugin = ["--plugin", tmp_path / "pooled.py", "--set", f"data.clip_s={CLIP_S}"]
    done = cli("run", "--loss", "ce", "--backbone", "pooled", *plugin, *options)
    assert done.code == 0, done.err


def test_pictures_and_links_are_there() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert target.startswith("http") or (PROJECT / target).exists(), target
