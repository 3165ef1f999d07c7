"""Where in the spectrum a clip's energy lies: lung sounds are low and coloured, hiss and rubbing are not."""

from __future__ import annotations

from typing import Annotated

import librosa
import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from ..index import register_quality
from ._sound import TOP_HZ, decibels, spectra

WINDOW_S = 0.032
FLATNESS_FROM_HZ = 60.0  # below lie mains hum and the handling of the chest piece

Hertz = Annotated[float, Field(ge=0, le=TOP_HZ)]


@register_quality(
    "flatness",
    summary="how far the spectrum is from flat, 60 to 2000 Hz, in dB: noise-like counts as poor",
    paper="Johnston, IEEE J. Selected Areas in Communications 6, 1988 (spectral flatness measure)",
)
def flatness(samples: NDArray[np.float32], rate: int) -> float:
    """Arithmetic over geometric mean of a frame's power spectrum in dB, ≥ 0, median over frames; 0 for silence."""
    frequencies, power = spectra(samples, rate, WINDOW_S)
    kept = power[(frequencies >= FLATNESS_FROM_HZ) & (frequencies <= TOP_HZ)]
    if not kept.any():
        return 0.0
    # Power as it is, down to where `decibels` ends: what a 24-bit recording holds of silence is a spectrum too.
    geometric_over_arithmetic = librosa.feature.spectral_flatness(S=kept, power=1.0, amin=1e-20)
    return float(-np.median(decibels(geometric_over_arithmetic)))


@register_quality(
    "band_share", summary="energy outside a band that lung sounds hardly reach, as a share of all below 2 kHz"
)
def band_share(samples: NDArray[np.float32], rate: int, *, low_hz: Hertz = 800.0, high_hz: Hertz = TOP_HZ) -> float:
    """1 − the band's share of the energy below 2 kHz, in [0, 1]; 1 for silence. `low_hz` ≤ f < `high_hz` is the band.

    Energy above 2 kHz is left out, so that recordings at 4 and at 44.1 kHz are measured alike.
    """
    frequencies, power = spectra(samples, rate, WINDOW_S)
    energy = power[frequencies <= TOP_HZ].sum(axis=1)
    inside = (frequencies >= low_hz) & (frequencies < high_hz)
    total = energy.sum()
    return float(1 - energy[inside[: len(energy)]].sum() / total) if total > 0 else 1.0
