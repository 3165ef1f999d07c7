"""How far up a recording's sound reaches: a filter, a codec or a slower recorder may have cut off what lies above."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..index import register_quality
from ._sound import TOP_HZ, spectra

WINDOW_S = 0.064
BAND_HZ = 100.0
STEP = 2.0**-15  # of 16 bits, full scale being 1
OVER_ROUNDING = 4.0  # times the power of rounding noise: 6 dB


@register_quality(
    "bandwidth", summary="up to which frequency, at most 2000 Hz, there is more than 16-bit rounding noise"
)
def bandwidth(samples: NDArray[np.float32], rate: int) -> float:
    """Upper end in Hz of the highest band, BAND_HZ wide, with OVER_ROUNDING times the power of rounding; 0 for silence.

    Rounding to 16 bits leaves white noise of STEP² / 12. Where nothing else is, nothing was recorded: a loud wheeze
    alone makes no band limit, and hiss is none.
    """
    frequencies, density = spectra(samples, rate, WINDOW_S)
    rounding = STEP**2 / 12 / (rate / 2)
    band = (frequencies // BAND_HZ).astype(int)
    heard = (frequencies > 0) & (frequencies < TOP_HZ)
    mean = density.mean(axis=1)
    over = [
        number for number in np.unique(band[heard]) if mean[heard & (band == number)].mean() > OVER_ROUNDING * rounding
    ]
    return float((over[-1] + 1) * BAND_HZ) if over else 0.0
