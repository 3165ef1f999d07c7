"""The documentation's plugins as files, and a root of recordings for them."""

from __future__ import annotations

from pathlib import Path

import pytest
from examples import documented, write_ward


@pytest.fixture(scope="session")
def plugins(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the documentation's pooled.py and ward.py, the same all session: a name can be registered once."""
    folder = tmp_path_factory.mktemp("plugins")
    (folder / "pooled.py").write_text(documented("pooled.py"), encoding="utf-8")
    (folder / "ward.py").write_text(documented("ward.py"), encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def recordings(tiny_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root that holds ward/, and the tests' own tiny/ and far/."""
    root = tmp_path_factory.mktemp("extension")
    write_ward(root / "ward")
    for name in ("tiny", "far"):
        (root / name).symlink_to(tiny_root / name)
    return root
