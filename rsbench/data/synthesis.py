"""Sounds of a made-up chest: breath, crackles, wheezes, and what a stethoscope does to them.

Amplitudes are relative: breath at the height of an inspiration has an RMS of about 1. Arrays are float64, one channel.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scipy
from numpy.typing import NDArray

Samples = NDArray[np.float64]
Span = tuple[float, float]


@dataclass(frozen=True)
class Chest:
    """A patient's own sound.

    period_s: one breath. inspiration_share: of it. expiration_level: RMS against inspiration's.
    breath_hz: where breath noise begins to fall off. crackle_pitch, wheeze_hz: see `crackle` and `wheeze`.
    fine_share: how many of the crackles are fine. heart_hz: beats per second.
    """

    period_s: float
    inspiration_share: float
    expiration_level: float
    breath_hz: float
    crackle_pitch: float
    fine_share: float
    wheeze_hz: float
    heart_hz: float


@dataclass(frozen=True)
class Device:
    """A stethoscope's response: a band, and one resonance inside it."""

    name: str
    band_hz: Span
    resonance_hz: float
    resonance_db: float


def filtered(sound: Samples, rate: int, gain: Callable[[Samples], Samples]) -> Samples:
    """(N,) `sound` with each frequency (Hz) multiplied by its gain. Phase is left alone, so there is no delay."""
    length = scipy.fft.next_fast_len(len(sound), real=True)  # a prime length would cost a hundred times more
    spectrum = scipy.fft.rfft(sound, length) * gain(scipy.fft.rfftfreq(length, 1 / rate))
    return scipy.fft.irfft(spectrum, length)[: len(sound)]


def coloured_noise(rng: np.random.Generator, samples: int, rate: int, corner_hz: float) -> Samples:
    """(samples,) noise of RMS 1: flat up to `corner_hz`, then falling by 12 dB an octave."""
    white = rng.standard_normal(samples)
    noise = filtered(white, rate, lambda frequency_hz: 1 / (1 + (frequency_hz / corner_hz) ** 2))
    return noise / np.sqrt(np.mean(noise**2))


def breath(rng: np.random.Generator, chest: Chest, rate: int) -> Samples:
    """One cycle of breath noise: inspiration, then an expiration that is quieter and duller, and a rest."""
    total = round(chest.period_s * rate * rng.uniform(0.9, 1.1))
    inspiration = round(total * chest.inspiration_share)
    expiration = round(total * 0.9) - inspiration
    cycle = np.zeros(total)
    cycle[:inspiration] = coloured_noise(rng, inspiration, rate, chest.breath_hz) * np.hanning(inspiration)
    exhaled = coloured_noise(rng, expiration, rate, chest.breath_hz / 2) * np.hanning(expiration)
    cycle[inspiration : inspiration + expiration] = chest.expiration_level * exhaled
    return cycle


def crackle(rng: np.random.Generator, chest: Chest, rate: int) -> Samples:
    """One crackle of peak about 1: a damped sinusoid, fine (about 650 Hz, over in 5 ms) or coarse (350 Hz, 15 ms)."""
    fine = rng.random() < chest.fine_share
    frequency_hz = chest.crackle_pitch * (rng.uniform(550, 800) if fine else rng.uniform(250, 420))
    decay_s = rng.uniform(0.001, 0.002) if fine else rng.uniform(0.003, 0.006)
    time_s = np.arange(round(6 * decay_s * rate)) / rate
    return np.exp(-time_s / decay_s) * np.sin(2 * np.pi * frequency_hz * time_s)


def crackles(rng: np.random.Generator, chest: Chest, samples: int, rate: int) -> Samples:
    """(samples,) a cycle's crackles: late in inspiration mostly, some early in expiration."""
    track = np.zeros(samples)
    for _ in range(rng.integers(6, 15)):
        centre = chest.inspiration_share * (rng.uniform(0.4, 1.0) if rng.random() < 0.75 else rng.uniform(1.1, 1.6))
        sound = crackle(rng, chest, rate) * rng.uniform(0.5, 1.0)
        start = min(round(centre * samples), samples - len(sound))
        track[start : start + len(sound)] += sound
    return track


def wheeze(rng: np.random.Generator, chest: Chest, samples: int, rate: int) -> Samples:
    """(samples,) a cycle's wheeze, of RMS about 1 while it lasts: a drifting tone with harmonics, in expiration."""
    begin = round(samples * chest.inspiration_share * rng.uniform(0.7, 1.1))
    length = round((samples - begin) * rng.uniform(0.5, 0.95))
    drift = rng.uniform(-0.25, 0.25) * np.linspace(0, 1, length)
    wobble = 0.03 * np.sin(2 * np.pi * rng.uniform(2, 6) * np.arange(length) / rate)
    frequency_hz = chest.wheeze_hz * rng.uniform(0.9, 1.1) * (1 + drift + wobble)
    phase = 2 * np.pi * np.cumsum(frequency_hz) / rate
    tone = sum(np.sin(order * phase) / order for order in (1, 2, 3))
    track = np.zeros(samples)
    track[begin : begin + length] = tone * np.sqrt(np.hanning(length) / 0.6)
    return track


def heart(rng: np.random.Generator, chest: Chest, samples: int, rate: int) -> Samples:
    """(samples,) heart sounds of peak about 1: two low thumps a beat."""
    track = np.zeros(samples)
    time_s = np.arange(round(0.12 * rate)) / rate
    thump = np.sin(2 * np.pi * rng.uniform(40, 70) * time_s) * np.exp(-time_s / 0.03)
    first = np.arange(rng.uniform(0, 0.5), samples / rate, 1 / chest.heart_hz)
    for start in (np.concatenate([first, first + 0.3]) * rate).astype(int):
        room = track[start : start + len(thump)]
        room += thump[: len(room)]
    return track


def knocks(rng: np.random.Generator, samples: int, rate: int, count: int) -> Samples:
    """(samples,) the hand on the chest piece: `count` dull bursts of noise, peak about 1."""
    track = np.zeros(samples)
    for start in rng.integers(0, samples, count):
        length = min(round(rng.uniform(0.02, 0.08) * rate), samples - start)
        if length > 1:
            burst = coloured_noise(rng, length, rate, rng.uniform(80, 250))
            track[start : start + length] += burst * np.exp(-np.linspace(0, 5, length)) / 2
    return track


def heard_through(device: Device, sound: Samples, rate: int) -> Samples:
    """`sound` within the device's band (slopes of 12 dB an octave), with its resonance."""
    low_hz, high_hz = device.band_hz

    def response(frequency_hz: Samples) -> Samples:
        rise = frequency_hz**2 / (frequency_hz**2 + low_hz**2)
        fall = 1 / (1 + (frequency_hz / high_hz) ** 2)
        octaves = np.log2(np.maximum(frequency_hz, 1) / device.resonance_hz)
        return rise * fall * 10 ** (device.resonance_db / 20 * np.exp(-(octaves**2)))

    return filtered(sound, rate, response)
