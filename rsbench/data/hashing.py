"""Content hashes of recordings, remembered by path, size and time of change: a second start is instant."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from filelock import FileLock

from ..core.cache import cache_dir, cache_error
from ..core.files import sha256_of
from .audio import readable

# A file changed this lately could change again with the same size and time: it is not remembered yet.
SETTLED_NS = 2_000_000_000


def content_hashes(paths: Iterable[Path]) -> list[str]:
    """sha256 of each file. Raises DataError for a file that is not there or may not be read."""
    memory = cache_dir() / "hashes.json"
    resolved = [path.resolve() for path in paths]
    known = _recall(memory)
    stamps = {path: _stamp(path) for path in resolved}
    new = [path for path, stamp in stamps.items() if known.get(str(path), [None])[:-1] != stamp]
    with ThreadPoolExecutor() as pool:
        hashed = dict(zip(new, pool.map(_sha256, new), strict=True))
    settled = {
        str(path): [*stamps[path], sha256]
        for path, sha256 in hashed.items()
        if time.time_ns() - stamps[path][1] > SETTLED_NS
    }
    if settled:
        _remember(memory, settled)
    return [hashed.get(path) or known[str(path)][-1] for path in resolved]


def _stamp(path: Path) -> list[int]:
    with readable(path):
        stat = path.stat()
    return [stat.st_size, stat.st_mtime_ns]


def _sha256(path: Path) -> str:
    with readable(path):
        return sha256_of(path)


def _recall(memory: Path) -> dict[str, list]:
    return json.loads(memory.read_bytes()) if memory.is_file() else {}


def _remember(memory: Path, settled: dict[str, list]) -> None:
    """Add to what other processes have remembered meanwhile. Written whole or not at all."""
    try:
        memory.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{memory}.lock"):
            unfinished = memory.with_suffix(".unfinished")
            with unfinished.open("w", encoding="utf-8") as file:
                json.dump({**_recall(memory), **settled}, file)
                file.flush()
                os.fsync(file.fileno())
            unfinished.replace(memory)
    except OSError as error:
        raise cache_error(memory, error) from error
