"""Signal-to-noise ratios without a clean reference: what is loud is taken for signal, what stays for noise."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..index import register_quality
from ._sound import TOP_HZ, decibels, spectra

LEVEL_WINDOW_S = 0.02
FLOOR_WINDOW_S = 0.064
LOW_PERCENT, HIGH_PERCENT = 15, 95
RANGE_DB = 60.0  # deeper than any pause in a room: digital silence would else decide


@register_quality(
    "snr_levels",
    summary="level of the loud frames over that of the quiet ones, in dB",
    paper="after the STNR of NIST's Speech Quality Assurance package, which reads both off a histogram of levels",
)
def snr_levels(samples: NDArray[np.float32], rate: int) -> float:
    """95th less 15th percentile of the level of 20 ms frames, 0 to RANGE_DB dB; 0 for silence and one frame.

    Knocks are loud frames too, and raise it: of breath and noise alone it is a fair estimate.
    """
    _, power = spectra(samples, rate, LEVEL_WINDOW_S)
    energy = power.sum(axis=0)
    if not energy.any():
        return 0.0
    low, high = np.percentile(decibels(energy / energy.max(), -RANGE_DB), [LOW_PERCENT, HIGH_PERCENT])
    return float(high - low)


@register_quality(
    "snr_floor",
    summary="power over that of a noise floor that is the minimum over time at each frequency, in dB",
    paper="after Martin, IEEE Trans. Speech and Audio Processing 9, 2001 (minimum statistics)",
)
def snr_floor(samples: NDArray[np.float32], rate: int) -> float:
    """Mean power over the floor's, below 2 kHz, 0 to RANGE_DB dB; 0 for silence and one frame.

    The floor at a frequency is the 10th percentile over the clip instead of Martin's tracked minimum, which needs
    longer recordings than a clip; for steady white noise it lies about 10 dB below the mean.
    """
    frequencies, power = spectra(samples, rate, FLOOR_WINDOW_S)
    kept = power[frequencies <= TOP_HZ]
    if not kept.any():
        return 0.0
    floor = np.percentile(kept, 10, axis=1).sum()
    return float(decibels(np.array(kept.mean(axis=1).sum() / max(floor, kept.mean() * 1e-9)), 0.0).clip(max=RANGE_DB))
