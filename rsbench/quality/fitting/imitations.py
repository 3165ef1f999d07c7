"""What spoils recordings at the bedside, imitated: no breath, knocks, rubbing.

Degradations are what happens to a signal in the device. These are what is heard instead of lungs, and what listeners
most often reject; an index that no listener's label is spent on has to learn it from imitations.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import scipy

from ..index import Floats

KNOCKS_PER_S = (0.5, 6.0)
KNOCK_S = (0.005, 0.03)
RUB_S = (0.1, 0.8)
RUB_SHARE = (0.1, 0.5)
GRAINS_PER_S = 50  # how rough it is
OVER_DB = (5.0, 30.0)  # of knocks and rubbing, over the clip's RMS
CUT_HZ = (300.0, 1800.0)  # both are duller or sharper


def no_breath(samples: Floats, rate: int, generator: np.random.Generator) -> Floats:
    """Steady noise of the clip's own spectrum: a surrogate with random phases (Theiler et al. 1992)."""
    spectrum = np.abs(np.fft.rfft(samples))
    phases = np.exp(2j * np.pi * generator.random(len(spectrum)))
    steady: Floats = np.fft.irfft(spectrum * phases, len(samples))
    return steady


def knocks(samples: Floats, rate: int, generator: np.random.Generator) -> Floats:
    """Short bursts that die away, at random times."""
    seconds = len(samples) / rate
    times = generator.uniform(0, seconds, 1 + generator.poisson(generator.uniform(*KNOCKS_PER_S) * seconds))
    decay = generator.uniform(*KNOCK_S)
    since = np.arange(len(samples)) / rate - times[:, None]
    envelope = np.where(since >= 0, np.exp(-np.maximum(since, 0) / decay), 0) * generator.uniform(
        0.2, 1, (len(times), 1)
    )
    knocked: Floats = samples + _noise(samples, rate, envelope.max(axis=0), generator)
    return knocked


def rubbing(samples: Floats, rate: int, generator: np.random.Generator) -> Floats:
    """Rough noise that comes and goes in irregular stretches."""
    stretch = max(1, round(generator.uniform(*RUB_S) * rate))
    on = generator.random(len(samples) // stretch + 2) < generator.uniform(*RUB_SHARE)
    on[generator.integers(len(on) - 1)] = True
    start = generator.integers(stretch)
    grain = max(1, rate // GRAINS_PER_S)
    roughness = np.abs(1 + 0.8 * np.repeat(generator.standard_normal(len(samples) // grain + 1), grain))
    envelope = np.where(np.repeat(on, stretch)[start : start + len(samples)], roughness[: len(samples)], 0.0)
    rubbed: Floats = samples + _noise(samples, rate, envelope, generator)
    return rubbed


def _noise(samples: Floats, rate: int, envelope: Floats, generator: np.random.Generator) -> Floats:
    """Low-passed noise under an envelope, its peak level over the clip's RMS by OVER_DB."""
    cut = min(generator.uniform(*CUT_HZ), 0.45 * rate)
    shaped = scipy.signal.sosfilt(
        scipy.signal.butter(2, cut, fs=rate, output="sos"), generator.standard_normal(len(samples))
    )
    level = np.sqrt(np.mean(samples**2)) * 10 ** (generator.uniform(*OVER_DB) / 20)
    noise: Floats = shaped / max(shaped.std(), np.finfo(float).tiny) * level * envelope
    return noise


IMITATIONS: Mapping[str, Callable[[Floats, int, np.random.Generator], Floats]] = {
    "no_breath": no_breath,
    "knocks": knocks,
    "rubbing": rubbing,
}
