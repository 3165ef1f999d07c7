"""Content hashes of recordings, remembered by path, size and time of change: a second start is instant."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from filelock import FileLock

from ..core.cache import cache_dir
from ..core.errors import StorageError
from ..core.files import read_sealed, sha256_of, write_sealed
from .audio import readable

# A file changed this lately could change again with the same size and time: it is not remembered yet.
SETTLED_NS = 2_000_000_000


def content_hashes(dataset: str, paths: Iterable[Path]) -> list[str]:
    """sha256 of each file of a data set. Raises DataError for a file that is not there or may not be read."""
    memory = cache_dir() / "hashes" / f"{dataset}.json"
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
    """Path → size, time of change, sha256; nothing where the memory is damaged."""
    return json.loads(read_sealed(memory) or "{}")


def _remember(memory: Path, settled: dict[str, list]) -> None:
    """Add to what other processes have remembered meanwhile."""
    with contextlib.suppress(OSError, StorageError):  # a memory that cannot be kept costs time, nothing else
        memory.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{memory}.lock"):
            write_sealed(memory, json.dumps({**_recall(memory), **settled}).encode())
