"""Files that are written whole or not at all: to a temporary name, flushed to the disk, then renamed."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
import pandas as pd
from filelock import FileLock, Timeout
from numpy.typing import NDArray

from .errors import ResultsError, StorageError, first_line

WIDEST_NUMBER = 20  # signs of a whole number of 64 bits


@contextlib.contextmanager
def locked(folder: Path, wait_s: float = 0) -> Iterator[None]:
    """Hold a folder, made if need be, against other processes.

    Raises ResultsError when one of them keeps it longer than that, StorageError where it cannot be written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / ".lock")
        lock.acquire(timeout=wait_s)
    except Timeout:
        raise ResultsError(
            f"{folder}: another process is at work on this very folder. Wait for it, or stop it first."
        ) from None
    except OSError as error:
        raise StorageError(explain_os_error(error, folder)) from error
    with lock:
        try:
            yield
        finally:
            lock.release()


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
            f"{path}: the disk is full. Free some room and give the same command again; it continues where it stopped."
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


def read_bytes(path: Path) -> bytes:
    """Of a plain file: whoever reads a pipe waits for its writer, and a device never ends. Raises OSError."""
    check_plain(path)
    return path.read_bytes()


def check_plain(path: Path) -> None:
    """Raise OSError where there is no file, or what is there is a folder, a pipe or a device."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError(errno.EINVAL, "it is a folder, a pipe or a device, and no file", str(path))


def parse_json(content: bytes) -> Any:
    """Raises ValueError for what is no JSON, is nested too deeply, or holds NaN, infinity or numbers past 64 bits."""
    try:
        parsed = json.loads(content, parse_int=_whole_number)
        # Python reads NaN, 1e999 and halves of surrogate pairs, which nothing that comes after can write.
        json.dumps(parsed, ensure_ascii=False, allow_nan=False).encode()
    except RecursionError:
        raise ValueError("its brackets are nested too deeply") from None
    return parsed


def _whole_number(digits: str) -> int:
    if len(digits) > WIDEST_NUMBER or not -(2**63) <= int(digits) < 2**63:
        raise ValueError(f"the number {digits[:8]}… has {len(digits)} digits")
    return int(digits)


def read_json(path: Path) -> dict[str, Any]:
    """Raises ResultsError when the file is not there, is damaged, or holds no JSON object."""
    try:
        content = parse_json(read_bytes(path))
    except (OSError, ValueError) as error:
        raise damaged(path, first_line(error)) from error
    if not isinstance(content, dict):
        raise damaged(path, "it holds no JSON object")
    return content


def damaged(path: Path, why: object, folder: Path | None = None) -> ResultsError:
    """What to say of a file in a folder, `path.parent` unless another is given, that rsbench can make again."""
    return ResultsError(f"{path}: cannot be read ({why}). Delete the folder {folder or path.parent} and run it again.")


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
    check_plain(path)
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
