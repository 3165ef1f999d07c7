"""What the README shows is true: its code runs as it stands."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from documents import blocks, check_options, commands
from tiny import CLIP_S, PROJECT, TINY_PLUGIN, Cli

README = (PROJECT / "README.md").read_text(encoding="utf-8")


def example(word: str) -> str:
    """The Python block that has a word of its own."""
    (found,) = (block.code for block in blocks(README, "python") if word in block.code)
    return found


def own_commands() -> list[str]:
    lines = (line for block in blocks(README, "console") for line in commands(block.code))
    return [line for line in lines if line.startswith("rsbench ")]


@pytest.fixture
def my_loss(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_loss.py").write_text(example("@register_loss"))
    monkeypatch.chdir(tmp_path)


def test_the_loss_in_ten_lines_is_listed_run_and_ranked(
    cli: Cli, my_loss: None, tiny_root: Path, tmp_path: Path
) -> None:
    assert len([line for line in example("@register_loss").splitlines() if line.strip()]) <= 10
    command = next(shlex.split(line) for line in own_commands() if "my_loss.py" in line)
    # The README's own words, on a backbone and recordings that take a second.
    small = ["--plugin", TINY_PLUGIN, "--backbone", "tiny", "--train", "tiny", "--test", "tiny,far", "--epochs", "1"]
    small += ["--root", str(tiny_root), "--set", f"data.clip_s={CLIP_S}"]
    done = cli(*command[1:], *small)
    assert done.code == 0, done.err
    assert "my_margin" in cli("list", "losses", "--plugin", "my_loss.py").out
    board = cli("leaderboard", "--split", "tiny,far", "--figure", "scores.png")
    assert board.out.count("my_margin") == 2
    assert (tmp_path / "scores.png").stat().st_size > 10_000


def test_every_command_is_one_that_exists(cli: Cli) -> None:
    for line in own_commands():
        check_options(cli, line)


def test_the_python_example_runs(my_loss: None) -> None:
    """In a process of its own, on the embedded set with the smallest of clips."""
    code = example("rsbench.run(").replace('"epochs": 2', '"epochs": 1, "data.clip_s": 0.6')
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=os.environ, check=False)
    assert run.returncode == 0, run.stderr
    assert 0 <= float(run.stdout) <= 100


def test_a_foreign_model_enters_as_the_documentation_says(
    cli: Cli, tiny_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    listing = cli("data", "clips", "--dataset", "tiny,far", "--root", tiny_root, "--out", "clips.csv")
    assert listing.code == 0, listing.err
    page = (PROJECT / "docs" / "backbone.md").read_text(encoding="utf-8")
    (written,) = (block.code for block in blocks(page, "python") if block.title == "embed_mine.py")
    exec(written, {"my_model": lambda clip: [clip.start_s, clip.end_s, float(len(clip.label))]})
    options = ["--train", "tiny", "--test", "tiny,far", "--epochs", "1", "--root", str(tiny_root), "--quiet"]
    done = cli("run", "--loss", "ce", "--backbone", "embeddings:my_model.parquet", "--set", "data.clip_s=8", *options)
    assert done.code == 0, done.err
    board = cli("leaderboard", "--split", "far")
    assert "embeddings:my-model" in board.out
    assert "ICBHI, HF Lung" in board.out


def test_the_board_is_that_of_the_study() -> None:
    """Each cell that the README shows stands in the row of this loss, in the board as it was printed."""
    (quoted,) = blocks(README, "text")
    printed = (PROJECT / "results" / "sprsound-heads" / "board.txt").read_text(encoding="utf-8").splitlines()
    _, *rows = quoted.code.splitlines()
    assert len(rows) == 5
    for loss, *cells in (re.split(r" {2,}", row.strip()) for row in rows):
        of_loss = [re.split(r" {2,}", line.strip()) for line in printed if re.match(rf" *{loss} ", line)]
        assert any(set(cells) <= set(row) for row in of_loss), loss


def test_it_is_short_enough_to_be_read() -> None:
    assert len(README.splitlines()) < 200


def test_pictures_and_links_are_there() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert target.startswith("http") or (PROJECT / target).exists(), target
