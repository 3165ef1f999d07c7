"""Recordings on disk: what they are, and their samples. A file cut off is an error, not a shorter one."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

import numpy as np
import soundfile

from ..core.errors import DataError
from .containers import KINDS, Container, examine

ENDINGS = (".wav", ".flac")
REMEDY = "Fetch the file again, or leave it out (of a data set, with its annotation and --partial)."

LOWEST_RATE, HIGHEST_RATE = 1_000, 768_000  # Hz; what no recorder and no converter has is a damaged header
MOST_SAMPLES = 2**28  # per channel: 1 GB, 18 h at 4 kHz, 1 h 40 min at 44.1 kHz; a small FLAC can hold far more silence
MOST_PEAK = 100.0  # of full scale: integers kept as floats, or rubbish; no gain explains it
NOTED_PEAK = 2.0

_NO_SAMPLES = "the recording holds no samples."
_AT_ONCE = 2**18  # samples of all channels decoded in one go: 1 MB, larger ones cost fresh pages each time
_AUDIBLE = 2**-15  # one step of 16 bits
_LEFT = 0.1  # of the channels' level in their mean, or of an offset in the sound upon it: less is hardly anything

NO_SOUND = "no sound"
CANCELLED = "channels that cancel each other"
OFFSET = "hardly anything but a constant offset"
TOO_LOUD = f"samples beyond {NOTED_PEAK:g} times full scale"


@dataclass(frozen=True)
class AudioInfo:
    """What a recording's header promises.

    rate: Hz. frames: samples per channel; counted, where the header does not say. subtype: libsndfile's word for the
    coding, "PCM_16" for one.
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
        raise DataError(f"{path}: cannot be decoded ({_in_words(error)}) {REMEDY}") from error


@dataclass(frozen=True)
class DecodedSound:
    """A recording's samples, and what they were made of.

    samples: (n,) float32, several channels averaged. peak: the largest magnitude in any channel. level: RMS of the
    channels about their means, before they were averaged; None where there is one.
    """

    info: AudioInfo
    samples: np.ndarray
    peak: float
    level: float | None

    def oddities(self) -> tuple[str, ...]:
        """Those of NO_SOUND, CANCELLED, OFFSET and TOO_LOUD that are true of the recording."""
        span = float(np.ptp(self.samples))
        mean, heard = float(self.samples.mean(dtype=np.float64)), float(self.samples.std(dtype=np.float64))
        found = {
            NO_SOUND: span < _AUDIBLE,
            CANCELLED: self.level is not None and self.level > max(_AUDIBLE, heard / _LEFT),
            OFFSET: span >= _AUDIBLE and heard < _LEFT * abs(mean),
            TOO_LOUD: self.peak > NOTED_PEAK,
        }
        return tuple(oddity for oddity, true in found.items() if true)


def probe(path: Path) -> AudioInfo:
    """What the header says; a recording whose header does not say its length is decoded.

    Raises DataError for a file that is missing, empty, cut off or not audio, or has an impossible rate.
    """
    with readable(path):
        container = _container(path)
        if container.open_ended:
            return decode(path).info
        known = container.frames is not None  # what is mended of such a header is for decoding alone
        with _opened(path, replace(container, mends=()) if known else container) as file:
            return _info(path, file, container)


def read(path: Path) -> tuple[np.ndarray, int]:
    """The recording's samples, (n,) float32, several channels averaged, and its rate in Hz. Raises as `decode` does."""
    sound = decode(path)
    return sound.samples, sound.info.rate


def decode(path: Path) -> DecodedSound:
    """The whole recording, decoded a piece at a time: a header that promises too much costs no memory.

    Raises DataError for whatever `probe` raises it for, where there are fewer or more samples than the header promises
    or more than MOST_SAMPLES, and where some are not finite or far beyond full scale.
    """
    with readable(path):
        container = _container(path)
        try:
            return _decoded(path, container)
        except soundfile.LibsndfileError:
            if container.frames is None:
                raise
            # What lies behind a FLAC may be none of it: the samples that its header promises are then all there are.
            return _decoded(path, replace(container, mends=()))


def audio_files(folder: Path) -> dict[str, Path]:
    """Recordings of a folder by name without ending. Raises DataError for a name with two files."""
    found: dict[str, Path] = {}
    with readable(folder):
        paths = sorted(folder.iterdir())
    for path in paths:
        if path.suffix.lower() not in ENDINGS or path.name.startswith("."):
            continue
        if path.stem in found:
            raise DataError(f"{path} and {found[path.stem].name} are the same recording twice. Keep one of them.")
        found[path.stem] = path
    return found


class _Stream(soundfile.SoundFile):
    """Read from front to back. soundfile would seek after every piece, which a FLAC without a length refuses."""

    def seekable(self) -> bool:
        return False


def _in_words(error: soundfile.LibsndfileError) -> str:
    """libsndfile's own words, where it has some that say what is wrong."""
    lost = "It is truncated or damaged."
    of_codes = {24: "Its header gives no sampling rate or no channels.", 158: lost}
    return of_codes.get(error.code) or error.error_string or lost


