"""Damage that can be counted: samples cut at the converter's limit, and gaps without any signal."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from ..index import Floats, Normaliser, QualityIndex, register_quality
from ._sound import runs

# A wave passes its peak in one or two samples; where three lie within a hundredth of it, it was cut.
PLATEAU = 0.99
PLATEAU_SAMPLES = 3
GAP_S = 0.01


class UndamagedShare(QualityIndex):
    """1 − the share of samples that are damaged: a quality as it stands, which no training clip has to scale."""

    @abstractmethod
    def damaged(self, samples: NDArray[np.float32], rate: int) -> NDArray[np.bool_]:
        """(n,) which samples are damaged."""

    def measure(self, samples: NDArray[np.float32], rate: int) -> tuple[float]:
        return (float(1 - self.damaged(samples, rate).mean()),)

    def fit(self, measures: Floats) -> Normaliser:
        return {}

    def score(self, measures: Floats, normaliser: Mapping[str, float]) -> Floats:
        return measures[:, 0]


@register_quality("clipping", summary="share of samples that are not cut flat at the clip's own peak")
class Clipping(UndamagedShare):
    """Runs of PLATEAU_SAMPLES and more within a hundredth of the largest amplitude, on one side, are cut.

    The clip's own peak is the limit looked for, not full scale: a file that was cut and then made fainter is still cut.
    """

    def damaged(self, samples: NDArray[np.float32], rate: int) -> NDArray[np.bool_]:
        peak = np.abs(samples).max()
        if peak == 0:
            return np.zeros(len(samples), bool)
        high, low = samples >= PLATEAU * peak, samples <= -PLATEAU * peak
        return in_runs(high, PLATEAU_SAMPLES) | in_runs(low, PLATEAU_SAMPLES)


@register_quality("dropout", summary="share of time that is not lost in gaps of 10 ms and more without any signal")
class Dropout(UndamagedShare):
    """A gap is a run of samples without any change; digital silence is nothing but a gap."""

    def damaged(self, samples: NDArray[np.float32], rate: int) -> NDArray[np.bool_]:
        unchanged = np.concatenate([[True], samples[1:] == samples[:-1]])
        return in_runs(unchanged, max(1, round(GAP_S * rate)))


def in_runs(true: NDArray[np.bool_], least: int) -> NDArray[np.bool_]:
    """(n,) which elements belong to an unbroken run of at least `least` true ones, or to one that fills the clip."""
    flags, lengths = runs(true)
    return np.repeat(flags & (lengths >= min(least, len(true))), lengths)
