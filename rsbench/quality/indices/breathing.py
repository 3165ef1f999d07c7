"""Whether breath can be heard to come and go."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..index import register_quality
from ._sound import decibels, spectra

WINDOW_S = 0.064
BREATH_HZ = (0.1, 1.0)  # from 6 breaths a minute to 60, from adults asleep to infants
SILENCE_DB = 60.0  # below the loudest frame: as deep as a pause may be


@register_quality(
    "breath_modulation",
    summary="share of the changes of level that have the rate of breath, 0.1 to 1 Hz: steady or jerky counts as poor",
)
def breath_modulation(samples: NDArray[np.float32], rate: int) -> float:
    """Share in [0, 1] of the variance of log frame energy that lies in BREATH_HZ; 0 for a clip of one frame.

    A clip shorter than a breath holds no whole cycle of it: what is measured then is how slowly its level changes,
    and clips shorter than a second should not be compared by it.
    """
    _, power = spectra(samples, rate, WINDOW_S)
    energy = power.sum(axis=0)
    if len(energy) < 2 or not energy.any():
        return 0.0
    level = decibels(energy / energy.max(), -SILENCE_DB)
    # Padding to a minute makes the spectrum fine enough for the band to have edges in a short clip too.
    frame_s = len(samples) / rate / len(level)
    padded = max(len(level), round(60 / frame_s))
    spectrum = np.abs(np.fft.rfft(level - level.mean(), padded)) ** 2
    rates = np.fft.rfftfreq(padded, frame_s)
    total = spectrum.sum()
    within = (rates >= BREATH_HZ[0]) & (rates <= BREATH_HZ[1])
    return float(spectrum[within].sum() / total) if total > 0 else 0.0
