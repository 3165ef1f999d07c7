"""Boards on a fresh checkout: the runs of the bundles that lie beside them, until there are runs of one's own."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path
from typing import Any

import pytest

import rsbench
from rsbench.core.display import Display
from rsbench.core.errors import ResultsError
from rsbench.results.bundle import export
from rsbench.results.run import Run
from rsbench.results.shipped import runs_to_show


@pytest.fixture
def checkout(tiny_run: Any, tmp_path: Path) -> Path:
    """A results folder as it is in the repository: two studies, one with a bundle."""
    run = Run(tiny_run(epochs=1).path)
    for study in ("first", "second"):
        (tmp_path / "checkout" / study).mkdir(parents=True)
    export([run], tmp_path / "checkout" / "first" / "runs.zip", None, Display(quiet=True))
    return tmp_path / "checkout"


def test_a_fresh_checkout_shows_a_board_and_says_whose_it_is(checkout: Path, cli: Any, cache: Path) -> None:
    said = cli("leaderboard", "--split", "tiny", "--results", checkout)
    assert said.code == 0
    assert " ce " in said.out
    assert "no runs of yours" in said.err
    assert str(checkout / "first" / "runs.zip") in said.err
    again = cli("leaderboard", "--split", "tiny", "--results", checkout)
    assert again.out == said.out
    assert sum(path.is_dir() for path in (cache / "bundles").iterdir()) == 1  # unpacked once


def test_a_bundle_in_two_studies_is_shown_once(checkout: Path) -> None:
    shutil.copy(checkout / "first" / "runs.zip", checkout / "second" / "copy.zip")
    assert len(runs_to_show(checkout, Display(quiet=True))) == 1


def test_runs_of_ones_own_stand_alone(checkout: Path, tiny_run: Any, capsys: pytest.CaptureFixture[str]) -> None:
    own = Run(tiny_run(epochs=1, seed=1).path)
    shutil.copytree(own.path, checkout / "runs" / own.run_id)
    assert [run.run_id for run in runs_to_show(checkout, Display())] == [own.run_id]
    assert capsys.readouterr().err == ""


def test_a_bundle_that_somebody_changed_is_refused(checkout: Path) -> None:
    bundle, other = checkout / "first" / "runs.zip", checkout / "other.zip"
    with zipfile.ZipFile(bundle) as before, zipfile.ZipFile(other, "w") as after:
        for name in before.namelist():
            content = before.read(name)
            after.writestr(name, content.replace(b'"score"', b'"Score"') if name.endswith("metrics.json") else content)
    other.replace(bundle)
    with pytest.raises(ResultsError, match=r"metrics\.json was changed"):
        runs_to_show(checkout, Display(quiet=True))


def test_a_damaged_bundle_is_named_and_nothing_at_all_is_said_as_ever(checkout: Path, tmp_path: Path) -> None:
    (checkout / "first" / "runs.zip").write_bytes(b"no zip")
    with pytest.raises(ResultsError, match=r"runs\.zip: is no zip"):
        runs_to_show(checkout, Display(quiet=True))
    with pytest.raises(ResultsError, match="there are no runs here"):
        runs_to_show(tmp_path / "nowhere", Display(quiet=True))


@pytest.mark.parametrize("command", [("leaderboard", "--split", "tiny"), ("show", "ce-"), ("audit", "--split", "tiny")])
def test_a_bundle_is_read_like_the_folder_that_it_was_made_of(
    tiny_run: Any, tmp_path: Path, cli: Any, command: tuple[str, ...]
) -> None:
    run = Run(tiny_run(epochs=1, select=["val", "last", "oracle"]).path)
    export([run], tmp_path / "mine.zip", None, Display(quiet=True))
    said = [cli(*command, "--results", place) for place in (run.path.parent.parent, tmp_path / "mine.zip")]
    assert [one.code for one in said] == [0, 0], said[1].err
    if command[0] != "show":  # which tells where a run lies
        assert said[0].out == said[1].out


def test_a_bundle_is_read_from_python_too(tiny_run: Any, tmp_path: Path) -> None:
    run = Run(tiny_run(epochs=1).path)
    export([run], tmp_path / "mine.zip", None, Display(quiet=True))
    assert [one.run_id for one in rsbench.runs(results=tmp_path / "mine.zip")] == [run.run_id]
    boards = [rsbench.leaderboard("tiny", results=one) for one in (tmp_path / "mine.zip", run.path.parents[1])]
    assert boards[0].frame.equals(boards[1].frame)


def test_a_bundle_that_is_not_there_is_named(cli: Any, tmp_path: Path) -> None:
    said = cli("leaderboard", "--split", "tiny", "--results", tmp_path / "nope.zip")
    assert (said.code, said.err) == (2, f"error: --results {tmp_path / 'nope.zip'}: there is no such bundle.\n")
