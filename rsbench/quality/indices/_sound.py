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

_AT_ONCE = 2**15  # samples of frames that are transformed together: what a processor's own cache holds

_Found = TypeVar("_Found")


def once_a_clip(hear: Callable[..., _Found]) -> Callable[..., _Found]:
    """Keeps what was heard of the last clip: several indices, one after the other, ask for the same.

    Args:
        hear: takes the samples (n,) and how to hear them; what it returns is changed by nobody.
    """
    last: tuple[Any, _Found] | None = None

    @functools.wraps(hear)
    def heard(samples: NDArray[np.floating], *others: Any) -> _Found:
        nonlocal last
        # By content: a clip's place in memory may hold another one by now.
        asked = (samples.dtype, others, samples.tobytes())
        kept = last  # threads measure other clips meanwhile
        if kept is None or kept[0] != asked:
            kept = last = (asked, hear(samples, *others))
        return kept[1]

    return heard


@once_a_clip
def spectra(samples: NDArray[np.floating], rate: int, window_s: float) -> tuple[Floats, Floats]:
    """Frequencies (F,) in Hz and power (F, T) of half-overlapping Hann frames, each less its mean, T ≥ 1.

    Args:
        samples: (n,) at `rate` Hz; a clip shorter than a window is one frame.
        rate: in Hz.
        window_s: length of a frame in s.
    """
    length = min(len(samples), max(1, round(window_s * rate)))
    return spectrogram(samples, rate, length, length - length // 2)


def spectrogram(samples: NDArray[np.floating], rate: int, length: int, hop: int) -> tuple[Floats, Floats]:
    """Frequencies (F,) in Hz and power density (F, T) in 1/Hz of Hann frames, each less its mean.

    What scipy.signal.spectrogram gives, which makes more copies of the frames and their spectra, and all at once.

    Args:
        samples: (n,) at `rate` Hz, n ≥ length.
        rate: in Hz.
        length: of a frame, in samples.
        hop: from one frame to the next, in samples.
    """
    window, frequencies, density = _frame(length, rate)
    frames = np.lib.stride_tricks.sliding_window_view(samples, length)[::hop]
    power = np.empty((len(frames), len(frequencies)))
    for start in range(0, len(frames), step := max(1, _AT_ONCE // length)):
        some = frames[start : start + step].astype(np.float64)
        some -= some.mean(axis=1, keepdims=True)
        some *= window
        spectrum = scipy.fft.rfft(some)
        spectrum *= spectrum.conj()
        np.multiply(spectrum.real, density, out=power[start : start + step])
    return frequencies, power.T


@functools.lru_cache  # not of all lengths that short clips have
def _frame(length: int, rate: int) -> tuple[Floats, Floats, Floats]:
    """The periodic Hann window (length,) of a frame, its frequencies (F,) in Hz, and (F,) density per |spectrum|²."""
    window: Floats = scipy.signal.get_window("hann", length)
    sides = np.full(length // 2 + 1, 2.0)  # most frequencies stand for their negatives too
    sides[0] = 1
    if length % 2 == 0:
        sides[-1] = 1
    return window, scipy.fft.rfftfreq(length, 1 / rate), sides / (rate * (window**2).sum())


def runs(flags: NDArray[np.bool_]) -> tuple[NDArray[np.bool_], NDArray[np.intp]]:
    """Unbroken runs of like flags (n,), n ≥ 1: (R,) what each is, and (R,) how many."""
    changes = np.flatnonzero(flags[1:] != flags[:-1]) + 1
    starts = np.concatenate([[0], changes])
    return flags[starts], np.diff(starts, append=len(flags))


def at_rate(samples: NDArray[np.float32], rate: int, wanted: int) -> NDArray[np.floating]:
    """The clip at another rate, by a polyphase filter in float64; itself at its own. Either rate in Hz."""
    if rate == wanted:
        return samples
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
