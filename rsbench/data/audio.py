"""Recordings on disk: what they are, and their samples. A file cut off is an error, not a shorter one."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from ..core.errors import DataError

ENDINGS = (".wav", ".flac")
REMEDY = "Fetch the file again, or leave it out (of a data set, with its annotation and --partial)."

_UNKNOWN_LENGTH = 0xFFFFFFFF  # what a program writes that streams a WAV and cannot go back


@dataclass(frozen=True)
class AudioInfo:
    """What a recording's header promises.

    rate: Hz. frames: samples per channel. subtype: libsndfile's word for the coding, "PCM_16" for one.
    """

    rate: int
    frames: int
    channels: int
    subtype: str


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Turn whatever goes wrong while `path` is read into a DataError that names it."""
    try:
        yield
    except FileNotFoundError:
        raise DataError(f"{path}: there is no such recording. {REMEDY}") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}). Mend its permissions or the disk.") from error
    except soundfile.LibsndfileError as error:
        raise DataError(f"{path}: cannot be decoded ({error.error_string}) {REMEDY}") from error


def probe(path: Path) -> AudioInfo:
    """What the header says. Raises DataError for a file that is missing, empty, cut off or not audio."""
    with readable(path):
        if path.stat().st_size == 0:
            raise DataError(f"{path}: the file is empty (0 bytes). {REMEDY}")
        absent = _absent_bytes(path)
        info = soundfile.info(path)
    if absent:
        raise DataError(f"{path}: truncated: {absent} bytes that its header promises are not there. {REMEDY}")
    if info.frames == 0:
        raise DataError(f"{path}: the recording holds no samples. {REMEDY}")
    return AudioInfo(info.samplerate, info.frames, info.channels, info.subtype)


def read(path: Path) -> tuple[np.ndarray, int]:
    """The recording's samples, (n,) float32, several channels averaged, and its rate in Hz.

    Raises DataError for whatever `probe` raises it for, and when fewer samples can be decoded than the header
    promises, or some are not finite.
    """
    info = probe(path)
    with readable(path):
        samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    if len(samples) < info.frames:
        raise DataError(f"{path}: truncated: {len(samples)} of {info.frames} samples can be decoded. {REMEDY}")
    if not np.isfinite(samples).all():
        raise DataError(f"{path}: some samples are NaN or infinite. {REMEDY}")
    return samples.mean(axis=1, dtype=np.float32), rate


def audio_files(folder: Path) -> dict[str, Path]:
    """Recordings of a folder by name without ending. Raises DataError when one name has two files."""
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() not in ENDINGS or path.name.startswith("."):
            continue
        if path.stem in found:
            raise DataError(f"{path} and {found[path.stem].name} are the same recording twice. Keep one of them.")
        found[path.stem] = path
    return found


def _absent_bytes(path: Path) -> int:
    """Bytes that a WAV announces beyond the end of the file: libsndfile passes over them in silence."""
    size = path.stat().st_size
    with path.open("rb") as file:
        if file.read(12)[:4] != b"RIFF":
            return 0
        while len(header := file.read(8)) == 8:
            name, length = struct.unpack("<4sI", header)
            if name == b"data":
                return 0 if length == _UNKNOWN_LENGTH else max(0, file.tell() + length - size)
            file.seek(length + length % 2, 1)
    return 0
