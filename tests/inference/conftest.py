"""A finished run to use, made once for all tests of this room."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from tiny import TINY_PLUGIN, run_tiny

from rsbench.core.plugins import load


@pytest.fixture(scope="session")
def finished(tiny_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of qlung with two seeds, under val, last and oracle; long enough for probabilities that differ."""
    out = tmp_path_factory.mktemp("finished") / "results"
    for seed in (0, 1):
        run_tiny(tiny_root, out, loss="qlung", seed=seed, epochs=6, optim__lr=0.03, select="val,last,oracle")
    return out


@pytest.fixture(scope="module", autouse=True)
def known_plugin(forgotten_plugins: None) -> None:
    """The commands of these tests are in a process that knows the runs' backbone, whichever file comes first."""
    load(TINY_PLUGIN)


@pytest.fixture
def results(finished: Path, tmp_path: Path) -> Path:
    """A copy of them that a test may spoil."""
    return Path(shutil.copytree(finished, tmp_path / "results"))


@pytest.fixture
def sounds(tiny_root: Path, tmp_path: Path) -> Path:
    """Recordings alone, without what is known of them."""
    folder = tmp_path / "sounds"
    folder.mkdir()
    for path in sorted((tiny_root / "far").glob("*.wav")):
        shutil.copy(path, folder)
    return folder
