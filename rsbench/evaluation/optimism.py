"""How much a Score owes to having chosen its epoch on the very clips that it is of."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..data.tasks import NORMAL
from .metrics import FloatArray

DIVISIONS = 200  # of the patients into halves


@dataclass(frozen=True)
class Optimism:
    """Scores of a run in percent, means over divisions of the patients.

    chosen_on: of the half that chose the epoch. other_half: of the other one, at that epoch. Their difference is what
    the choice flatters itself by.
    """

    chosen_on: float
    other_half: float

    @property
    def points(self) -> float:
        return self.chosen_on - self.other_half


def split_half_optimism(hits: NDArray[np.int64], support: NDArray[np.int64], seed: int = 0) -> Optimism:
    """Choose the best epoch on half of the patients, and judge it on the others; over many divisions.

    Args:
        hits: (epochs, P, C + 1), as `counts.count_hits`.
        support: (P, C) clips of each patient and class.
        seed: of the divisions.

    NaN where no division has normal and abnormal clips on both sides.
    """
    generator = np.random.default_rng(seed)
    patients = len(support)
    order = generator.random((DIVISIONS, patients)).argsort(axis=1).argsort(axis=1)
    first = order < patients // 2
    chosen_on, other = _scores(hits, support, first), _scores(hits, support, ~first)
    usable = np.isfinite(chosen_on).all(axis=1) & np.isfinite(other).all(axis=1)
    if not usable.any():
        return Optimism(np.nan, np.nan)
    chosen_on, other = chosen_on[usable], other[usable]
    epoch = chosen_on.argmax(axis=1)[:, None]  # the first of equals, as the oracle takes it
    means = (float(np.take_along_axis(half, epoch, axis=1).mean()) for half in (chosen_on, other))
    return Optimism(*means)


def _scores(hits: NDArray[np.int64], support: NDArray[np.int64], half: NDArray[np.bool_]) -> FloatArray:
    """(divisions, epochs) Scores of the patients of a half."""
    abnormal = list(range(NORMAL + 1, support.shape[1]))
    shares = []
    for of in ([NORMAL], abnormal):
        right = half @ hits[..., of].sum(axis=-1).T.astype(np.float64)
        clips = half @ support[:, of].sum(axis=-1).astype(np.float64)
        shares.append(np.divide(right, clips[:, None], out=np.full_like(right, np.nan), where=clips[:, None] > 0))
    scores: FloatArray = 100 * (shares[0] + shares[1]) / 2
    return scores
