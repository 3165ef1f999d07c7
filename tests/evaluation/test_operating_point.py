"""The offset and the temperature: best on the clips they were chosen on, and no more than that."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from rsbench.evaluation.metrics import at_operating_point, calibration
from rsbench.evaluation.operating_point import choose_normal_offset, fit_operating_point, fit_temperature

LOGITS = arrays(np.float64, (12, 4), elements=st.integers(-12, 12).map(lambda step: step / 4))
LABELS = arrays(np.int64, 10, elements=st.integers(0, 3)).map(lambda drawn: np.append(drawn, [0, 1]))


def score(labels: np.ndarray, logits: np.ndarray, offset: float) -> float:
    return at_operating_point(labels, logits, offset)["score"]


@settings(max_examples=50)
@given(LABELS, LOGITS)
def test_no_offset_on_a_fine_grid_scores_more(labels: np.ndarray, logits: np.ndarray) -> None:
    chosen = score(labels, logits, choose_normal_offset(labels, logits))
    # Gaps are multiples of 1/4 within ±6: odd eighths meet every plateau.
    on_grid = [score(labels, logits, step / 8) for step in range(-49, 50, 2)]
    assert chosen == pytest.approx(max(on_grid))
    assert chosen >= score(labels, logits, 0.0)
    assert chosen >= 50


@settings(max_examples=50)
@given(LABELS, LOGITS)
def test_the_offset_moves_with_the_normal_logit(labels: np.ndarray, logits: np.ndarray) -> None:
    # A uniform shift of the normal logit is what the offset undoes: the Score reached cannot depend on it.
    shifted = logits + np.array([2.5, 0, 0, 0])
    chosen, moved = choose_normal_offset(labels, logits), choose_normal_offset(labels, shifted)
    assert score(labels, logits, chosen) == pytest.approx(score(labels, shifted, moved))


def test_the_middle_of_the_plateau() -> None:
    # The normal clip needs an offset of at least 1, the crackle bears any below 4.
    logits = np.array([[0.0, 1, 0, 0], [0.0, 4, 0, 0]])
    assert choose_normal_offset([0, 1], logits) == 2.5


def test_steps_of_equal_score_are_one_plateau() -> None:
    # Between 1 and 5 a wheeze that is called crackle turns normal: wrong before and after.
    logits = np.array([[0.0, 1, 0, 0], [0.0, 5, 0, 0], [0.0, 2, 0, 0]])
    assert choose_normal_offset([0, 1, 2], logits) == 3.0


def test_of_two_plateaus_the_nearer_to_zero() -> None:
    # Score 75 on [-5, -3) and on [1, 2): one of two normals with all crackles, or all normals with half of them.
    logits = np.array([[5.0, 0, 0, 0], [0.0, 1, 0, 0], [3.0, 0, 0, 0], [0.0, 2, 0, 0]])
    assert choose_normal_offset([0, 0, 1, 1], logits) == 1.5


def test_an_endless_plateau_gives_its_point_nearest_zero() -> None:
    always_right = np.array([[0.0, -3, -3, -3], [0.0, 2, -3, -3]])
    assert choose_normal_offset([0, 1], always_right) == -0.5  # bounded by both clips
    # A crackle that is always taken for a wheeze: normal wherever the normal clip is right, up to ∞.
    assert choose_normal_offset([0, 1], np.array([[0.0, 2, 0, 0], [0.0, 0, 1, 0]])) == 2.0
    assert choose_normal_offset([0, 1], np.array([[2.0, 0, 0, 0], [0.0, 0, 1, 0]])) == 0.0


@pytest.mark.parametrize("labels", [[0, 0], [1, 3]])
def test_without_normal_or_abnormal_clips_there_is_no_offset(labels: list[int]) -> None:
    assert math.isnan(choose_normal_offset(labels, np.eye(4)[:2]))


@pytest.mark.parametrize("scale", [0.1, 1.0, 37.0])
def test_temperature_undoes_a_scale(scale: float) -> None:
    generator = np.random.default_rng(0)
    logits = generator.normal(size=(3000, 4))
    # Labels drawn from the very probabilities the logits state: their temperature is 1.
    labels = (np.cumsum(softmax_rows(logits), axis=1) < generator.random((3000, 1))).sum(axis=1)
    assert fit_temperature(labels, scale * logits) == pytest.approx(scale, rel=0.08)


def softmax_rows(logits: np.ndarray) -> np.ndarray:
    weights = np.exp(logits)
    return weights / weights.sum(axis=1, keepdims=True)


@settings(max_examples=50)
@given(LABELS, LOGITS)
def test_no_temperature_on_a_grid_has_less_nll(labels: np.ndarray, logits: np.ndarray) -> None:
    def nll(temperature: float) -> float:
        return calibration(labels, logits, temperature)["nll_scaled"]

    best = nll(fit_temperature(labels, logits))
    assert best <= min(nll(temperature) for temperature in np.geomspace(1e-2, 1e2, 41)) + 1e-6


def test_separable_clips_get_a_small_finite_temperature() -> None:
    temperature = fit_temperature(np.arange(4), np.eye(4))
    assert 1e-3 <= temperature < 0.1
    assert calibration(np.arange(4), np.eye(4), temperature)["nll_scaled"] < 1e-6


def test_both_are_fitted_on_the_same_clips() -> None:
    labels, logits = np.array([0, 1, 2, 0]), np.random.default_rng(1).normal(size=(4, 4))
    point = fit_operating_point(labels, logits)
    assert point.normal_offset == choose_normal_offset(labels, logits)
    assert point.temperature == fit_temperature(labels, logits)
