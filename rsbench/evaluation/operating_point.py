"""Where the normal class begins, and how sure the logits are: both chosen on validation, never on a test set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy
from numpy.typing import ArrayLike

from .metrics import FloatArray, negative_log_likelihood, operating_counts

LARGEST_TEMPERATURE = 1e3  # and its inverse the smallest: logits that separate validation perfectly have no optimum


@dataclass(frozen=True)
class OperatingPoint:
    """What is chosen on validation and then held for every test set.

    normal_offset: added to the normal logit; NaN where validation lacks normal or abnormal clips.
    temperature: divides the logits before they are read as probabilities.
    """

    normal_offset: float
    temperature: float


def per_clip(chosen: float | Sequence[float], fold: ArrayLike) -> float | FloatArray:
    """What was chosen on validation, for clips of folds (N,): one number for all, or (N,) that of each clip's fold."""
    if isinstance(chosen, int | float):
        return chosen
    of_clips: FloatArray = np.asarray(chosen, dtype=np.float64)[np.asarray(fold)]
    return of_clips


def fit_operating_point(labels: ArrayLike, logits: ArrayLike) -> OperatingPoint:
    """The operating point of validation clips: labels (N,), logits (N, C), N ≥ 1."""
    return OperatingPoint(choose_normal_offset(labels, logits), fit_temperature(labels, logits))


def choose_normal_offset(labels: ArrayLike, logits: ArrayLike) -> float:
    """The offset on the normal logit with the best Score, exact over all thresholds that these clips can tell apart.

    The best Score holds on a plateau of offsets: its midpoint is taken, or, where it has no end (always or never
    normal is best), its point nearest 0. Of several plateaus the one whose point is nearest 0 wins.
    NaN where the Score is undefined: no normal clip, or no abnormal one.
    """
    counts = operating_counts(labels, logits)
    if not (counts.normals and counts.abnormals):
        return np.nan
    # Twice the Score over a common denominator: integers, so that ties are ties.
    score = counts.normal_hits * counts.abnormals + counts.exact_hits * counts.normals
    starts = np.flatnonzero(np.concatenate([[True], np.diff(score) != 0]))
    edges = np.append(counts.offset[starts], np.inf)
    best = np.flatnonzero(score[starts] == score.max())
    points = [_point_within(edges[plateau], edges[plateau + 1]) for plateau in best]
    return min(points, key=abs)


def _point_within(start: float, end: float) -> float:
    """The midpoint of [start, end), or its point nearest 0 where it is unbounded."""
    if np.isfinite(start) and np.isfinite(end):
        return float((start + end) / 2)
    return float(np.clip(0.0, start, np.nextafter(end, -np.inf)))


def fit_temperature(labels: ArrayLike, logits: ArrayLike) -> float:
    """The temperature with the least NLL (Guo et al. 2017), within 1e-3 … 1e3.

    The NLL is convex in 1/T, so it has one valley in log T and a bounded search finds it.
    """
    scores = np.asarray(logits, dtype=np.float64)
    bound = np.log(LARGEST_TEMPERATURE)
    found = scipy.optimize.minimize_scalar(
        lambda log_temperature: negative_log_likelihood(labels, scores / np.exp(log_temperature)),
        bounds=(-bound, bound),
        method="bounded",
        options={"xatol": 1e-6},
    )
    return float(np.exp(found.x))
