"""Controlled damage to a clip, of known kind and degree: what a quality index should notice, and what it should not.

Noise, band limit and clipping keep the clip's RMS, so that an index that hears nothing but loudness cannot pass for
one that hears the damage. The same generator state gives the same noise and the same gaps at every level.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..core.errors import SpecError, did_you_mean

Floats = NDArray[np.float64]
Damage = Callable[[Floats, int, float, np.random.Generator], Floats]

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
    if name not in DEGRADATIONS:
        raise SpecError(f"There is no degradation '{name}'.{did_you_mean(name, DEGRADATIONS)}")
    return DEGRADATIONS[name].apply(samples.astype(np.float64), rate, level, generator).astype(np.float32)


def _add_noise(samples: Floats, rate: int, snr_db: float, generator: np.random.Generator) -> Floats:
    """White Gaussian noise below NOISE_BELOW_HZ; silence stays silent, for no noise has an SNR to it."""
    noise = _filtered(generator.standard_normal(len(samples)), rate, lambda hz: np.where(hz < NOISE_BELOW_HZ, 1.0, 0.0))
    wanted = _rms(samples) * 10 ** (-snr_db / 20)
    return _at_rms(samples + noise * (wanted / max(_rms(noise), np.finfo(float).tiny)), _rms(samples))


def _amplify(samples: Floats, rate: int, gain_db: float, generator: np.random.Generator) -> Floats:
    return samples * 10 ** (gain_db / 20)


def _limit_band(samples: Floats, rate: int, cut_hz: float, generator: np.random.Generator) -> Floats:
    """A Butterworth low-pass without phase: −3 dB at the cut, 48 dB an octave beyond it."""
    limited = _filtered(samples, rate, lambda hz: 1 / np.sqrt(1 + (hz / cut_hz) ** (2 * ROLL_OFF_ORDER)))
    return _at_rms(limited, _rms(samples))


def _clip(samples: Floats, rate: int, share: float, generator: np.random.Generator) -> Floats:
    """Cut the loudest samples flat, this share of them."""
    ceiling = np.quantile(np.abs(samples), 1 - share)
    return _at_rms(np.clip(samples, -ceiling, ceiling), _rms(samples))


def _drop_out(samples: Floats, rate: int, share: float, generator: np.random.Generator) -> Floats:
    """Silence in gaps of GAP_S, this share of the clip; a milder level's gaps are among a severer one's."""
    slot = np.arange(len(samples)) // max(1, round(GAP_S * rate))
    order = generator.permutation(slot[-1] + 1)
    lost = np.argsort(order[slot], kind="stable")[: round(share * len(samples))]
    kept = samples.copy()
    kept[lost] = 0
    return kept


def _filtered(samples: Floats, rate: int, response: Callable[[Floats], Floats]) -> Floats:
    """The samples through a filter of this amplitude response over frequency in Hz, without phase."""
    frequencies = np.fft.rfftfreq(len(samples), 1 / rate).astype(np.float64)
    filtered: Floats = np.fft.irfft(np.fft.rfft(samples) * response(frequencies), len(samples))
    return filtered


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
