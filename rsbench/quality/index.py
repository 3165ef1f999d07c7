"""Quality indices: how well a clip was recorded, as a number in [0, 1] for every clip.

An index measures a clip's own samples at their native rate: resampling, repeat padding and fades would each
change what it sees. What maps raw values to [0, 1] is fitted on training clips alone, and kept with the run.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..core.cache import build_once, cache_dir, is_whole
from ..core.errors import PluginError
from ..core.fingerprint import code_sha256
from ..core.registry import Registry, adopt_options
from ..data.audio import read

Floats = NDArray[np.float64]
Normaliser = dict[str, float]
Control = Literal["none", "constant", "shuffled", "inverted"]

MEASURES = "measures.npy"

QUALITY: Registry[type[QualityIndex]] = Registry("quality")

_Q = TypeVar("_Q", bound=Callable[..., Any])


class QualityIndex(ABC):
    """Base of every quality index. Subclasses take options as keyword-only arguments with defaults.

    Subclasses define `measure`; `fit` and `score` as they are suit an index of one raw value, high for good.

    fitted_on: names of the data sets or parts of them whose recordings the index itself was fitted on, as
        "sprsound-train"; nothing for an index that only measures.
    seen: patients whom it saw, by data set. No split that holds one of them may judge what depends on the index.
    fitted_sha256: of the file that keeps what was fitted; part of the identity of the index, and of a run's.
    """

    identity = ""  # name, options, source and what was fitted; set by `create_quality`, used by the cache
    fitted_on: tuple[str, ...] = ()
    seen: Mapping[str, frozenset[str]] = {}
    fitted_sha256 = ""

    @abstractmethod
    def measure(self, samples: NDArray[np.float32], rate: int) -> tuple[float, ...]:
        """Raw values of one clip, all finite, for silence too. Several clips are measured at once, in threads.

        Args:
            samples: (n,) the clip's own samples, mono, n ≥ 1.
            rate: their native rate in Hz.
        """

    def fit(self, measures: Floats) -> Normaliser:
        """The normaliser, from the raw values (N, k) of training clips: here their 5th and 95th percentile.

        Unlike the extremes, they do not let a single odd recording squeeze all the others together.
        """
        if measures.shape[1] != 1:
            raise PluginError(
                f"Quality index {type(self).__name__} measures {measures.shape[1]} values a clip: "
                "it must define fit and score for them."
            )
        low, high = np.percentile(measures[:, 0], [5, 95])
        return {"low": float(low), "high": float(high)}

    def score(self, measures: Floats, normaliser: Mapping[str, float]) -> Floats:
        """(N,) qualities in [0, 1] from raw values (N, k)."""
        return _between(measures[:, 0], normaliser["low"], normaliser["high"])


def _between(values: Floats, low: float, high: float) -> Floats:
    """(N,) positions between two bounds, clipped to [0, 1]; a step where the bounds coincide."""
    if low == high:
        return (values > low).astype(np.float64)
    return (np.clip(values, low, high) - low) / (high - low)


def _index_from_function(function: Callable[..., float]) -> type[QualityIndex]:
    """A plain `f(samples, rate, *, …)` as an index; its keyword-only arguments are options."""

    class FunctionIndex(QualityIndex):
        def __init__(self, **options: Any) -> None:
            self.options = options

        def measure(self, samples: NDArray[np.float32], rate: int) -> tuple[float, ...]:
            return (float(function(samples, rate, **self.options)),)

    FunctionIndex.__name__ = FunctionIndex.__qualname__ = function.__name__
    FunctionIndex.__doc__ = function.__doc__
    adopt_options(FunctionIndex.__init__, function)
    return FunctionIndex


def register_quality(name: str, *, summary: str = "", paper: str = "") -> Callable[[_Q], _Q]:
    """Register a `QualityIndex` subclass, or a plain function `f(samples, rate)` that is high for good clips.

    Raises PluginError when the name is taken or the decorated thing is neither.
    """

    def decorate(thing: _Q) -> _Q:
        if isinstance(thing, type) and issubclass(thing, QualityIndex):
            index: type[QualityIndex] = thing
        elif inspect.isfunction(thing):
            index = _index_from_function(thing)
        else:
            raise PluginError(
                f"@register_quality('{name}') takes a QualityIndex subclass or a function f(samples, rate)."
            )
        QUALITY.register(name, index, summary=summary, paper=paper, source=thing)
        return thing

    return decorate


def create_quality(name: str, **options: Any) -> QualityIndex:
    """A registered index by name, e.g. `create_quality("aqs", alpha=0.5)`."""
    from ..core.plugins import discover

    discover()
    index: QualityIndex = QUALITY.create(name, **options)
    entry = QUALITY.entry(name)
    if entry.origin.is_file():
        code = code_sha256(entry)  # with its helpers: what is kept of it is measured again when one of them changes
        index.identity = json.dumps([name, QUALITY.resolve(name, options), code, index.fitted_sha256], sort_keys=True)
    return index


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

    Each recording is decoded once for all that is not kept yet, as many at a time as there are cores.

    Args:
        wanted: indices from `create_quality`, each with a row per clip: path, start_s, end_s, no end past its file.
            The values of an index that has no file (a notebook's) are not kept.
        bytes_id: identity of the recordings' bytes, so that a changed file is measured again.
        progress: called with (recordings done, recordings in all) while measuring.

    Raises PluginError when a value is not finite, naming the clip.
    """
    folders = [_folder(index, clips, bytes_id) for index, clips in wanted]
    measured: dict[int, Floats] = {}

    def values(number: int) -> Floats:
        if number not in measured:  # the first that is missing: all others are measured with it
            missing = [other for other, folder in enumerate(folders) if not (folder and is_whole(folder))]
            measured.update(zip(missing, _measure([wanted[other] for other in missing], progress), strict=True))
        return measured[number]

    found: list[Floats] = []
    for number, folder in enumerate(folders):
        if folder:
            build_once(folder, lambda empty, number=number: np.save(empty / MEASURES, values(number)))  # type: ignore[misc]
        found.append(np.load(folder / MEASURES) if folder else values(number))
    return found