def _container(path: Path) -> Container:
    """Raises DataError where the file holds no sound, or not the whole of one."""
    size = path.stat().st_size
    if path.is_dir():
        raise DataError(f"{path}: is a folder, not a recording. {REMEDY}")
    if size == 0:
        raise DataError(f"{path}: the file is empty (0 bytes). {REMEDY}")
    with path.open("rb") as file:
        container = examine(file, size)
        file.seek(0)
        begins = file.read(24)
    if container is None:
        raise DataError(f"{path}: cannot be decoded: it begins with {begins!r}, as none of {KINDS} does. {REMEDY}")
    if container.fault:
        raise DataError(f"{path}: {container.fault}. {REMEDY}")
    return container


@contextmanager
def _opened(path: Path, container: Container) -> Iterator[_Stream]:
    """The sound at its first sample."""
    with path.open("rb") as file:
        if container.mends or (container.start, container.size) != (0, path.stat().st_size):
            with _Stream(_MendedFile(file, container)) as stream:
                yield stream
        else:  # by its number: of a path, soundfile would take some kinds from the name
            with _Stream(file.fileno(), closefd=False) as stream:
                yield stream


class _MendedFile:
    """A container as a file of its own, with what is mended in its header."""

    def __init__(self, file: BinaryIO, container: Container) -> None:
        self._file, self._container, self._at = file, container, 0

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._container.size}[whence]
        self._at = max(0, base + offset)
        return self._at

    def tell(self) -> int:
        return self._at

    def read(self, count: int) -> bytes:
        count = min(count, self._container.size - self._at)
        if count <= 0:  # a damaged header sends its reader anywhere, where a seek may fail
            return b""
        self._file.seek(self._container.start + self._at)
        content = bytearray(self._file.read(count))
        for offset, mended in self._container.mends:
            for place, byte in enumerate(mended, start=offset - self._at):
                if 0 <= place < len(content):
                    content[place] = byte
        self._at += len(content)
        return bytes(content)


def _decoded(path: Path, container: Container) -> DecodedSound:
    with _opened(path, container) as file:
        info = _info(path, file, container)
        pieces: list[np.ndarray] = []
        peak, frames, sums = 0.0, 0, np.zeros((2, info.channels))
        to_the_end = container.mends or container.open_ended
        for piece in _pieces(file, MOST_SAMPLES + 1 if to_the_end else info.frames):
            peak, frames = max(peak, _peak(path, piece)), frames + len(piece)
            if frames > MOST_SAMPLES:
                raise DataError(f"{path}: holds more than {MOST_SAMPLES} samples. Cut it into shorter recordings.")
            if info.channels > 1:
                sums += piece.sum(axis=0, dtype=np.float64), np.square(piece, dtype=np.float64).sum(axis=0)
            pieces.append(piece.mean(axis=1, dtype=np.float32) if info.channels > 1 else piece[:, 0])
    if not container.open_ended and frames != info.frames:
        what = "truncated" if frames < info.frames else "its header is wrong"
        raise DataError(f"{path}: {what}: {frames} of {info.frames} samples can be decoded. {REMEDY}")
    if frames < container.at_least:
        raise DataError(
            f"{path}: does not say how long it is, and only {frames} samples of {container.at_least} and more can be "
            "decoded. Write it anew as WAV or FLAC."
        )
    if not frames:
        raise DataError(f"{path}: {_NO_SAMPLES} {REMEDY}")
    mean, mean_square = sums / frames
    level = float(np.sqrt(np.mean(np.maximum(mean_square - mean**2, 0)))) if info.channels > 1 else None
    return DecodedSound(replace(info, frames=frames), np.concatenate(pieces), peak, level)


def _info(path: Path, file: _Stream, container: Container) -> AudioInfo:
    frames = file.frames if container.frames is None else container.frames
    if not LOWEST_RATE <= file.samplerate <= HIGHEST_RATE:
        raise DataError(
            f"{path}: a sampling rate of {file.samplerate} Hz, where recordings have {LOWEST_RATE} to {HIGHEST_RATE}. "
            f"{REMEDY}"
        )
    if frames == 0:
        raise DataError(f"{path}: {_NO_SAMPLES} {REMEDY}")
    return AudioInfo(file.samplerate, frames, file.channels, file.subtype)


def _pieces(file: _Stream, most: int) -> Iterator[np.ndarray]:
    """(n, channels) float32 at a time, to the end or `most` samples per channel."""
    at_once = max(1, _AT_ONCE // file.channels)
    while len(piece := file.read(min(at_once, most), dtype="float32", always_2d=True)):
        most -= len(piece)
        yield piece


def _peak(path: Path, piece: np.ndarray) -> float:
    """The largest magnitude. Raises DataError where it is no sample's."""
    peak = float(np.abs(piece).max())
    if not math.isfinite(peak):  # of a NaN it is NaN
        raise DataError(f"{path}: some samples are NaN or infinite. {REMEDY}")
    if peak > MOST_PEAK:
        raise DataError(
            f"{path}: samples reach {peak:.3g}, where full scale is 1. Write it anew, divided by its full scale (32768 "
            "for samples of 16 bits), or leave it out."
        )
    return peak
