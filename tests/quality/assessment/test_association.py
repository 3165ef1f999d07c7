"""What goes with an index: known effects are found at their size, and none where there is none."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from rsbench.quality.assessment.association import rank_correlation, variance_between

PATIENTS, CLIPS = 24, 12
CODES = np.repeat(np.arange(PATIENTS), CLIPS)


def clustered(generator: np.random.Generator) -> np.ndarray:
    """Qualities that patients differ in, and that go with nothing else."""
    return generator.normal(0, 1, PATIENTS)[CODES] + generator.normal(0, 0.5, len(CODES))


def test_share_of_variance_is_one_minus_that_within() -> None:
    generator = np.random.default_rng(0)
    quality, groups = generator.normal(size=len(CODES)), generator.integers(0, 3, len(CODES))
    within = sum(((quality[groups == group] - quality[groups == group].mean()) ** 2).sum() for group in range(3))
    share, _ = variance_between(quality, groups, CODES)
    assert share == pytest.approx(1 - within / ((quality - quality.mean()) ** 2).sum())


@pytest.mark.parametrize("of_patients", [True, False], ids=["a device per patient", "sites within patients"])
def test_where_nothing_goes_with_q_few_are_called_rare(of_patients: bool) -> None:
    generator = np.random.default_rng(1)
    groups = CODES % 3 if of_patients else np.tile(np.arange(CLIPS) % 3, PATIENTS)
    p = [variance_between(clustered(generator), groups, CODES)[1] for _ in range(200)]
    assert 0.01 <= np.mean(np.array(p) < 0.05) <= 0.09


def test_a_device_that_raises_q_is_found() -> None:
    generator = np.random.default_rng(2)
    device = CODES % 2
    share, p = variance_between(clustered(generator) + 2.0 * device, device, CODES)
    assert 0.25 < share < 0.75
    assert p < 0.01


def test_what_has_one_value_has_no_effect() -> None:
    quality = np.arange(float(len(CODES)))
    assert np.isnan(variance_between(quality, np.zeros(len(CODES), dtype=int), CODES)).all()
    assert np.isnan(variance_between(np.full(len(CODES), 0.1), CODES % 2, CODES)).all()
    rho, p = rank_correlation(quality, np.ones(len(CODES)), CODES)
    assert np.isnan([rho.value, rho.low, rho.high, p]).all()


def test_rank_correlation_is_spearmans() -> None:
    generator = np.random.default_rng(3)
    quality = clustered(generator).round(1)
    length = np.exp(quality) + generator.exponential(size=len(quality))
    rho, p = rank_correlation(quality, length, CODES)
    assert rho.value == pytest.approx(stats.spearmanr(quality, length).statistic)
    assert 0 < rho.low < rho.value < rho.high < 1
    assert p < 0.01


def test_the_interval_of_a_correlation_holds_the_truth() -> None:
    """Patients' levels move both: the truth is what very many patients have."""
    generator = np.random.default_rng(4)

    def drawn(patients: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        codes = np.repeat(np.arange(patients), CLIPS)
        level = generator.normal(0, 1, patients)[codes]
        return level + generator.normal(0, 1, len(codes)), level + generator.normal(0, 1, len(codes)), codes

    one, other, _ = drawn(20_000)
    truth = stats.spearmanr(one, other).statistic
    found = [rank_correlation(*drawn(PATIENTS))[0] for _ in range(200)]
    assert 0.91 <= np.mean([rho.low <= truth <= rho.high for rho in found]) <= 0.985