def _folder(index: QualityIndex, clips: pd.DataFrame, bytes_id: str) -> Path | None:
    """Where values are kept; None where they are not."""
    if not index.identity:
        return None
    windows = zip(clips["path"].astype(str), clips["start_s"], clips["end_s"], strict=True)
    key = json.dumps([index.identity, bytes_id, *windows])
    return cache_dir() / "quality" / hashlib.sha256(key.encode()).hexdigest()


def _measure(
    wanted: Sequence[tuple[QualityIndex, pd.DataFrame]], progress: Callable[[int, int], None] | None
) -> list[Floats]:
    clips_of = [clips.groupby(clips["path"].astype(str), sort=False).indices for _, clips in wanted]
    windows = [clips[["start_s", "end_s"]].to_numpy(np.float64) for _, clips in wanted]
    measured: list[list[tuple[float, ...]]] = [[()] * len(clips) for _, clips in wanted]
    paths = list(dict.fromkeys(str(path) for clips in clips_of for path in clips))

    def measure(path: str) -> None:
        sound = read(Path(path))
        for (index, _), clips, bounds, values in zip(wanted, clips_of, windows, measured, strict=True):
            if path in clips:
                of_recording = measure_recording(index, path, *sound, bounds[clips[path]])
                for position, of_clip in zip(clips[path], of_recording, strict=True):
                    values[position] = of_clip

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for done, _ in enumerate(pool.map(measure, paths), start=1):
            if progress is not None:
                progress(done, len(paths))
    return [np.array(values, dtype=np.float64) for values in measured]


def measure_recording(
    index: QualityIndex, name: str, samples: NDArray[np.float32], rate: int, windows: Floats
) -> list[tuple[float, ...]]:
    """The raw values of every clip of one recording.

    Args:
        index: from `create_quality`.
        name: of the recording, for errors.
        samples: (n,) as decoded, at `rate` Hz.
        rate: Hz.
        windows: (N, 2) start and end of the clips in s, within the recording.

    Raises PluginError when a value is not finite, naming the clip.
    """
    measured = []
    for start_s, end_s in windows:
        values = index.measure(samples[int(start_s * rate) : int(end_s * rate)], rate)
        if not np.isfinite(values).all():
            raise PluginError(
                f"Quality index {type(index).__name__} gives {values} for {name}, "
                f"{start_s:g} to {end_s:g} s. Every value must be finite, for silent and for very short "
                "clips too: mend the index."
            )
        measured.append(values)
    return measured


def apply_control(quality: Floats, control: Control, train: NDArray[np.bool_], seed: int) -> Floats:
    """(N,) qualities with what they say of a clip taken away, to tell whether it matters.

    Args:
        quality: (N,) in [0, 1].
        control: "none"; "constant", the mean over training clips for all; "shuffled", the qualities of other
            clips, training clips among themselves and the rest among themselves; "inverted", 1 − quality.
        train: (N,) which clips are trained on.
        seed: of the shuffling.
    """
    if control == "constant":
        return np.full_like(quality, quality[train].mean())
    if control == "inverted":
        return 1 - quality
    if control == "none":
        return quality
    shuffled = quality.copy()
    generator = np.random.default_rng(seed)
    for part in (train, ~train):
        shuffled[part] = generator.permutation(quality[part])
    return shuffled
