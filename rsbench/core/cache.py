"""The cache folder, and building something in it once: whole or not at all, whoever else builds or dies."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import platformdirs
from filelock import FileLock

from .errors import DataError


def cache_dir() -> Path:
    """Where everything that can be made again is kept: `RSBENCH_CACHE`, or the user's cache folder."""
    return Path(os.environ.get("RSBENCH_CACHE") or platformdirs.user_cache_dir("rsbench"))


def build_once(folder: Path, build: Callable[[Path], None]) -> Path:
    """Make `folder` by calling `build` on an empty one, unless it is there already.

    A folder of this name is always complete: it is built under a temporary name, brought to disk and renamed. A second
    process that asks for it waits for the first and uses its work; what a dead process left is removed.

    Args:
        folder: the folder to make; its name should say what it holds (a content hash), for it is never made anew.
        build: writes the files into the folder it is given.

    Raises:
        DataError: the cache cannot be written to, or the disk is full. Whatever else `build` raises passes.
    """
    if folder.is_dir():
        return folder
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{folder}.lock"):
            if not folder.is_dir():
                _build(folder, build)
    except OSError as error:
        raise cache_error(folder, error) from error
    return folder


def cache_error(path: Path, error: OSError) -> DataError:
    """What to say when `path` in the cache cannot be written."""
    return DataError(
        f"The cache cannot be written at {path}: {error.strerror or error}. Make room there, or set RSBENCH_CACHE to "
        "a folder that you may write to and that has enough room."
    )


def _build(folder: Path, build: Callable[[Path], None]) -> None:
    unfinished = folder.with_name(f"{folder.name}.unfinished")  # one name is enough: the lock is held
    if unfinished.exists():
        shutil.rmtree(unfinished)
    unfinished.mkdir()
    try:
        build(unfinished)
        for path in sorted(unfinished.rglob("*"), reverse=True):  # files before the folders that list them
            _to_disk(path)
        _to_disk(unfinished)
        unfinished.rename(folder)
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)  # a full disk should not stay full
        raise
    _to_disk(folder.parent)


def _to_disk(path: Path) -> None:
    """fsync; a name that must survive a crash needs its folder synced as well as its file."""
    if path.is_dir() and os.name == "nt":
        return  # Windows does not open folders; its renames are journaled
    descriptor = os.open(path, os.O_RDONLY if os.name != "nt" else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
