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
from ._sound import at_rate, decibels, once_a_clip, runs, spectrogram
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
FLOOR_PERCENT = 10  # of the time a band is not above its floor

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
    levels, breath = _levels(at_rate(samples, rate, RATE_HZ))
    steady = np.stack([scipy.ndimage.median_filter(level, SMOOTH_FRAMES, mode="nearest") for level in levels])
    moves = levels - steady
    jitters, bursts = np.median(np.abs(moves), axis=1), np.percentile(moves, 99, axis=1)
    low, floor, median, high = np.percentile(steady, [5, FLOOR_PERCENT, 50, 95], axis=1)
    rows = zip(BANDS_HZ, median - np.median(breath), high - median, median - low, jitters, bursts, strict=True)
    found: dict[str, float] = {}
    for band, tilt, rise, fall, jitter, burst in rows:
        found |= {f"{band}_tilt": tilt, f"{band}_rise": rise, f"{band}_fall": fall}
        found |= {f"{band}_jitter": jitter, f"{band}_burst": burst}
    middle = list(BANDS_HZ).index("middle")
    for over in SWELL_DB:
        found[f"swells_{over}db"], found[f"above_{over}db"] = _swells(steady[middle] > floor[middle] + over)
    found["missing"] = sum(max(0.0, least - found[f"{band}_tilt"]) for band, least in LEAST_TILT_DB.items())
    found["clipped"] = Clipping().damaged(samples, rate).mean()
    found["lost"] = Dropout().damaged(samples, rate).mean()
    return np.array([found[feature.name] for feature in FEATURES])


def _levels(samples: NDArray[np.floating]) -> tuple[Floats, Floats]:
    """(len(BANDS_HZ), T) the level of each band in dB of the loudest of all, and (T,) that of BREATH_HZ."""
    if len(samples) < WINDOW:
        samples = np.pad(samples, (0, WINDOW - len(samples)))
    frequencies, power = spectrogram(samples, RATE_HZ, WINDOW, HOP)
    bands = (*BANDS_HZ.values(), BREATH_HZ)
    energies = np.stack([power[(frequencies >= low) & (frequencies < high)].sum(axis=0) for low, high in bands])
    levels = decibels(energies / (energies.max() or 1.0), FLOOR_DB)
    return levels[:-1], levels[-1]


def _swells(above: NDArray[np.bool_]) -> tuple[float, float]:
    """Swells per s, from which frames (T,) stand out of the floor; and the share of time that does."""
    flags, lengths = runs(above)
    lengths_s = lengths[flags] * HOP / RATE_HZ
    swells = ((lengths_s > SWELL_S[0]) & (lengths_s < SWELL_S[1])).sum()
    return float(swells / (len(above) * HOP / RATE_HZ)), float(above.mean())
