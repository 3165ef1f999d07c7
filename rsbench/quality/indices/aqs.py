"""AQS, the audio quality score of QLung: noise-like spectra count against a clip, energy counts for it.

The paper's accounts do not say what the entropy is taken of, how entropy and energy are normalised, or at which rate;
each reading is an option here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

import numpy as np
import scipy
from numpy.typing import NDArray
from pydantic import Field

from ..index import Floats, Normaliser, QualityIndex, register_quality
from ._sound import at_rate, spectra

Weight = Annotated[float, Field(ge=0)]
EntropyOf = Literal["mean_spectrum", "frames", "plane"]

# A window that holds a crackle (5–15 ms) and still resolves a wheeze's harmonics (100 Hz and more).
WINDOW_S = 0.032
SILENT_FRAME_DB = -60.0  # below the clip's loudest frame
PERCENTILES = np.arange(1, 101)
PAPER_RATE_HZ = 16_000  # of the published front end


@register_quality(
    "aqs",
    summary="clip(1 − α·spectral entropy + β·RMS energy, 0, 1), as QLung defines it",
    paper="Kim et al., Interspeech 2026, arXiv:2606.11915",
)
class AudioQualityScore(QualityIndex):
    """AQS = clip(1 − α·H + β·R, 0, 1) with H the normalised spectral entropy and R the normalised RMS energy.

    Args:
        alpha: α, what a fully noise-like spectrum costs.
        beta: β, what full energy earns.
        entropy: what H is the entropy of, over the largest it could be. "mean_spectrum": the mean power
            spectrum; the default, because silent frames weigh nothing in it. "frames": each frame's,
            averaged; silent frames, whose rounding errors look like perfect noise, are left out. "plane":
            the whole time–frequency plane, where pauses between breaths lower the entropy too.
        energy: what R is. "percentile": RMS between its 5th and 95th percentile over training clips; the
            default, because it uses all of [0, 1] and keeps the paper's RMS. "rank": the share of training
            clips with no higher RMS, to the percent. "full_scale": RMS itself, which hardly leaves 0: AQS is
            then nearly constant, and a margin by it could not have gained what the paper's ablation says.
        rate: what is heard. "native": the clip as recorded; the default, because a recording at 4 kHz has an
            empty band above 2 kHz at any higher rate, and so an entropy that says more of the device. "16khz":
            resampled, as the paper's front end has it.
    """

    def __init__(
        self,
        *,
        alpha: Weight = 0.7,
        beta: Weight = 0.3,
        entropy: EntropyOf = "mean_spectrum",
        energy: Literal["percentile", "rank", "full_scale"] = "percentile",
        rate: Literal["native", "16khz"] = "native",
    ) -> None:
        self.alpha = alpha
        self.beta = beta
        self.entropy: EntropyOf = entropy
        self.energy = energy
        self.rate = rate

    def measure(self, samples: NDArray[np.float32], rate: int) -> tuple[float, float]:
        """(H in [0, 1], RMS in full scale) of a clip; H = 1 for digital silence."""
        heard = PAPER_RATE_HZ if self.rate == "16khz" else rate
        clip = at_rate(samples, rate, heard)
        return spectral_entropy(clip, heard, self.entropy), float(np.sqrt(np.mean(np.square(clip, dtype=np.float64))))

    def fit(self, measures: Floats) -> Normaliser:
        rms = measures[:, 1:]
        if self.energy == "full_scale":
            return {"low": 0.0, "high": 1.0}
        if self.energy == "rank":
            levels = np.percentile(rms, PERCENTILES).tolist()
            return dict(zip((f"p{p}" for p in PERCENTILES), levels, strict=True))
        return super().fit(rms)

    def score(self, measures: Floats, normaliser: Mapping[str, float]) -> Floats:
        entropy, rms = measures[:, 0], measures[:, 1:]
        if self.energy == "rank":
            training_rms = [normaliser[f"p{p}"] for p in PERCENTILES]
            energy = np.searchsorted(training_rms, rms[:, 0], side="right") / len(PERCENTILES)
        else:
            energy = super().score(rms, normaliser)
        return np.clip(1 - self.alpha * entropy + self.beta * energy, 0, 1)


def spectral_entropy(samples: NDArray[np.floating], rate: int, of: EntropyOf) -> float:
    """Entropy of the power spectrum over its largest possible value, in [0, 1]: high for noise, low for tones.

    Each frame loses its mean first: a converter's offset is no sound. Digital silence has no spectrum and
    counts as noise.

    Args:
        samples: (n,) at `rate` Hz.
        rate: in Hz.
        of: what the entropy is taken of, see `AudioQualityScore`.
    """
    _, power = spectra(samples, rate, WINDOW_S)
    if not power.any():
        return 1.0
    if of == "mean_spectrum":
        return float(_relative_entropy(power.mean(axis=1)))
    if of == "plane":
        return float(_relative_entropy(power.ravel()))
    level = power.sum(axis=0)
    audible = power[:, level > level.max() * 10 ** (SILENT_FRAME_DB / 10)]
    return float(_relative_entropy(audible).mean())


def _relative_entropy(power: Floats) -> Floats:
    """Entropy down the first axis over that of equal powers, in [0, 1]; every column holds some power."""
    entropy: Floats = scipy.special.entr(power / power.sum(axis=0)).sum(axis=0)
    return entropy / np.log(len(power))
