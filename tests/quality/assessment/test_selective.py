"""Errors ordered by quality: against loops over clips, and indices whose worth is known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import softmax

from rsbench.data.clips import FOUR_WORDS
from rsbench.data.tasks import NORMAL
from rsbench.evaluation.metrics import at_operating_point, risk_coverage
from rsbench.quality.assessment.selective import WITHIN, _of_index, _risk_and_area, class_weights

GENERATOR = np.random.default_rng(0)
PATIENTS = np.repeat(np.arange(20), 15)
LABELS = GENERATOR.choice(4, len(PATIENTS), p=[0.5, 0.2, 0.2, 0.1])
WRONG = (GENERATOR.random((1, len(PATIENTS))) < 0.4).astype(float)


def area_by_hand(wrong: np.ndarray, quality: np.ndarray, weights: np.ndarray) -> float:
    """The mean over clips, by their weight, of the share of wrong calls among those that are kept with it."""
    tied = {q: np.average(wrong[quality == q], weights=weights[quality == q]) for q in quality}
    kept = errors = area = 0.0
    for clip in np.argsort(-quality, kind="stable"):
        kept += weights[clip]
        errors += weights[clip] * tied[quality[clip]]
        area += weights[clip] * errors / kept
    return area / kept


def test_area_is_that_of_a_loop_under_any_weights() -> None:
    quality = GENERATOR.random(len(PATIENTS)).round(1)  # with ties
    weights = GENERATOR.exponential(size=(3, len(PATIENTS)))
    risk, area = _risk_and_area(np.vstack([WRONG, 1 - WRONG]), quality, weights)
    for draw in range(3):
        for run, wrong in enumerate((WRONG[0], 1 - WRONG[0])):
            assert risk[draw, run] == pytest.approx(np.average(wrong, weights=weights[draw]))
            assert area[draw, run] == pytest.approx(area_by_hand(wrong, quality, weights[draw]))


def test_with_equal_weights_it_is_the_area_that_runs_store() -> None:
    quality, logits = GENERATOR.random(200).round(1), GENERATOR.normal(size=(200, 4))
    labels = GENERATOR.integers(0, 4, 200)
    stored = risk_coverage(labels, logits, quality)
    wrong = (softmax(logits, axis=1).argmax(axis=1) != labels).astype(float)
    risk, area = _risk_and_area(wrong[None], quality, np.ones((1, 200)))
    assert (risk.item(), area.item()) == pytest.approx((stored["risk"], stored["aurc_quality"]))


def test_the_risk_within_class_is_what_the_score_lacks() -> None:
    called = np.where(WRONG[0] == 1, (LABELS + 1) % 4, LABELS)
    score = at_operating_point(LABELS, np.eye(4)[called])["score"]
    found = _of_index(WRONG, np.zeros(len(LABELS)), LABELS, PATIENTS)[WITHIN].row(0)
    assert found["risk"] == pytest.approx(1 - score / 100)
    assert found["value"] == pytest.approx(0)


def test_classes_weigh_as_in_the_score() -> None:
    weights = class_weights(LABELS)
    assert weights[FOUR_WORDS[NORMAL]] == 0.5
    assert sum(weights.values()) == pytest.approx(1)
    assert class_weights(np.array([1, 1, 2])) == pytest.approx({"crackle": 2 / 3, "wheeze": 1 / 3})


def test_an_index_that_knows_errors_orders_them_in_every_class() -> None:
    for found in _of_index(WRONG, 1 - WRONG[0], LABELS, PATIENTS).values():
        row = found.row(0)
        assert row["low"] > 0
        assert row["aurc"] < row["risk"]


def test_an_index_that_ranks_classes_wins_nothing() -> None:
    """Where a class is hard, an index that only knows the class orders errors overall, and none within."""
    chance = np.array([0.1, 0.4, 0.6, 0.9])[LABELS]
    wrong = (np.random.default_rng(1).random(len(LABELS)) < chance).astype(float)[None]
    quality = -LABELS.astype(float)
    risk, area = _risk_and_area(wrong, quality, np.ones((1, len(LABELS))))
    assert risk.item() - area.item() > 0.1
    assert _of_index(wrong, quality, LABELS, PATIENTS)[WITHIN].row(0)["value"] == pytest.approx(0, abs=1e-12)


def test_an_index_that_knows_nothing_is_rarely_called_worth_something() -> None:
    generator = np.random.default_rng(2)
    claims = []
    for _ in range(100):
        # Errors and qualities that patients differ in, each for itself.
        hard, level = generator.uniform(0.1, 0.7, 20)[PATIENTS], generator.normal(0, 1, 20)[PATIENTS]
        wrong = (generator.random(len(PATIENTS)) < hard).astype(float)[None]
        row = _of_index(wrong, level + generator.normal(0, 1, len(PATIENTS)), LABELS, PATIENTS)[WITHIN].row(0)
        claims.append(not row["low"] <= 0 <= row["high"])
    assert np.mean(claims) <= 0.1
