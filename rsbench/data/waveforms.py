"""Waveforms, decoded and resampled once: one flat float32 array per data set and rate."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torchaudio.functional import resample

from ..core.cache import build_once, cache_dir
from ..core.errors import DataError
from .audio import read
from .clips import ClipTable
from .hashing import content_hashes
from .identity import SKETCH_COLUMNS, bytes_id, sketch

FORMAT_VERSION = 1  # a new one makes every cached waveform anew

_SAMPLES, _RECORDINGS = "samples.f32", "recordings.parquet"


@dataclass(frozen=True)
class Waveforms:
    """The recordings of a data set at one rate.

    rate: Hz. map_samples: gives `samples`, which runs on given embeddings never ask for.
    offsets: (R + 1,) int64, recording r is samples[offsets[r]:offsets[r + 1]]. recordings: the R names.
    durations_s: length of each file, by name, before resampling. sketch: see `identity`, a row per recording.
    bytes_id: hash of the files.
    """

    rate: int
    map_samples: Callable[[], np.ndarray]
    offsets: np.ndarray
    recordings: list[str]
    durations_s: pd.Series
    sketch: pd.DataFrame
    bytes_id: str

    @cached_property
    def samples(self) -> np.ndarray:
        """(n,) float32, all recordings end to end; of a data set, mapped from the cache (copy on write)."""
        return self.map_samples()


def prepare(table: ClipTable, rate: int, progress: Callable[[int, int], None] | None = None) -> Waveforms:
    """Decode the recordings of a table and resample them to `rate` Hz, or take them from the cache.

    The cache is addressed by the content of the files: a changed file is noticed, a moved one is not decoded again.
    As many recordings are decoded at once as torch has threads; the result does not depend on their number.

    Args:
        table: the data set; its recordings without clips are prepared too.
        rate: Hz.
        progress: called with (recordings done, recordings in all) while building.

    Raises:
        DataError: a recording is missing, broken or cut off (the first is named, the others counted), or the
            cache cannot be written.
    """
    recordings = table.recordings.sort_values("recording")
    names = recordings["recording"].tolist()
    paths = [Path(path) for path in recordings["path"]]
    contents = dict(zip(names, content_hashes(table.dataset, paths), strict=True))
    key = hashlib.sha256(json.dumps([FORMAT_VERSION, rate, contents], sort_keys=True).encode()).hexdigest()[:24]
    folder = cache_dir() / "waveforms" / f"{table.dataset}-{rate}-{key}"

    def build(empty: Path) -> None:
        _build(empty, names, paths, rate, progress)

    def map_samples() -> np.ndarray:
        return np.memmap(build_once(folder, build) / _SAMPLES, dtype=np.float32, mode="c")

    about = pd.read_parquet(build_once(folder, build, unread=frozenset({_SAMPLES})) / _RECORDINGS)
    offsets = np.concatenate([[0], about["samples"].cumsum()]).astype(np.int64)
    columns = list(SKETCH_COLUMNS)
    files_id = bytes_id(contents)
    return Waveforms(rate, map_samples, offsets, about.index.tolist(), about["length_s"], about[columns], files_id)


def of_recording(name: str, native: np.ndarray, native_rate: int, rate: int) -> Waveforms:
    """A single recording, decoded already, at `rate` Hz: nothing is kept in the cache, and nothing identifies it.

    native: (n,) float32 at native_rate Hz.
    """
    samples = _resampled(native, native_rate, rate)
    length_s = pd.Series({name: len(native) / native_rate})
    nothing = pd.DataFrame(columns=list(SKETCH_COLUMNS))
    return Waveforms(rate, lambda: samples, np.array([0, len(samples)]), [name], length_s, nothing, bytes_id="")


def _build(
    folder: Path, names: list[str], paths: list[Path], rate: int, progress: Callable[[int, int], None] | None
) -> None:
    """Write samples and the table of recordings. All files are tried before the first error is raised."""
    rows: list[np.ndarray] = []
    lengths: list[tuple[int, float]] = []
    errors: list[DataError] = []
    # Written as a stream: a full disk is then an error, where writing to a map would kill the process.
    with (
        (folder / _SAMPLES).open("wb") as file,
        _one_thread_each() as threads,
        ThreadPoolExecutor(threads) as pool,
    ):
        for done, decoded in enumerate(pool.map(lambda path: _decode(path, rate), paths), start=1):
            if isinstance(decoded, DataError):
                errors.append(decoded)
            else:
                samples, length_s, coarse = decoded
                samples.tofile(file)
                lengths.append((len(samples), length_s))
                rows.append(coarse)
            if progress is not None:
                progress(done, len(paths))
    if errors:
        others = f" {len(errors) - 1} more recordings are broken." if len(errors) > 1 else ""
        raise DataError(f"{errors[0]}{others}")
    about = pd.DataFrame(np.stack(rows), columns=SKETCH_COLUMNS, index=pd.Index(names, name="recording"))
    # The sketch rounds to float32, which would move the ends of clips; lengths are kept as they are.
    about[["samples", "length_s"]] = lengths
    about.astype({"samples": np.int64}).to_parquet(folder / _RECORDINGS)


def _decode(path: Path, rate: int) -> tuple[np.ndarray, float, np.ndarray] | DataError:
    """Resampled samples, length in s and sketch of the native ones. An error is returned: others go on."""
    try:
        native, native_rate = read(path)
    except DataError as error:
        return error
    return _resampled(native, native_rate, rate), len(native) / native_rate, sketch(native, native_rate)


def _resampled(native: np.ndarray, native_rate: int, rate: int) -> np.ndarray:
    common = math.gcd(native_rate, rate)
    if native_rate // common * (rate // common) > LARGEST_KERNEL:
        return resample_directly(native, native_rate // common, rate // common)
    samples: np.ndarray = resample(torch.from_numpy(native), native_rate, rate).numpy()
    return samples


LARGEST_KERNEL = 2**21  # weights; torchaudio's table of them has gigabytes for rates with hardly a common factor
_WEIGHTS_AT_ONCE = 2**20
_ZERO_CROSSINGS, _ROLLOFF = 6, 0.99  # of torchaudio's filter


def resample_directly(native: np.ndarray, orig: int, new: int) -> np.ndarray:
    """What `torchaudio.functional.resample` gives, in memory that does not depend on common factors.

    Every sample has its own weights (a sinc in a Hann window), computed as they are needed and not kept.

    Args:
        native: (n,) float32.
        orig: the rate in Hz, divided by the greatest common factor of both.
        new: the rate wanted, likewise.
    """
    base = _ROLLOFF * min(orig, new)
    width = math.ceil(_ZERO_CROSSINGS * orig / base)
    taps = np.arange(-width, width + 1)
    padded = np.pad(native, (width, width + 1))
    samples = np.empty(-(-len(native) * new // orig), dtype=np.float32)
    for start in range(0, len(samples), step := max(1, _WEIGHTS_AT_ONCE // len(taps))):
        place = np.arange(start, min(start + step, len(samples))) * orig
        nearest, share = place // new, (place % new) / new
        time = np.clip((taps - share[:, None]) * (base / orig), -_ZERO_CROSSINGS, _ZERO_CROSSINGS)
        weights = np.sinc(time) * np.cos(time * (np.pi / 2 / _ZERO_CROSSINGS)) ** 2 * (base / orig)
        samples[start : start + step] = (weights * padded[nearest[:, None] + taps + width]).sum(axis=1)
    return samples


@contextmanager
def _one_thread_each() -> Iterator[int]:
    """One thread per torch operation, so that sums do not depend on how many there are; yields how many."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield threads
    finally:
        torch.set_num_threads(threads)
