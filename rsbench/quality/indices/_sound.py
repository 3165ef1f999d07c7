"""What the indices share: spectra of a clip of any length, and a clip at another rate."""

from __future__ import annotations

import math

import numpy as np
import scipy
from numpy.typing import ArrayLike, NDArray

from ..index import Floats

# Half of the slowest recordings' rate: what lies above is in some recordings alone, and says more of the device.
TOP_HZ = 2000.0


def spectra(samples: NDArray[np.floating], rate: int, window_s: float) -> tuple[Floats, Floats]:
    """Frequencies (F,) in Hz and power (F, T) of half-overlapping Hann frames, each less its mean, T ≥ 1.

    Args:
        samples: (n,) at `rate` Hz; a clip shorter than a window is one frame.
        rate: in Hz.
        window_s: length of a frame in s.
    """
    window = min(len(samples), max(1, round(window_s * rate)))
    frequencies, _, power = scipy.signal.spectrogram(
        samples.astype(np.float64), rate, "hann", window, window // 2, detrend="constant"
    )
    return frequencies, power


def at_rate(samples: NDArray[np.float32], rate: int, wanted: int) -> Floats:
    """The clip at another rate, by a polyphase filter. Either rate in Hz."""
    common = math.gcd(rate, wanted)
    resampled: Floats = scipy.signal.resample_poly(samples.astype(np.float64), wanted // common, rate // common)
    return resampled


def decibels(power: ArrayLike, floor_db: float = -200.0) -> Floats:
    """Power in dB, not below the floor: silence has a level too."""
    level: Floats = 10 * np.log10(np.maximum(power, 10 ** (floor_db / 10)))
    return level
