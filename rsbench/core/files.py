"""Files that are written whole or not at all: to a temporary name, flushed to the disk, then renamed."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from .errors import StorageError


@contextlib.contextmanager
def writing(path: Path) -> Iterator[IO[bytes]]:
    """A binary file that appears under `path` only when the block ends without an error.

    Raises StorageError when the disk is full or the folder cannot be written to.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise StorageError(explain_os_error(error, path)) from error
    finally:
        with contextlib.suppress(OSError):  # where nothing could be written there is nothing to remove
            temporary.unlink()


def explain_os_error(error: OSError, path: Path) -> str:
    """What an error of the file system means for a run, and what to do about it."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return (
            f"{path}: the disk is full. Free some room and give the same command again; it goes on from the last epoch."
        )
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST):
        return f"{path}: this folder cannot be written to. Give a writable one with --out DIR."
    return f"{path}: {error.strerror or error}."


def write_bytes(path: Path, content: bytes | memoryview) -> None:
    with writing(path) as file:
        file.write(content)


def write_json(path: Path, content: Any) -> None:
    """JSON with sorted keys left as they are; NaN has no place in it and is an error."""
    write_bytes(path, (json.dumps(content, indent=1, allow_nan=False) + "\n").encode())


def write_parquet(path: Path, frame: pd.DataFrame) -> None:
    with writing(path) as file:
        frame.to_parquet(file, index=False, compression="zstd")


def write_array(path: Path, array: NDArray[Any]) -> None:
    with writing(path) as file:
        np.save(file, array, allow_pickle=False)


def write_csv(path: Path, frame: pd.DataFrame) -> None:
    write_bytes(path, frame.to_csv(index=False, lineterminator="\n").encode())


def sha256_of(path: Path) -> str:
    """Of a file's content. Raises OSError where it cannot be read."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
