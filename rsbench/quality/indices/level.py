"""How loud a clip is."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..index import register_quality
from ._sound import decibels

FLOOR_DB = -120.0  # below the rounding noise of 16 bit (−98 dB), above that of 24


@register_quality("rms", summary="level in dB of full scale: faint recordings count as poor")
def rms(samples: NDArray[np.float32], rate: int) -> float:
    """RMS in dB of full scale, at least FLOOR_DB. It follows the gain, and says nothing of what is heard."""
    return float(decibels(np.mean(samples.astype(np.float64) ** 2), FLOOR_DB))
