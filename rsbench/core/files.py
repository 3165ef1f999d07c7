"""Files that are written whole or not at all: to a temporary name, flushed to the disk, then renamed."""

from __future__ import annotations

import contextlib
import errno
import glob
import hashlib
import json
import os
import platform
import re
import shutil
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
import pandas as pd
from filelock import FileLock, Timeout
from numpy.typing import NDArray

from .errors import ResultsError, StorageError, first_line

WIDEST_NUMBER = 20  # signs of a whole number of 64 bits

_HOST = re.sub(r"[^\w-]+", "_", platform.node())
_TEMPORARY = re.compile(rf"\..+\.(\d+)(@{re.escape(_HOST)})?\.tmp")  # .NAME.PID@HOST.tmp, as this machine writes them


@contextlib.contextmanager
def locked(folder: Path, wait_s: float = 0) -> Iterator[None]:
    """Hold a folder, made if need be, against other processes; what killed ones left half-written in it goes.

    Raises ResultsError when one of them keeps it longer than that, StorageError where it cannot be written to.
    """
    with _holding(folder / ".lock", f"{folder}: another process is at work on this very folder.", wait_s):
        _remove_leftovers(folder.rglob(".*.tmp"))
        yield


@contextlib.contextmanager
def locked_file(path: Path) -> Iterator[None]:
    """Hold a file that is about to be made against other processes. Raises as `locked` does."""
    lock = path.with_name(f".{path.name}.lock")
    with _holding(lock, f"{path}: another process is making this very file.", wait_s=0):
        yield
        with contextlib.suppress(OSError):  # Windows removes nothing that is open
            lock.unlink()


@contextlib.contextmanager
def _holding(path: Path, refusal: str, wait_s: float) -> Iterator[None]:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path)
        lock.acquire(timeout=wait_s)
    except Timeout:
        raise ResultsError(f"{refusal} Wait for it, or stop it first.") from None
    except OSError as error:
        raise StorageError(explain_os_error(error, path.parent)) from error
    with lock:
        try:
            yield
        finally:
            lock.release()


@contextlib.contextmanager
def writing(path: Path, previous: Path | None = None) -> Iterator[IO[bytes]]:
    """A binary file that appears under `path` only when the block ends without an error.

    The one that was there is replaced, or, where `previous` is given, kept under that name.

    Raises StorageError when the disk is full or the folder cannot be written to.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}@{_HOST}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_leftovers(path.parent.glob(f".{glob.escape(path.name)}.*.tmp"))
        with temporary.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        if previous and path.exists():
            path.replace(previous)
        temporary.replace(path)
    except OSError as error:
        raise StorageError(explain_os_error(error, path)) from error
    finally:
        with contextlib.suppress(OSError):  # where nothing could be written there is nothing to remove
            temporary.unlink()


def _remove_leftovers(temporaries: Iterable[Path]) -> None:
    """Remove those of this machine whose process is gone: of another's, who shares the folder, nobody here can tell."""
    for path in temporaries:
        found = _TEMPORARY.fullmatch(path.name)
        if found and _is_gone(int(found[1])):
            with contextlib.suppress(OSError):  # somebody else removed it, or it may not be removed: it is no harm
                path.unlink()


def _is_gone(pid: int) -> bool:
    """Whether no other process has this number. Windows cannot be asked without ending the process."""
    if pid == os.getpid():  # of an earlier process of the same number: this one is not at work there yet
        return True
    try:
        if os.name != "nt":
            os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return True
    except PermissionError:  # somebody else's
        return False
    return False


def remove(path: Path) -> None:
    """Whatever it is: a folder and all that is in it, a file, a link, or nothing."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def explain_os_error(error: OSError, path: Path) -> str:
    """What an error of the file system means for a run, and what to do about it."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"{path}: the disk is full. Free some room and give the same command again."
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST):
        return f"{path}: cannot be written to ({error.strerror}). Make it writable, or name another place."
    return f"{path}: {error.strerror or error}."


def write_bytes(path: Path, content: bytes | memoryview) -> None:
    with writing(path) as file:
        file.write(content)


def seal(content: bytes | memoryview) -> bytes:
    """What stands behind the content of a sealed file, so that damage is noticed: its sha256, in a line of its own."""
    return f"\nsha256 {hashlib.sha256(content).hexdigest()}\n".encode()


def write_sealed(path: Path, content: bytes | memoryview, previous: Path | None = None) -> None:
    with writing(path, previous) as file:
        file.write(content)
        file.write(seal(content))


def read_sealed(path: Path) -> bytes | None:
    """The content of a sealed file; None where there is none, or it is not as it was written."""
    try:
        return unseal(path.read_bytes()) if path.is_file() else None  # a pipe of that name would never end
    except OSError:
        return None


def unseal(whole: bytes) -> bytes | None:
    """What stands before a seal; None where the two do not fit each other."""
    content = whole[: -len(seal(b""))]
    return content if whole.endswith(seal(content)) else None


def json_bytes(content: Any) -> bytes:
    """JSON as files hold it, its keys left in their order; NaN has no place in it and is an error."""
    return (json.dumps(content, indent=1, allow_nan=False) + "\n").encode()


def write_json(path: Path, content: Any) -> None:
    write_bytes(path, json_bytes(content))


def read_bytes(path: Path | str) -> bytes:
    """Of a plain file: whoever reads a pipe waits for its writer, and a device never ends. Raises OSError."""
    check_plain(path)
    with open(path, "rb") as file:  # noqa: PTH123 - of a name, which costs readers of thousands of records less
        return file.read()


def check_plain(path: Path | str) -> None:
    """Raise OSError where there is no file, or what is there is a folder, a pipe or a device."""
    if not stat.S_ISREG(os.stat(path).st_mode):  # noqa: PTH116 - likewise
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
        raise damaged(path, error) from error
    if not isinstance(content, dict):
        raise damaged(path, "it holds no JSON object")
    return content


def damaged(path: Path, why: str | Exception, folder: Path | None = None) -> ResultsError:
    """What to say of a file in a folder, `path.parent` unless another is given, that rsbench can make again."""
    reason = first_line(why) if isinstance(why, Exception) else why
    return ResultsError(
        f"{path}: cannot be read ({reason}). Delete the folder {folder or path.parent} and run it again."
    )


def write_parquet(path: Path, frame: pd.DataFrame) -> None:
    """Numbers with decimals byte by byte, which compresses a run's logits to three quarters; the rest by dictionary."""
    decimals = list(frame.select_dtypes("float").columns)
    with writing(path) as file:
        frame.to_parquet(
            file,
            index=False,
            compression="zstd",
            write_page_checksum=True,
            use_byte_stream_split=decimals,
            use_dictionary=[name for name in frame.columns if name not in decimals],
        )


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
