"""Waveforms, decoded and resampled once: one flat float32 array per data set and rate, and clips cut from it.

Repeat-padding and fades are arithmetic when clips are gathered, so that neither is stored.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torchaudio.functional import resample

from ..core.cache import build_once, cache_dir
from ..core.errors import DataError
from .audio import read
from .clips import ClipTable, clip_bounds
from .hashing import content_hashes
from .identity import SKETCH_COLUMNS, bytes_id, sketch

FORMAT_VERSION = 1  # a new one makes every cached waveform anew

_SAMPLES, _RECORDINGS = "samples.f32", "recordings.parquet"


@dataclass(frozen=True)
class Waveforms:
    """The recordings of a data set at one rate.

    rate: Hz. samples: (n,) float32, all recordings end to end; of a data set, mapped from the cache (copy on write).
    offsets: (R + 1,) int64, recording r is samples[offsets[r]:offsets[r + 1]]. recordings: the R names.
    durations_s: length of each file, by name, before resampling. sketch: see `identity`, a row per recording.
    bytes_id: hash of the files.
    """

    rate: int
    samples: np.ndarray
    offsets: np.ndarray
    recordings: list[str]
    durations_s: pd.Series
    sketch: pd.DataFrame
    bytes_id: str


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
    build_once(folder, lambda empty: _build(empty, names, paths, rate, progress))
    return _load(folder, rate, bytes_id(contents))


def of_recording(name: str, native: np.ndarray, native_rate: int, rate: int) -> Waveforms:
    """A single recording, decoded already, at `rate` Hz: nothing is kept in the cache, and nothing identifies it.

    native: (n,) float32 at native_rate Hz.
    """
    samples = _resampled(native, native_rate, rate)
    length_s = pd.Series({name: len(native) / native_rate})
    nothing = pd.DataFrame(columns=list(SKETCH_COLUMNS))
    return Waveforms(rate, samples, np.array([0, len(samples)]), [name], length_s, nothing, bytes_id="")


class ClipGatherer:
    """Cuts clips of one length out of waveforms, many at once and on the device.

    As the published chain does it: the first and last `edge_fade` samples of a recording are faded linearly,
    the clip [int(start·rate), int(end·rate)] is cut; a longer one is truncated, a shorter one is repeated,
    truncated, and its last `edge_fade` samples are faded out.

    Args:
        waveforms: the recordings.
        clips: rows of the clip table, in the order that `gather` counts in.
        n_samples: length of a gathered clip.
        edge_fade: samples of each fade; 0 for none.
        device: where gathered clips are wanted.
        resident: keep all recordings on the device; otherwise they are read from the map and moved.

    Raises:
        DataError: a clip lies outside its recording or holds no sample at this rate.
    """

    def __init__(
        self,
        waveforms: Waveforms,
        clips: pd.DataFrame,
        n_samples: int,
        *,
        edge_fade: int,
        device: torch.device,
        resident: bool,
    ) -> None:
        self.device = device
        home = device if resident else torch.device("cpu")
        bounded, _ = clip_bounds(clips, waveforms.durations_s)
        start = (bounded["start_s"].to_numpy() * waveforms.rate).astype(np.int64)
        length = (bounded["end_s"].to_numpy() * waveforms.rate).astype(np.int64) - start
        if (length < 1).any():
            clip = bounded["clip_id"].iloc[int(np.argmax(length < 1))]
            raise DataError(f"Clip {clip} holds no sample at {waveforms.rate} Hz. Mend its times, or leave it out.")
        recording = pd.Index(waveforms.recordings).get_indexer(pd.Index(bounded["recording"]))
        first, past = waveforms.offsets[recording], waveforms.offsets[recording + 1]
        heard = np.minimum(length, n_samples)
        at_edge = (start < edge_fade) | (past - first - start - heard < edge_fade)

        self._samples = torch.from_numpy(waveforms.samples).to(home)
        self._first = torch.from_numpy(first).to(home)
        # (clips, 3) within the recording: first sample of the clip, its length, samples of the recording.
        self._spans = torch.from_numpy(np.stack([start, length, past - first], axis=1).astype(np.int32)).to(home)
        self._at_edge = torch.from_numpy(at_edge).to(home)
        self._time = torch.arange(n_samples, device=home, dtype=torch.int32)
        # The weight of a sample by its distance to the edge; from `edge_fade` on it is 1.
        self._ramp = torch.cat([torch.linspace(0, 1, edge_fade), torch.ones(1)]).to(home)

    def gather(self, rows: Tensor) -> Tensor:
        """(B, n_samples) float32 on the device, for clips given by their row numbers (B,), int64."""
        rows = rows.to(self._first.device)
        start, length, size = self._spans[rows].unsqueeze(2).unbind(1)
        position = start + self._time % length
        clips = self._samples.take(self._first[rows].unsqueeze(1) + position)

        edge = self._at_edge[rows].nonzero().squeeze(1)  # most clips lie well inside their recording
        near = position[edge]
        clips[edge] *= self._weight(near) * self._weight(size[edge] - 1 - near)
        faded = min(len(self._ramp) - 1, len(self._time))
        fade_out = self._ramp[:faded].flip(0)
        clips[:, len(self._time) - faded :] *= torch.where(length < len(self._time), fade_out, 1.0)
        return clips.to(self.device)

    def _weight(self, distance: Tensor) -> Tensor:
        """The fade's weight for samples at a distance from the recording's edge."""
        return self._ramp[distance.clamp(max=len(self._ramp) - 1)]


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
    samples: np.ndarray = resample(torch.from_numpy(native), native_rate, rate).numpy()
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


def _load(folder: Path, rate: int, files_id: str) -> Waveforms:
    about = pd.read_parquet(folder / _RECORDINGS)
    offsets = np.concatenate([[0], about["samples"].cumsum()]).astype(np.int64)
    samples = np.memmap(folder / _SAMPLES, dtype=np.float32, mode="c", shape=(int(offsets[-1]),))
    columns = list(SKETCH_COLUMNS)
    return Waveforms(rate, samples, offsets, about.index.tolist(), about["length_s"], about[columns], files_id)
