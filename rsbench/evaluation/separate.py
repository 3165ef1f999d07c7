"""Intervals of thousands of methods, each on its own: what two of them share, ranks and differences, is left out.

The bootstrap of `statistics`, whose draws are of weights that all methods share. A figure moves linearly with the hits,
so what the weights themselves vary by, a matrix over patients and one over seeds, is estimated once, and gives every
method's variance; patients and seeds are drawn independently, so what takes both follows from the two as well.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .patients import effective_number, exponential_weights, shared_training, unbiased
from .statistics import (
    RESAMPLES,
    Counts,
    FloatArray,
    influence,
    not_more,
    own_intervals,
    satterthwaite,
    without_rounding,
)


@dataclass(frozen=True)
class SeparateEstimates:
    """Means over seeds, percent, their standard errors, and Satterthwaite's degrees of freedom; (methods,) each.

    Errors are NaN for a method with one seed, and where fewer than two patients (by Kish) have clips.
    """

    mean: FloatArray
    se: FloatArray
    df: FloatArray

    def intervals(self) -> FloatArray:
        """(methods, 2): 95 % intervals, each on its own; of no width where no patient and no seed differs."""
        return own_intervals(self.mean, self.se, self.df)

    def simultaneous(self, confidence: float) -> FloatArray:
        """(methods, 2): intervals that all hold together, by Bonferroni: wider than what errors in common allow."""
        known = max(1, int((self.se > 0).sum()))
        return own_intervals(self.mean, self.se, self.df, 1 - (1 - confidence) / known)


def estimate_separately(parts: Iterable[Counts], resamples: int = RESAMPLES, seed: int = 0) -> SeparateEstimates:
    """Means over seeds with the error of each over new patients and new seeds.

    Args:
        parts: of some methods each, on the same clips and seeds, so that the hits of all need not stand in memory.
        resamples: draws of weights, once for all parts.
        seed: of these draws.
    """
    found, drawn = [], None
    for counts in parts:
        if drawn is None:
            drawn = _Drawn.of(counts, resamples, np.random.default_rng(seed))
        found.append(_estimates(counts, drawn))
    return SeparateEstimates(*(np.concatenate(column) for column in zip(*found, strict=True)))


@dataclass(frozen=True)
class _Drawn:
    """by_patients: (PJ, PJ), see `_of_patients`. of_seeds: (resamples, S) weights."""

    by_patients: FloatArray
    of_seeds: FloatArray

    @classmethod
    def of(cls, counts: Counts, resamples: int, generator: np.random.Generator) -> _Drawn:
        by_patients = _of_patients(counts.clips, resamples, generator)
        return cls(by_patients, exponential_weights(generator, (resamples, counts.hits.shape[1])))


def _estimates(counts: Counts, drawn: _Drawn) -> tuple[FloatArray, FloatArray, FloatArray]:
    """The fields of SeparateEstimates."""
    present = ~np.isnan(counts.hits[:, :, 0, 0])
    seeds = present.sum(axis=1)
    by_run = np.where(present, counts.of_runs(), 0)
    variance = _variances(counts, present, by_run, drawn)
    variance[0] *= shared_training(counts.folds)
    df_patients = effective_number(influence(counts.clips)) - 1
    se = np.sqrt(variance[0] + variance[1] - not_more(variance))
    return by_run.sum(axis=1) / seeds, without_rounding(se), satterthwaite(variance, df_patients, seeds - 1)


def _variances(counts: Counts, present: NDArray[np.bool_], by_run: FloatArray, drawn: _Drawn) -> FloatArray:
    """(3, methods): what patients' weights move, what seeds' do, and what needs both."""
    methods, seeds = present.shape
    variance = np.empty((3, methods))
    patterns, of_pattern = np.unique(present, axis=0, return_inverse=True)
    for number, pattern in enumerate(patterns):
        mine = np.flatnonzero(of_pattern.ravel() == number)
        hits = np.nan_to_num(counts.hits[mine]).reshape(len(mine), seeds, -1)
        covariance = (hits @ drawn.by_patients) @ hits.transpose(0, 2, 1)  # (mine, seeds, seeds), of patients alone
        moved_by_seeds = _of_seeds(drawn.of_seeds, pattern)
        variance[0, mine] = covariance.sum(axis=(1, 2)) / pattern.sum() ** 2  # absent seeds have no hits
        variance[1, mine] = ((by_run[mine] @ moved_by_seeds) * by_run[mine]).sum(axis=1)
        variance[2, mine] = (covariance * moved_by_seeds).sum(axis=(1, 2))
    return variance


def _of_patients(clips: FloatArray, resamples: int, generator: np.random.Generator) -> FloatArray:
    """(PJ, PJ): the covariance of what a hit of each patient and share adds to a figure, in percent."""
    weights = exponential_weights(generator, (resamples, len(clips)))
    drawn = weights[:, :, None] / (weights @ clips)[:, None] - 1 / clips.sum(axis=0)
    drawn *= 100 / clips.shape[1] * unbiased([effective_number(column) for column in clips.T])
    moved = drawn.reshape(resamples, -1)
    covariance: FloatArray = moved.T @ moved / resamples
    return covariance


def _of_seeds(drawn: FloatArray, present: NDArray[np.bool_]) -> FloatArray:
    """(S, S): the covariance of the seeds' shares of a mean over those that are present; NaN for a single one."""
    shares = drawn * present
    shares /= shares.sum(axis=1, keepdims=True)
    tilt = (shares - present / present.sum()) * unbiased(present.sum())
    covariance: FloatArray = tilt.T @ tilt / len(tilt)
    return covariance
