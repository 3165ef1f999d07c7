"""Measuring many clips: each recording is decoded once, all cores are at work, and values are kept in the cache."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..core.cache import build_once, cache_dir, is_whole
from ..core.errors import DataError, PluginError
from ..data.audio import read
from .index import Floats, QualityIndex

MEASURES = "measures.npy"
SHARE = 1000  # clips to measure that are worth a process of their own, which takes some seconds to start

Values = tuple[float, ...]  # what an index says of one clip
_Item = TypeVar("_Item")
_Found = TypeVar("_Found")


def measure_clips(
    index: QualityIndex,
    clips: pd.DataFrame,
    bytes_id: str,
    progress: Callable[[int, int], None] | None = None,
) -> Floats:
    """The raw values (N, k) of every clip under one index; see `measure_all`."""
    return measure_all([(index, clips)], bytes_id, progress)[0]


def measure_all(
    wanted: Sequence[tuple[QualityIndex, pd.DataFrame]],
    bytes_id: str,
    progress: Callable[[int, int], None] | None = None,
) -> list[Floats]:
    """The raw values (N, k) of every clip of each of some tables under an index; kept in the cache.

    Each recording is decoded once for all that is not kept yet.

    Args:
        wanted: indices from `create_quality`, each with a row per clip: path, start_s, end_s, no end past its file.
            The values of an index that has no file (a notebook's) are not kept.
        bytes_id: identity of the recordings' bytes, so that a changed file is measured again.
        progress: called with (recordings done, recordings in all) while measuring.

    Raises PluginError when a value is not finite, naming the clip.
    """

    def windows(clips: pd.DataFrame) -> Iterable[object]:
        return zip(clips["path"].astype(str), clips["start_s"], clips["end_s"], strict=True)

    folders = [kept_in("quality", index, bytes_id, *windows(clips)) for index, clips in wanted]
    return kept_together(folders, lambda missing: _measure([wanted[number] for number in missing], progress))


def kept_in(kind: str, index: QualityIndex, *follows_from: object) -> Path | None:
    """The folder of the cache where an index's values of something are kept; None where they are not."""
    key = json.dumps([index.identity, *follows_from])
    return cache_dir() / kind / hashlib.sha256(key.encode()).hexdigest() if index.identity else None


def kept_together(folders: Sequence[Path | None], measure: Callable[[Sequence[int]], Sequence[Floats]]) -> list[Floats]:
    """The array of each folder; those that are not there yet are measured together.

    Args:
        folders: as of `kept_in`.
        measure: gives the arrays of these positions.
    """
    measured: dict[int, Floats] = {}

    def values(number: int) -> Floats:
        if number not in measured:  # the first that is missing: all others are measured with it
            missing = [other for other, folder in enumerate(folders) if not (folder and is_whole(folder))]
            measured.update(zip(missing, measure(missing), strict=True))
        return measured[number]

    found: list[Floats] = []
    for number, folder in enumerate(folders):
        if folder:
            build_once(folder, lambda empty, number=number: np.save(empty / MEASURES, values(number)))  # type: ignore[misc]
        found.append(np.load(folder / MEASURES) if folder else values(number))
    return found


def by_all_cores(
    work: Callable[[_Item], _Found], items: Iterable[_Item], indices: Iterable[QualityIndex], measures: int
) -> Iterator[_Found]:
    """What the work gives of each item, in their order, on all cores.

    Processes do it where they can import the code of all indices and so many values are worth it; else threads do,
    which wait for one another.
    """
    from joblib import Parallel, delayed  # a dry run measures nothing, and need not wait for it

    cores = os.cpu_count() or 1
    processes = min(cores, measures // SHARE) if all(index.shipped for index in indices) else 1
    parallel = Parallel(processes if processes > 1 else cores, "loky" if processes > 1 else "threading", "generator")
    found: Iterator[_Found] = parallel(delayed(work)(item) for item in items)
    return found


def _measure(
    wanted: Sequence[tuple[QualityIndex, pd.DataFrame]], progress: Callable[[int, int], None] | None
) -> list[Floats]:
    clips_of = [clips.groupby(clips["path"].astype(str), sort=False).indices for _, clips in wanted]
    bounds = [clips[["start_s", "end_s"]].to_numpy(np.float64) for _, clips in wanted]
    measured: list[list[Values]] = [[()] * len(clips) for _, clips in wanted]
    paths = list(dict.fromkeys(str(path) for clips in clips_of for path in clips))
    nothing: NDArray[np.int64] = np.empty(0, dtype=np.int64)
    places = [[clips.get(path, nothing) for clips in clips_of] for path in paths]
    recordings = [
        (path, [windows[where] for windows, where in zip(bounds, of_path, strict=True)])
        for path, of_path in zip(paths, places, strict=True)
    ]
    indices = [index for index, _ in wanted]
    found = by_all_cores(partial(_of_recording, indices), recordings, indices, sum(map(len, measured)))
    for done, (of_path, of_indices) in enumerate(zip(places, found, strict=True), start=1):
        for values, where, of_clips in zip(measured, of_path, of_indices, strict=True):
            for place, of_clip in zip(where, of_clips, strict=True):
                values[place] = of_clip
        if progress is not None:
            progress(done, len(paths))
    return [np.array(values, dtype=np.float64) for values in measured]


def _of_recording(indices: Sequence[QualityIndex], recording: tuple[str, Sequence[Floats]]) -> list[list[Values]]:
    """Of each index the values of each of its windows, from the path of a recording and the windows of each index."""
    path, windows = recording
    samples, rate = read(Path(path))
    return measure_recording(list(zip(indices, windows, strict=True)), path, samples, rate)


def measure_whole(indices: Sequence[QualityIndex], paths: Sequence[Path]) -> Iterator[list[Values] | DataError]:
    """Each recording's raw values, measured whole, under each index; or why it cannot be read. Nothing is kept.

    Raises PluginError when a value is not finite, naming the recording.
    """
    yield from by_all_cores(partial(_whole, indices), paths, indices, len(paths) * len(indices))


def _whole(indices: Sequence[QualityIndex], path: Path) -> list[Values] | DataError:
    try:
        samples, rate = read(path)
    except DataError as error:
        return error
    windows = np.array([[0.0, (len(samples) + 0.5) / rate]])  # half a sample more: rounding must not lose the last
    of_indices = measure_recording([(index, windows) for index in indices], str(path), samples, rate)
    return [values for [values] in of_indices]


def measure_recording(
    wanted: Sequence[tuple[QualityIndex, NDArray[Any]]], name: str, samples: NDArray[np.float32], rate: int
) -> list[list[Values]]:
    """Of each index the raw values of each of its clips, all of one recording.

    Args:
        wanted: indices from `create_quality`, each with (N, 2) start and end of its clips in s, within the recording.
        name: of the recording, for errors.
        samples: (n,) as decoded, at `rate` Hz.
        rate: Hz.

    Raises PluginError when a value is not finite, naming the clip.
    """
    # One clip after the other, not one index after the other: indices share what they hear of the last clip.
    of_window: dict[tuple[float, float], list[tuple[int, int]]] = {}
    for number, (_, windows) in enumerate(wanted):
        for place, (start_s, end_s) in enumerate(windows):
            of_window.setdefault((start_s, end_s), []).append((number, place))
    measured: list[list[Values]] = [[()] * len(windows) for _, windows in wanted]
    for (start_s, end_s), places in of_window.items():
        clip = samples[int(start_s * rate) : int(end_s * rate)]
        for number, place in places:
            index = wanted[number][0]
            values = index.measure(clip, rate)
            if not all(map(math.isfinite, values)):
                raise PluginError(
                    f"Quality index {type(index).__name__} gives {values} for {name}, "
                    f"{start_s:g} to {end_s:g} s. Every value must be finite, for silent and for very short "
                    "clips too: mend the index."
                )
            measured[number][place] = values
    return measured
