"""Finished runs to share, made once for all tests of this room."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from tiny import run_tiny


@pytest.fixture(scope="session")
def made_runs(tiny_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three runs: ce with two seeds under val, last and oracle; qlung under cv-refit."""
    out = tmp_path_factory.mktemp("made") / "results"
    for seed in (0, 1):
        run_tiny(tiny_root, out, loss="ce", seed=seed, epochs=2, select="val,last,oracle")
    run_tiny(tiny_root, out, loss="qlung", epochs=2, select="cv-refit", validation__folds=2)
    return out


@pytest.fixture
def results(made_runs: Path, tmp_path: Path) -> Path:
    """A copy of them that a test may spoil."""
    return Path(shutil.copytree(made_runs, tmp_path / "results"))
