"""The cache folder, and building something in it once: whole or not at all, whoever else builds, dies or damages it."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Set
from pathlib import Path

import platformdirs
from filelock import FileLock

from .errors import DataError
from .files import read_sealed, remove, seal, sha256_of

CONTENT = "content.json"  # a built folder's files, their sizes and hashes

# Files whose hashes this process knows to be those listed → their sizes and times then.
_hashed: dict[Path, tuple[int, int]] = {}


def cache_dir() -> Path:
    """Where everything that can be made again is kept: `RSBENCH_CACHE`, or the user's cache folder."""
    return Path(os.environ.get("RSBENCH_CACHE") or platformdirs.user_cache_dir("rsbench"))


def build_once(folder: Path, build: Callable[[Path], None], unread: Set[str] = frozenset()) -> Path:
    """Make `folder` by calling `build` on an empty one, unless it is there already, as it was built.

    It is built under a temporary name, brought to disk and renamed. A second process that asks for it waits for the
    first and uses its work; what a dead process left is removed. One whose files are not what they were is built
    again: their sizes are compared at every call, their hashes once per process, and when a file was written to.

    Args:
        folder: the folder to make; its name should say what it holds (a content hash), for it is made once.
        build: writes the files into the folder it is given.
        unread: names of large files that nobody reads yet: of them sizes are enough until they are asked for.

    Raises:
        DataError: the cache cannot be written to, or the disk is full. Whatever else `build` raises passes.
    """
    if is_whole(folder, unread):
        return folder
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{folder}.lock"):
            if not is_whole(folder, unread):
                remove(folder)
                _build(folder, build)
    except OSError as error:
        raise cache_error(folder, error) from error
    return folder


def cache_error(path: Path, error: OSError) -> DataError:
    """What to say when `path` in the cache cannot be written."""
    return DataError(
        f"The cache cannot be written at {error.filename or path}: {error.strerror or error}. Make room there, or set "
        "RSBENCH_CACHE to a folder that you may write to and that has enough room."
    )


def is_whole(folder: Path, unread: Set[str] = frozenset()) -> bool:
    """Whether it is there as `build_once` built it, as far as it is read."""
    listed = read_sealed(folder / CONTENT)
    if listed is None:
        return False
    try:
        content = {folder / name: (size, sha256) for name, (size, sha256) in json.loads(listed).items()}
    except (TypeError, ValueError):  # another version of rsbench built it, and listed more or less of each file
        return False
    try:
        stamps = {path: _stamp(path) for path in content}
        if any(stamps[path][0] != size for path, (size, _) in content.items()):
            return False
        for path, (_, sha256) in content.items():
            if path.name not in unread and _hashed.get(path) != stamps[path]:
                if sha256_of(path) != sha256:
                    return False
                _hashed[path] = stamps[path]
    except OSError:  # a file is missing, or cannot be read
        return False
    return True


def _stamp(path: Path) -> tuple[int, int]:
    """A file's size and time of change."""
    stat = path.stat()
    return stat.st_size, stat.st_mtime_ns


def _list_content(folder: Path) -> dict[str, tuple[int, int]]:
    """List a folder's files, and return their stamps from before they were hashed, by name."""
    stamps = {path.relative_to(folder).as_posix(): _stamp(path) for path in sorted(folder.rglob("*")) if path.is_file()}
    content = {name: (size, sha256_of(folder / name)) for name, (size, _) in stamps.items()}
    listed = json.dumps(content).encode()
    (folder / CONTENT).write_bytes(listed + seal(listed))
    return stamps


def _build(folder: Path, build: Callable[[Path], None]) -> None:
    unfinished = folder.with_name(f"{folder.name}.unfinished")  # one name is enough: the lock is held
    remove(unfinished)
    unfinished.mkdir()
    try:
        build(unfinished)
        stamps = _list_content(unfinished)
        for path in sorted(unfinished.rglob("*"), reverse=True):  # files before the folders that list them
            _to_disk(path)
        _to_disk(unfinished)
        unfinished.rename(folder)
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)  # a full disk should not stay full
        raise
    _hashed.update({folder / name: stamp for name, stamp in stamps.items()})
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
