"""Intervals over new patients for what is counted of recordings and clips.

What comes from one patient is alike, so patients are drawn, with exponential weights as in `evaluation.statistics`
(Rubin 1981). The draws' spread is made unbiased for the effective number of patients n, and the 95 % interval takes
Student's t with n − 1 degrees of freedom, on a scale without ends: log-odds for a share, Fisher's z for a correlation.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
import scipy
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]

CONFIDENCE = 0.95
DRAWS = 2000  # the spread of so many errs by 1.6 %


@dataclass(frozen=True)
class Scale:
    """Where an interval is symmetric: there and back."""

    to: Callable[[ArrayLike], Floats]
    back: Callable[[ArrayLike], Floats]


PLAIN = Scale(np.asarray, np.asarray)
# Named when they are called: a run needs neither, and scipy.special takes a fifth of a second to import.
SHARE = Scale(lambda share: scipy.special.logit(share), lambda log_odds: scipy.special.expit(log_odds))
CORRELATION = Scale(np.arctanh, np.tanh)


@dataclass(frozen=True)
class Estimate:
    """A figure and its 95 % interval over new patients.

    low, high: NaN where the draws cannot tell: fewer than two effective patients, or a figure at the end of its scale.
    """

    value: float
    low: float
    high: float


UNKNOWN = Estimate(np.nan, np.nan, np.nan)


def patient_codes(patients: pd.Series) -> Integers:
    """(N,) a number from 0 for each patient, in the order of their names."""
    codes, _ = pd.factorize(patients.astype(str), sort=True)
    return codes.astype(np.int64)


def patient_weights(patients: int) -> Floats:
    """(DRAWS, patients), read-only; the same for as many patients."""
    return _drawn_once(DRAWS, patients)


@functools.lru_cache(maxsize=1)  # most figures of a table have the same patients
def _drawn_once(draws: int, patients: int) -> Floats:
    weights = exponential_weights(np.random.default_rng(0), (draws, patients))
    weights.flags.writeable = False
    return weights


def exponential_weights(generator: np.random.Generator, size: tuple[int, ...]) -> Floats:
    """Weights of the last axis's units, draw by draw (Rubin 1981); only their ratios count."""
    return generator.exponential(size=size)


def unbiased(units: ArrayLike) -> Floats:
    """What makes the spread of exponentially weighted means that of a sample: √((n+1)/(n−1)); NaN for a single unit."""
    number = np.asarray(units, dtype=np.float64)
    return np.sqrt(np.divide(number + 1, number - 1, out=np.full_like(number, np.nan), where=number > 1))


def effective_number(sizes: ArrayLike) -> float:
    """How many patients of equal size tell as much: (Σn)² / Σn² (Kish 1965); 0 for nobody."""
    counts = np.asarray(sizes, dtype=np.float64)
    squares = float((counts**2).sum())
    return float(counts.sum() ** 2 / squares) if squares else 0.0


def shared_training(folds: int) -> float:
    """What to multiply patients' part of a variance by where each of K folds is tested by a model of the others.

    Any two of these models share most of their training patients, and so their errors: what patients vary by among
    those who are tested does not show it. 1 + K/(K−1), of Nadeau and Bengio (Machine Learning 52, 2003), whose J is K
    here, and whose n₂/n₁ is 1/(K−1). 1 where there are no folds.
    """
    return 1 + folds / (folds - 1) if folds else 1.0


def interval(value: float, drawn: Floats, patients: float, scale: Scale = PLAIN) -> Estimate:
    """A figure with its interval, from what it is under each draw.

    Args:
        value: with equal weights.
        drawn: (DRAWS,) under `patient_weights`.
        patients: effective number of them.
        scale: where the interval is symmetric.
    """
    with np.errstate(divide="ignore"):
        centre, moved = scale.to(value), scale.to(drawn)
    if patients < 2 or not np.isfinite(centre):
        return Estimate(value, np.nan, np.nan)
    spread = np.sqrt(np.mean((moved - centre) ** 2)) * unbiased(patients)
    half = scipy.special.stdtrit(patients - 1, (1 + CONFIDENCE) / 2) * spread
    return Estimate(value, float(scale.back(centre - half)), float(scale.back(centre + half)))


def mean_over_patients(values: Floats, patients: Integers) -> Estimate:
    """The mean of values (N,), of patients (N,)."""
    if not len(values):
        return UNKNOWN
    count, total = np.bincount(patients).astype(np.float64), np.bincount(patients, weights=values)
    weights = patient_weights(len(count))
    return interval(float(values.mean()), (weights @ total) / (weights @ count), effective_number(count))


def area_under_curve(quality: Floats, better: Flags, patients: Integers) -> Estimate:
    """How often one of the better has a higher quality than one of the others (AUC); ties count half.

    Args:
        quality: (N,).
        better: (N,) which should have the higher ones; NaN is returned where all or none are.
        patients: (N,) codes.

    Its effective number of patients is that of the scarcer side.
    """
    if better.all() or not better.any():
        return UNKNOWN
    size = int(patients.max()) + 1
    ahead, behind = (np.bincount(patients[side], minlength=size).astype(np.float64) for side in (better, ~better))
    wins = np.zeros((size, size))  # of the better clips of one patient over the others of another
    for patient in np.flatnonzero(behind):
        ranked = np.sort(quality[~better & (patients == patient)])
        beaten = sum(np.searchsorted(ranked, quality[better], side) for side in ("left", "right")) / 2
        wins[:, patient] = np.bincount(patients[better], weights=beaten, minlength=size)
    weights = patient_weights(size)
    drawn = ((weights @ wins) * weights).sum(axis=1) / ((weights @ ahead) * (weights @ behind))
    value = float(wins.sum() / (ahead.sum() * behind.sum()))
    return interval(value, drawn, min(effective_number(ahead), effective_number(behind)), SHARE)
