"""Folds share their training patients: intervals that allow for it hold where others do not."""

from __future__ import annotations

import numpy as np
import pytest
from folded import Problem, folded_study

from rsbench.evaluation.patients import shared_training
from rsbench.evaluation.separate import estimate_separately
from rsbench.evaluation.statistics import Counts, counts_of, estimate

STUDIES = 120
PATIENTS, SEEDS, FOLDS = 60, 4, 5


@pytest.fixture(scope="module")
def studies() -> list[Counts]:
    """Of two methods that are equally good, each judged at the threshold of validation."""
    generator = np.random.default_rng(0)
    made = []
    for _ in range(STUDIES):
        (_, hits), support = folded_study(generator, Problem(), PATIENTS, SEEDS, FOLDS)
        made.append(counts_of("score", hits, support))
    return made


def missed(studies: list[Counts], folds: int, difference: bool) -> float:
    """The share of 95 % intervals that leave the truth out: of the Scores, or of their difference, which is 0."""
    counted = [Counts(counts.hits, counts.clips, folds) for counts in studies]
    found = [estimate(one[[1]] - one[[0]] if difference else one, 300, number) for number, one in enumerate(counted)]
    truth = 0.0 if difference else np.mean([one.mean for one in found])
    intervals = np.concatenate([one.intervals() for one in found])
    return float(((truth < intervals[:, 0]) | (intervals[:, 1] < truth)).mean())


@pytest.mark.parametrize("difference", [False, True])
def test_intervals_that_allow_for_shared_training_patients_hold(studies: list[Counts], difference: bool) -> None:
    assert missed(studies, 0, difference) > 0.07
    assert missed(studies, FOLDS, difference) < 0.06


def test_what_patients_move_is_what_grows(studies: list[Counts]) -> None:
    counts = studies[0]
    folded = Counts(counts.hits, counts.clips, FOLDS)
    one, other = estimate(counts, 300), estimate(folded, 300)
    np.testing.assert_allclose(other.parts[0], 2.25 * one.parts[0])
    np.testing.assert_array_equal(other.parts[1], one.parts[1])
    np.testing.assert_array_equal(other.mean, one.mean)
    ratio = estimate_separately([folded], 300).se / estimate_separately([counts], 300).se
    np.testing.assert_allclose(ratio, other.se / one.se, rtol=0.02)
    assert shared_training(0) == 1
