"""What the indices share: spectra of a clip of any length, and a clip at another rate."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
import scipy
from numpy.typing import ArrayLike, NDArray

from ..index import Floats

# Half of the slowest recordings' rate: what lies above is in some recordings alone, and says more of the device.
TOP_HZ = 2000.0

_Found = TypeVar("_Found")


def once_a_clip(hear: Callable[..., _Found]) -> Callable[..., _Found]:
    """Keeps what was heard of the last clip: several indices, one after the other, ask for the same.

    Args:
        hear: takes the samples (n,) and what can be a key; what it returns is changed by nobody.
    """

    @functools.lru_cache(maxsize=1)
    def heard(content: bytes, kind: str, *others: Any) -> _Found:
        return hear(np.frombuffer(content, kind), *others)

    # By content: a clip's place in memory may hold another one by now.
    return functools.wraps(hear)(lambda samples, *others: heard(samples.tobytes(), samples.dtype.str, *others))


def spectra(samples: NDArray[np.floating], rate: int, window_s: float) -> tuple[Floats, Floats]:
    """Frequencies (F,) in Hz and power (F, T) of half-overlapping Hann frames, each less its mean, T ≥ 1.

    Args:
        samples: (n,) at `rate` Hz; a clip shorter than a window is one frame.
        rate: in Hz.
        window_s: length of a frame in s.
    """
    return _spectra(samples.astype(np.float64), rate, window_s)


@once_a_clip
def _spectra(samples: Floats, rate: int, window_s: float) -> tuple[Floats, Floats]:
    length = min(len(samples), max(1, round(window_s * rate)))
    frequencies, _, power = scipy.signal.spectrogram(samples, rate, hann(length), None, length // 2, detrend="constant")
    return frequencies, power


@functools.cache
def hann(length: int) -> Floats:
    """(length,) a periodic Hann window."""
    window: Floats = scipy.signal.get_window("hann", length)
    return window


def at_rate(samples: NDArray[np.float32], rate: int, wanted: int) -> Floats:
    """The clip at another rate, by a polyphase filter. Either rate in Hz."""
    if rate == wanted:
        return samples.astype(np.float64)
    common = math.gcd(rate, wanted)
    up, down = wanted // common, rate // common
    resampled: Floats = scipy.signal.resample_poly(samples.astype(np.float64), up, down, window=_lowpass(max(up, down)))
    return resampled


@functools.cache
def _lowpass(factor: int) -> Floats:
    """The filter that `resample_poly` designs by default, and would again for every clip."""
    taps: Floats = scipy.signal.firwin(20 * factor + 1, 1 / factor, window=("kaiser", 5.0))
    return taps


def decibels(power: ArrayLike, floor_db: float = -200.0) -> Floats:
    """Power in dB, not below the floor: silence has a level too."""
    level: Floats = 10 * np.log10(np.maximum(power, 10 ** (floor_db / 10)))
    return level
