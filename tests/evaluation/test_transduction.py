"""Operating points that look at test clips: simulated truth, and what may not change them."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import log_softmax

from rsbench.data.tasks import NORMAL
from rsbench.evaluation.metrics import at_operating_point, predicted_classes
from rsbench.evaluation.transduction import (
    BY_TEST_CLIPS,
    ORACLE,
    POINTS,
    Calibration,
    calls_at_points,
    class_shares,
)

BEFORE = np.array([0.55, 0.2, 0.15, 0.1])
ON_TEST = np.array([0.25, 0.3, 0.3, 0.15])
CENTRES = 1.5 * np.eye(4)


def drawn(shares: np.ndarray, clips: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Labels, and the log-probabilities of a model that is right about clips which are as frequent as BEFORE."""
    generator = np.random.default_rng(seed)
    labels = generator.choice(4, clips, p=shares)
    heard = CENTRES[labels] + generator.standard_normal((clips, 4))
    return labels, log_softmax(heard @ CENTRES.T + np.log(BEFORE), axis=1)


def score(labels: np.ndarray, called: np.ndarray) -> float:
    return at_operating_point(labels, np.eye(4)[called])["score"]


@pytest.fixture(scope="module")
def data() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    return *drawn(BEFORE, 2000, 0), *drawn(ON_TEST, 3000, 1)


def test_em_finds_how_frequent_classes_became() -> None:
    labels, log_p = drawn(ON_TEST, 20_000, 2)
    found = class_shares(log_p, BEFORE)
    assert found == pytest.approx(np.bincount(labels) / len(labels), abs=0.015)
    assert class_shares(drawn(BEFORE, 20_000, 3)[1], BEFORE) == pytest.approx(BEFORE, abs=0.015)


def test_calibration_undoes_a_scale_and_a_bias() -> None:
    labels, log_p = drawn(BEFORE, 5000, 4)
    found = Calibration.fitted(labels, 7 * (log_p - np.array([0, 1.0, -0.5, 0.25])))
    assert found.temperature == pytest.approx(7, rel=0.1)
    assert found.bias - found.bias[0] == pytest.approx([0, 1.0, -0.5, 0.25], abs=0.15)


def test_what_bayes_calls_gains_more_score_than_other_offsets() -> None:
    labels, log_p = drawn(BEFORE, 40_000, 5)
    called = calls_at_points(labels, log_p, labels, log_p)["bayes"]
    best = max(score(labels, predicted_classes(log_p, offset)) for offset in np.linspace(-3, 3, 61))
    assert score(labels, called) == pytest.approx(best, abs=0.3)


def test_the_call_rate_of_validation_is_that_of_test(data: tuple[np.ndarray, ...]) -> None:
    validation_labels, validation_logits, labels, _ = data
    on_validation = calls_at_points(validation_labels, validation_logits, validation_labels, validation_logits)
    called = calls_at_points(*data)["call-rate"]
    rate = (on_validation["val-bias"] == NORMAL).mean()
    assert (called == NORMAL).mean() == pytest.approx(rate, abs=1 / len(labels))


def test_nothing_but_the_oracle_knows_the_labels(data: tuple[np.ndarray, ...]) -> None:
    validation_labels, validation_logits, labels, logits = data
    found = calls_at_points(*data)
    shuffled = calls_at_points(validation_labels, validation_logits, labels[::-1], logits)
    differing = [point for point in POINTS if (found[point] != shuffled[point]).any()]
    assert differing == [ORACLE]
    assert all(score(labels, found[ORACLE]) >= score(labels, found[point]) for point in ("val-bias", "call-rate"))


def test_a_clip_alone_is_called_alike_where_test_is_not_looked_at(data: tuple[np.ndarray, ...]) -> None:
    validation_labels, validation_logits, labels, logits = data
    found = calls_at_points(*data)
    few = calls_at_points(validation_labels, validation_logits, labels[:40], logits[:40])
    for point in set(POINTS) - {ORACLE, *BY_TEST_CLIPS}:
        assert (few[point] == found[point][:40]).all(), point


def test_neither_scale_nor_an_offset_of_the_normal_logit_matters(data: tuple[np.ndarray, ...]) -> None:
    validation_labels, validation_logits, labels, logits = data
    found = calls_at_points(*data)
    moved = [3 * (values + np.array([2.0, 0, 0, 0])) for values in (validation_logits, logits)]
    again = calls_at_points(validation_labels, moved[0], labels, moved[1])
    for point in POINTS:
        assert (again[point] != found[point]).mean() < 0.005, point  # EM and the calibration end where they are close


def test_a_validation_of_one_kind_chooses_nothing(data: tuple[np.ndarray, ...]) -> None:
    _, validation_logits, labels, logits = data
    assert calls_at_points(np.zeros(len(validation_logits), dtype=int), validation_logits, labels, logits) == {}
