"""What every test may ask for: real recordings where they are at hand, and a cache of its own."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def real_root() -> Path:
    """The folder of real recordings: RSBENCH_DATA, or shared/data beside the project."""
    root = Path(os.environ.get("RSBENCH_DATA", PROJECT.parent / "shared" / "data"))
    if not (root / "icbhi").is_dir():
        pytest.skip(f"no real recordings at {root}: set RSBENCH_DATA to a folder that holds icbhi/ and sprsound/")
    return root


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder that rsbench uses for the length of the test."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("RSBENCH_CACHE", str(folder))
    return folder
