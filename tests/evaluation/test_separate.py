"""Intervals of methods each on its own: those of the joint bootstrap, for less."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose
from simulated import Effects, patients, study

from rsbench.evaluation import separate
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
    joint, apart = estimate(counts), estimate_separately([counts])
    assert_allclose(apart.mean, joint.mean, rtol=1e-12)
    several = joint.seeds > 1
    assert not several.all()
    assert np.isnan(apart.se[~several]).all()
    assert_allclose(apart.se[several], joint.se[several], rtol=0.02)
    assert_allclose(apart.df[several], joint.df[several], rtol=0.1)
    assert_allclose(apart.intervals()[several], joint.intervals()[several], atol=0.1)


def test_simultaneous_intervals_are_no_narrower_than_the_joint_ones() -> None:
    counts = _counts()
    joint, apart = (found.simultaneous(0.95) for found in (estimate(counts), estimate_separately([counts])))
    assert (np.diff(apart) > 0.99 * np.diff(joint)).all()


def test_what_never_differs_has_no_error() -> None:
    hits = np.full((2, 3, 5, 1), 4.0)
    found = estimate_separately([Counts(hits, np.full((5, 1), 10.0))])
    assert_allclose(found.intervals(), 40.0)


def test_parts_share_what_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    counts, times = _counts(), []
    whole = estimate_separately([counts])
    original = separate.exponential_weights
    monkeypatch.setattr(separate, "exponential_weights", lambda *asked: times.append(asked) or original(*asked))
    parts = estimate_separately(counts[first : first + 2] for first in (0, 2, 4))
    for name in ("mean", "se", "df"):
        np.testing.assert_array_equal(getattr(parts, name), getattr(whole, name))
    assert len(times) == 2  # of patients and of seeds
