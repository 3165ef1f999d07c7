"""Finished runs that the tests of this room share, each made once."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest
from imitated import Make, Method, imitate
from tiny import run_tiny, write_own_dataset

from rsbench.boards.claims import Question
from rsbench.boards.leaderboard import Board, leaderboard, with_shift
from rsbench.results.run import Run, load_runs

SEEDS = range(8)

# "same" makes the predictions of "ce", "close" is as good, and "narrow" has learnt nothing that lasts elsewhere.
METHODS = (
    Method("ce", 1.0),
    Method("same", 1.0, noise="ce"),
    Method("close", 1.05),
    Method("strong", 2.5),
    Method("narrow", {"tiny": 4.0, "far": 0.0}),
)


@pytest.fixture(scope="session")
def four_runs(tiny_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """ce and qlung with two seeds each, trained, under val, last and oracle."""
    out = tmp_path_factory.mktemp("four") / "results"
    for loss in ("ce", "qlung"):
        for seed in (0, 1):
            run_tiny(tiny_root, out, loss=loss, seed=seed, epochs=2, select="val,last,oracle")
    return out


@pytest.fixture
def results(four_runs: Path, tmp_path: Path) -> Path:
    """A copy that a test may spoil, where `tiny_run` puts its runs too."""
    return Path(shutil.copytree(four_runs, tmp_path / "results"))


@pytest.fixture(scope="session")
def of_many_patients(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A trained run that was judged on 16 patients of `tiny` and 16 of `far`."""
    root = tmp_path_factory.mktemp("wide")
    write_own_dataset(root / "tiny", {"train": 10, "test": 16})
    write_own_dataset(root / "far", {"test": 16}, seed=1, pitch=0.8)
    return Run(Path(run_tiny(root, root / "results", epochs=1, select="val,last,oracle").path))


@pytest.fixture(scope="session")
def study(of_many_patients: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """METHODS with SEEDS under val. To be read only."""
    out = tmp_path_factory.mktemp("study") / "results"
    return imitate(of_many_patients, out, METHODS, SEEDS, tests=("tiny", "far"))


@pytest.fixture(scope="session")
def boards(study: Path) -> tuple[Board, Board]:
    """The study on `tiny` and on `far`, against ce, with the shift from one to the other. To be read only."""
    folders, index = load_runs(study), study / ".index"
    made = [leaderboard(folders, split, "val", question=Question("ce"), cache=index) for split in ("tiny", "far")]
    tiny, far = with_shift(made)
    return tiny, far


@pytest.fixture(scope="session")
def tracked(of_many_patients: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs that tracked their best test epoch: it flatters "lucky", which is no better than ce. To be read only."""
    methods = (Method("ce", 1.0, on_test=0.2), Method("lucky", 1.0, on_test=2.0))
    out = tmp_path_factory.mktemp("tracked") / "results"
    return imitate(of_many_patients, out, methods, SEEDS, ("val", "last", "oracle"))


@pytest.fixture
def make(of_many_patients: Run, tmp_path: Path) -> Make:
    """`imitate` in the test's own folder; called again, it adds to what is there."""

    def call(*methods: Method, seeds: Sequence[int] = (0, 1), **options: Sequence[str]) -> Path:
        return imitate(of_many_patients, tmp_path / "made", methods, seeds, **options)

    return call


@pytest.fixture(scope="session")
def runs_to_read(tiny_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A results folder: ce with two seeds and cosface with one, under val, last and oracle; qlung under cv-refit."""
    out = tmp_path_factory.mktemp("read") / "results"
    for loss, seed in (("ce", 0), ("ce", 1), ("cosface", 0)):
        run_tiny(tiny_root, out, loss=loss, seed=seed, epochs=3, select="val,last,oracle")
    run_tiny(tiny_root, out, loss="qlung", epochs=2, select="cv-refit", validation__folds=2)
    return out
