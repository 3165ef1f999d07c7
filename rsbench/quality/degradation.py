"""Controlled damage to a clip, of known kind and degree: what a quality index should notice, and what it should not.

Noise, band limit and clipping keep the clip's RMS, so that an index that hears nothing but loudness cannot pass for
one that hears the damage. The same generator state gives the same noise and the same gaps at every level.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..core.errors import SpecError, did_you_mean

Floats = NDArray[np.float64]
Damage = Callable[[Floats, int, Sequence[float], np.random.Generator], Iterator[Floats]]  # a copy per level

NOISE_BELOW_HZ = 2000.0  # lung sounds lie below; wider noise would be milder at 44.1 kHz than at 4 kHz
GAP_S = 0.05  # a lost packet, a loose contact
ROLL_OFF_ORDER = 8


@dataclass(frozen=True)
class Degradation:
    """One kind of damage.

    levels: in `unit`, from mild to severe.
    harms: whether quality should fall with it. Gain alone harms nothing: quality should stay.
    """

    summary: str
    unit: str
    levels: tuple[float, ...]
    harms: bool
    apply: Damage


def degrade(
    samples: NDArray[np.float32], rate: int, name: str, level: float, generator: np.random.Generator
) -> NDArray[np.float32]:
    """A damaged copy of a clip, of the same length.

    Args:
        samples: (n,) full scale is 1; the copy may exceed it, as decoded recordings may.
        rate: of the samples, in Hz.
        name: of DEGRADATIONS.
        level: how much, in that degradation's unit.
        generator: what noise and gaps are drawn from.

    Raises SpecError for a name that is none of DEGRADATIONS.
    """
    [damaged] = degrade_by_levels(samples, rate, name, [level], generator)
    return damaged


def degrade_by_levels(
    samples: NDArray[np.float32], rate: int, name: str, levels: Sequence[float], generator: np.random.Generator
) -> Iterator[NDArray[np.float32]]:
    """A copy per level, as `degrade` makes each; all have the same noise or gaps, drawn once."""
    if name not in DEGRADATIONS:
        raise SpecError(f"There is no degradation '{name}'.{did_you_mean(name, DEGRADATIONS)}")
    for damaged in DEGRADATIONS[name].apply(samples.astype(np.float64), rate, levels, generator):
        yield damaged.astype(np.float32)


def _add_noise(
    samples: Floats, rate: int, snrs_db: Sequence[float], generator: np.random.Generator
) -> Iterator[Floats]:
    """White Gaussian noise below NOISE_BELOW_HZ; silence stays silent, for no noise has an SNR to it."""
    below = np.where(_frequencies(samples, rate) < NOISE_BELOW_HZ, 1.0, 0.0)
    noise = np.fft.irfft(np.fft.rfft(generator.standard_normal(len(samples))) * below, len(samples))
    rms, noise_rms = _rms(samples), max(_rms(noise), np.finfo(float).tiny)
    for snr_db in snrs_db:
        yield _at_rms(samples + noise * (rms * 10 ** (-snr_db / 20) / noise_rms), rms)


def _amplify(samples: Floats, rate: int, gains_db: Sequence[float], generator: np.random.Generator) -> Iterator[Floats]:
    for gain_db in gains_db:
        yield samples * 10 ** (gain_db / 20)


def _limit_band(
    samples: Floats, rate: int, cuts_hz: Sequence[float], generator: np.random.Generator
) -> Iterator[Floats]:
    """A Butterworth low-pass without phase: −3 dB at the cut, 48 dB an octave beyond it."""
    spectrum, frequencies, rms = np.fft.rfft(samples), _frequencies(samples, rate), _rms(samples)
    for cut_hz in cuts_hz:
        response = 1 / np.sqrt(1 + (frequencies / cut_hz) ** (2 * ROLL_OFF_ORDER))
        yield _at_rms(np.fft.irfft(spectrum * response, len(samples)), rms)


def _clip(samples: Floats, rate: int, shares: Sequence[float], generator: np.random.Generator) -> Iterator[Floats]:
    """Cut the loudest samples flat, this share of them."""
    rms, ceilings = _rms(samples), np.quantile(np.abs(samples), 1 - np.asarray(shares))
    for ceiling in ceilings:
        yield _at_rms(np.clip(samples, -ceiling, ceiling), rms)


def _drop_out(samples: Floats, rate: int, shares: Sequence[float], generator: np.random.Generator) -> Iterator[Floats]:
    """Silence in gaps of GAP_S, this share of the clip; a milder level's gaps are among a severer one's."""
    slot = np.arange(len(samples)) // max(1, round(GAP_S * rate))
    order = generator.permutation(slot[-1] + 1)
    first_lost = np.argsort(order[slot], kind="stable")
    for share in shares:
        kept = samples.copy()
        kept[first_lost[: round(share * len(samples))]] = 0
        yield kept


def _frequencies(samples: Floats, rate: int) -> Floats:
    """(n // 2 + 1,) of their spectrum, in Hz."""
    return np.fft.rfftfreq(len(samples), 1 / rate).astype(np.float64)


def _rms(samples: Floats) -> float:
    return float(np.sqrt(np.mean(samples**2)))


def _at_rms(samples: Floats, rms: float) -> Floats:
    found = _rms(samples)
    return samples * (rms / found) if found > 0 else samples


DEGRADATIONS: Mapping[str, Degradation] = {
    "noise": Degradation("white noise below 2 kHz", "dB SNR", (20, 10, 5, 0, -5), True, _add_noise),
    "gain": Degradation("louder or fainter", "dB", (-6, 6, -12, 12), False, _amplify),
    "band_limit": Degradation("nothing above", "Hz", (1000, 700, 500, 350, 250), True, _limit_band),
    "clipping": Degradation("loudest samples cut flat", "of samples", (0.01, 0.05, 0.1, 0.2, 0.4), True, _clip),
    "dropout": Degradation("gaps of 50 ms", "of the time", (0.02, 0.05, 0.1, 0.2, 0.4), True, _drop_out),
}
