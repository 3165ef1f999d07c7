"""Areas and means over patients: against scikit-learn, and on simulated studies whose truth is known."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats
from sklearn.metrics import roc_auc_score

from rsbench.evaluation import patients as intervals
from rsbench.evaluation.patients import (
    area_under_curve,
    effective_number,
    interval,
    mean_over_patients,
    patient_weights,
)


def study(generator: np.random.Generator, patients: int = 30) -> tuple[NDArray, NDArray, NDArray]:
    """(quality, is better, patient) of recordings: patients differ in level, in size and in how many are poor."""
    sizes = generator.integers(2, 15, patients)
    codes = np.repeat(np.arange(patients), sizes)
    level = generator.normal(0, 0.7, patients)[codes]
    better = generator.random(len(codes)) < generator.beta(4, 2, patients)[codes]
    return level + generator.normal(0, 1, len(codes)) + 1.0 * better, better, codes


# Normal qualities with a common sd, one apart: the chance that one of two drawn patients' recordings is higher.
TRUTH = stats.norm.cdf(1.0 / np.sqrt(2 * (0.7**2 + 1)))


@pytest.fixture
def few_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intervals, "DRAWS", 25)


def test_area_is_that_of_scikit_learn_under_every_draw(few_draws: None) -> None:
    quality, better, patients = study(np.random.default_rng(0))
    quality = quality.round(1)  # with ties
    found = area_under_curve(quality, better, patients)
    assert found.value == pytest.approx(roc_auc_score(better, quality))
    weights = patient_weights(30)
    drawn = np.array([roc_auc_score(better, quality, sample_weight=of_draw[patients]) for of_draw in weights])
    sides = [effective_number(np.bincount(patients[side])) for side in (better, ~better)]
    by_hand = interval(found.value, drawn, min(sides), intervals.SHARE)
    assert (found.low, found.high) == pytest.approx((by_hand.low, by_hand.high))


def test_the_truth_has_an_area_of_one_and_no_interval() -> None:
    better = np.arange(40) % 3 > 0
    found = area_under_curve(better.astype(float), better, np.arange(40) // 4)
    assert found.value == 1
    assert np.isnan([found.low, found.high]).all()


def test_an_area_needs_both_sides() -> None:
    alone = area_under_curve(np.arange(4.0), np.ones(4, dtype=bool), np.arange(4))
    assert np.isnan([alone.value, alone.low, alone.high]).all()


def test_turning_quality_round_mirrors_the_interval() -> None:
    quality, better, patients = study(np.random.default_rng(1))
    one, other = area_under_curve(quality, better, patients), area_under_curve(-quality, better, patients)
    assert (1 - other.high, 1 - other.value, 1 - other.low) == pytest.approx((one.low, one.value, one.high))


def test_the_interval_of_an_area_holds_the_truth() -> None:
    generator = np.random.default_rng(2)
    found = [area_under_curve(*study(generator)) for _ in range(300)]
    held = np.mean([one.low <= TRUTH <= one.high for one in found])
    assert 0.92 <= held <= 0.985


def test_clips_are_no_patients() -> None:
    """Each recording ten times over says no more; counted as patients they would pretend to."""
    quality, better, patients = study(np.random.default_rng(3))
    once = area_under_curve(quality, better, patients)
    often = area_under_curve(*(np.repeat(values, 10) for values in (quality, better, patients)))
    assert (often.low, often.high) == pytest.approx((once.low, once.high))
    naive = area_under_curve(*(np.repeat(values, 10) for values in (quality, better)), np.arange(10 * len(quality)))
    assert naive.high - naive.low < 0.5 * (once.high - once.low)


def test_the_interval_of_a_mean_is_students_where_patients_have_one_clip() -> None:
    values = np.random.default_rng(4).normal(size=25)
    found = mean_over_patients(values, np.arange(25))
    expected = stats.t.interval(0.95, 24, values.mean(), stats.sem(values))
    assert (found.low, found.high) == pytest.approx(expected, rel=0.1, abs=0.02)


def test_effective_patients_are_kishs() -> None:
    assert effective_number([3, 3, 3, 0]) == pytest.approx(3)
    assert effective_number([100, 1]) == pytest.approx(101**2 / 10001)
    assert effective_number([]) == 0


def test_figures_of_the_same_patients_share_their_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn, weights = [], intervals.exponential_weights
    monkeypatch.setattr(intervals, "exponential_weights", lambda *of: drawn.append(of) or weights(*of))
    patients = np.arange(123) // 3
    first, second = (mean_over_patients(np.random.default_rng(seed).random(123), patients) for seed in (0, 1))
    assert first != second
    assert len(drawn) == 1
    with pytest.raises(ValueError, match="read-only"):
        patient_weights(41)[0] = 0


def test_figures_need_no_scipy_stats() -> None:
    """It takes a second to import."""
    program = (
        "import sys, numpy as np\n"
        "from rsbench.evaluation.patients import area_under_curve\n"
        "from rsbench.quality.assessment.association import rank_correlation\n"
        "from rsbench.quality.assessment.robustness import severity_correlation\n"
        "values, patients = np.random.default_rng(0).random(60), np.arange(60) // 2\n"
        "area_under_curve(values, patients % 2 == 0, patients)\n"
        "rank_correlation(values, values**2, patients)\n"
        "severity_correlation(values.reshape(10, 6))\n"
        "print([name for name in ('scipy.stats', 'scipy.signal') if name in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
