"""Intervals of methods each on its own: those of the joint bootstrap, for less."""

from __future__ import annotations

import numpy as np
from numpy.testing import assert_allclose
from simulated import Effects, patients, study

from rsbench.evaluation.separate import estimate_separately
from rsbench.evaluation.statistics import Counts, counts_of, estimate


def _counts() -> Counts:
    generator = np.random.default_rng(3)
    support = patients(generator, 30, 900)
    return counts_of("score", study(generator, support, 6, 5, Effects()), support)


def test_errors_are_those_of_the_joint_estimate() -> None:
    counts = _counts()
    counts.hits[1, 2:4] = np.nan
    counts.hits[2, 1:] = np.nan
    joint, separate = estimate(counts), estimate_separately(counts)
    assert_allclose(separate.mean, joint.mean, rtol=1e-12)
    several = joint.seeds > 1
    assert not several.all()
    assert np.isnan(separate.se[~several]).all()
    assert_allclose(separate.se[several], joint.se[several], rtol=0.02)
    assert_allclose(separate.df[several], joint.df[several], rtol=0.1)
    assert_allclose(separate.intervals()[several], joint.intervals()[several], atol=0.1)


def test_simultaneous_intervals_are_no_narrower_than_the_joint_ones() -> None:
    counts = _counts()
    joint, separate = (found.simultaneous(0.95) for found in (estimate(counts), estimate_separately(counts)))
    assert (np.diff(separate) > 0.99 * np.diff(joint)).all()


def test_what_never_differs_has_no_error() -> None:
    hits = np.full((2, 3, 5, 1), 4.0)
    found = estimate_separately(Counts(hits, np.full((5, 1), 10.0)))
    assert_allclose(found.intervals(), 40.0)
