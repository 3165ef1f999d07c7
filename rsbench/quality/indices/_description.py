"""What the learned indices hear in a clip: a few named features of its levels over time in four bands.

All levels are relative to the clip's own, so gain changes nothing; all bands lie below 1.6 kHz, so neither does the
recording's rate. On a spectrogram a good recording shows breath as broad swells between 140 and 800 Hz. A poor one has
none, or knocks and rubbing across all bands, or a level that falls to the device's own noise when contact is lost.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import scipy
from numpy.typing import NDArray

from ..index import Floats
from ._sound import at_rate, decibels, hann, once_a_clip
from .artefacts import Clipping, Dropout

RATE_HZ = 4000
WINDOW, HOP = 256, 64  # samples: 64 ms, every 16 ms
SMOOTH_FRAMES = 19  # 0.3 s: longer than a knock or a crackle, shorter than a breath
FLOOR_DB = -120.0  # below the loudest frame of the loudest band: what digital silence counts as

BANDS_HZ = {"low": (140, 270), "middle": (270, 480), "high": (480, 800), "top": (800, 1600)}
BREATH_HZ = (140, 800)
# Tilts in dB that hardly one recording in a hundred falls below, of either stethoscope of ICBHI or that of SPRSound.
LEAST_TILT_DB = {"middle": -19, "high": -36, "top": -56}
SWELL_S = (0.3, 2.0)  # half a breath, from infants out of breath to adults at rest
SWELL_DB = (3, 6)

LIMIT = 4.0
# How much energy there is at the top of the spectrum says as much of the device as of the recording.
TILT_LIMIT = 1.25
# What no good recording has much of goes on counting.
DAMAGE_LIMIT = 12.0


@dataclass(frozen=True)
class Feature:
    """limit: scales from the mean at which it stops counting, so that nothing odd decides by one feature alone.

    scale: in `unit`, where it is hardly ever found in a recording and its spread would mean nothing.
    """

    name: str
    unit: str
    meaning: str
    limit: float = LIMIT
    scale: float | None = None


def _features() -> Iterator[Feature]:
    for band, (low, high) in BANDS_HZ.items():
        of = f"level from {low} to {high} Hz, smoothed over 0.3 s"
        yield Feature(f"{band}_tilt", "dB", f"median of the {of}, over that from 140 to 800 Hz", TILT_LIMIT)
        yield Feature(f"{band}_rise", "dB", f"95th percentile over time of the {of}, over its median")
        yield Feature(f"{band}_fall", "dB", f"median over time of the {of}, over its 5th percentile")
        yield Feature(f"{band}_jitter", "dB", f"median distance of the level from the {of}")
        yield Feature(f"{band}_burst", "dB", f"99th percentile of the level over the {of}")
    for over in SWELL_DB:
        yield Feature(f"swells_{over}db", "1/s", f"swells of 0.3 to 2 s, {over} dB over the middle band's floor")
        yield Feature(f"above_{over}db", "share", f"of the time {over} dB over the middle band's floor")
    yield Feature("missing", "dB", "by which tilts fall below those of any recording, in sum", DAMAGE_LIMIT, scale=6.0)
    yield Feature("clipped", "share", "of samples cut flat at the clip's own peak", DAMAGE_LIMIT, scale=0.05)
    yield Feature("lost", "share", "of time in gaps of 10 ms and more without any signal", DAMAGE_LIMIT, scale=0.05)


FEATURES = tuple(_features())


@once_a_clip
def describe(samples: NDArray[np.float32], rate: int) -> Floats:
    """(len(FEATURES),) of one clip, all finite, for silence and for one sample too.

    Args:
        samples: (n,) the clip's own samples.
        rate: in Hz, whatever it is.
    """
    levels = _levels(at_rate(samples, rate, RATE_HZ))
    smooth = {band: scipy.ndimage.median_filter(level, SMOOTH_FRAMES, mode="nearest") for band, level in levels.items()}
    breath = float(np.median(levels["breath"]))
    found: dict[str, float] = {}
    steady = np.stack([smooth[band] for band in BANDS_HZ])
    moves = np.stack([levels[band] for band in BANDS_HZ]) - steady
    jitters, bursts = np.median(np.abs(moves), axis=1), np.percentile(moves, 99, axis=1)
    for band, low, middle, high, jitter, burst in zip(
        BANDS_HZ, *np.percentile(steady, [5, 50, 95], axis=1), jitters, bursts, strict=True
    ):
        found |= {f"{band}_tilt": middle - breath, f"{band}_rise": high - middle, f"{band}_fall": middle - low}
        found |= {f"{band}_jitter": jitter, f"{band}_burst": burst}
    for over in SWELL_DB:
        found[f"swells_{over}db"], found[f"above_{over}db"] = _swells(smooth["middle"], over)
    found["missing"] = sum(max(0.0, least - found[f"{band}_tilt"]) for band, least in LEAST_TILT_DB.items())
    found["clipped"] = Clipping().damaged(samples, rate).mean()
    found["lost"] = Dropout().damaged(samples, rate).mean()
    return np.array([found[feature.name] for feature in FEATURES])


def _levels(samples: Floats) -> dict[str, Floats]:
    """(T,) level of each band in dB of the loudest, and under "breath" that of BREATH_HZ."""
    padded = np.pad(samples, (0, max(0, WINDOW - len(samples))))
    frequencies, _, power = scipy.signal.spectrogram(
        padded, RATE_HZ, hann(WINDOW), None, WINDOW - HOP, detrend="constant"
    )
    in_band = {
        band: power[(frequencies >= low) & (frequencies < high)].sum(axis=0)
        for band, (low, high) in {**BANDS_HZ, "breath": BREATH_HZ}.items()
    }
    loudest = max(energy.max() for energy in in_band.values()) or 1.0
    return {band: decibels(energy / loudest, FLOOR_DB) for band, energy in in_band.items()}


def _swells(smooth: Floats, over_db: float) -> tuple[float, float]:
    """Swells per s that stand out of the floor, the 10th percentile, by so much; and the share of time that does."""
    above = smooth > np.percentile(smooth, 10) + over_db
    edges = np.flatnonzero(np.diff(np.concatenate([[False], above, [False]])))
    lengths_s = (edges[1::2] - edges[::2]) * HOP / RATE_HZ
    swells = ((lengths_s > SWELL_S[0]) & (lengths_s < SWELL_S[1])).sum()
    return float(swells / (len(smooth) * HOP / RATE_HZ)), float(above.mean())
