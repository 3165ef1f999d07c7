"""Metrics against scikit-learn, against loops a reader can check by eye, and against relations that must hold."""

from __future__ import annotations

import math
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.special import softmax
from sklearn import metrics as sk

from rsbench.data.clips import FOUR_WORDS
from rsbench.evaluation.metrics import (
    at_operating_point,
    calibration,
    mean_auroc,
    predicted_classes,
    risk_coverage,
    sp_se_curve,
    threshold_free,
)

# Logits on a coarse grid, so that ties happen.
GRID = st.integers(-8, 8).map(lambda step: step / 4)
NORMAL, CRACKLE, WHEEZE, BOTH = range(4)


@st.composite
def clips(draw: st.DrawFn, smallest: int = 1) -> tuple[np.ndarray, np.ndarray]:
    count = draw(st.integers(smallest, 24))
    labels = draw(arrays(np.int64, count, elements=st.integers(0, 3)))
    return labels, draw(arrays(np.float64, (count, 4), elements=GRID))


@pytest.fixture(scope="module")
def some() -> tuple[np.ndarray, np.ndarray]:
    """400 clips with ICBHI's class mix and logits that know something."""
    generator = np.random.default_rng(7)
    labels = generator.choice(4, size=400, p=(0.53, 0.27, 0.13, 0.07))
    return labels, generator.normal(size=(400, 4)) + 1.2 * np.eye(4)[labels]


def same(ours: float, theirs: float) -> bool:
    return math.isclose(ours, theirs, rel_tol=1e-9, abs_tol=1e-9) or (math.isnan(ours) and math.isnan(theirs))


def test_official_formula_on_a_confusion_matrix_made_by_hand() -> None:
    confusion = np.array([[60, 25, 10, 5], [12, 20, 4, 4], [5, 2, 12, 1], [3, 3, 2, 2]])
    labels, called = (np.repeat(axis, confusion.ravel()) for axis in np.indices((4, 4)).reshape(2, -1))
    figures = at_operating_point(labels, np.eye(4)[called])
    assert figures["sp"] == pytest.approx(60.0)
    assert figures["se"] == pytest.approx(100 * (20 + 12 + 2) / 70)
    assert figures["se_two_class"] == pytest.approx(100 * (70 - 20) / 70)
    assert figures["score"] == pytest.approx((60 + 100 * 34 / 70) / 2)
    assert figures["score_two_class"] == pytest.approx((60 + 100 * 50 / 70) / 2)
    assert [figures[f"support_{name}"] for name in FOUR_WORDS] == [100, 40, 20, 10]
    assert [figures[f"recall_{name}"] for name in FOUR_WORDS] == pytest.approx([60, 50, 60, 20])


def test_agrees_with_scikit_learn(some: tuple[np.ndarray, np.ndarray]) -> None:
    labels, logits = some
    called, probabilities = logits.argmax(axis=1), softmax(logits, axis=1)
    figures = at_operating_point(labels, logits)
    assert figures["macro_f1"] == pytest.approx(100 * sk.f1_score(labels, called, average="macro"))
    assert figures["balanced_accuracy"] == pytest.approx(100 * sk.balanced_accuracy_score(labels, called))
    free = threshold_free(labels, logits)
    abnormal = 1 - probabilities[:, NORMAL]
    assert free["auroc_abnormal"] == pytest.approx(sk.roc_auc_score(labels != NORMAL, abnormal))
    assert free["auprc_abnormal"] == pytest.approx(sk.average_precision_score(labels != NORMAL, abnormal))
    for key, classes in {"auroc_crackle": [CRACKLE, BOTH], "auroc_wheeze": [WHEEZE, BOTH]}.items():
        chance = probabilities[:, classes].sum(axis=1)
        assert free[key] == pytest.approx(sk.roc_auc_score(np.isin(labels, classes), chance))
    areas = [free[f"auroc_{name}"] for name in ("abnormal", "crackle", "wheeze")]
    assert mean_auroc(labels, logits) == pytest.approx(np.mean(areas))
    without_crackles = labels[~np.isin(labels, [CRACKLE, BOTH])], logits[~np.isin(labels, [CRACKLE, BOTH])]
    free = threshold_free(*without_crackles)
    assert mean_auroc(*without_crackles) == pytest.approx((free["auroc_abnormal"] + free["auroc_wheeze"]) / 2)
    raw = calibration(labels, logits)
    assert raw["nll"] == pytest.approx(sk.log_loss(labels, probabilities))
    assert raw["brier"] == pytest.approx(((probabilities - np.eye(4)[labels]) ** 2).sum(axis=1).mean())


@settings(max_examples=50)
@given(clips(), GRID)
def test_agrees_with_a_loop_over_clips(drawn: tuple[np.ndarray, np.ndarray], offset: float) -> None:
    labels, logits = drawn
    hits, two_class, clips_of = [0] * 4, 0, [0] * 4
    for label, scores in zip(labels, logits + offset * np.eye(4)[NORMAL], strict=True):
        called = max(range(4), key=lambda index: (scores[index], -index))
        clips_of[label] += 1
        hits[label] += called == label
        two_class += label != NORMAL and called != NORMAL
    figures = at_operating_point(labels, logits, offset)
    abnormal = sum(clips_of[1:])
    assert same(figures["sp"], 100 * hits[0] / clips_of[0] if clips_of[0] else math.nan)
    assert same(figures["se"], 100 * sum(hits[1:]) / abnormal if abnormal else math.nan)
    assert same(figures["se_two_class"], 100 * two_class / abnormal if abnormal else math.nan)
    for index, name in enumerate(FOUR_WORDS):
        recall = 100 * hits[index] / clips_of[index] if clips_of[index] else math.nan
        assert same(figures[f"recall_{name}"], recall)


@settings(max_examples=50)
@given(clips(), st.randoms(use_true_random=False))
def test_the_order_of_clips_does_not_matter(drawn: tuple[np.ndarray, np.ndarray], random: Random) -> None:
    labels, logits = drawn
    order = random.sample(range(len(labels)), len(labels))
    quality = labels / 4 + logits[:, 0]  # any number that belongs to the clip

    def everything(rows: list[int]) -> dict[str, float]:
        chosen = labels[rows], logits[rows]
        return {
            **at_operating_point(*chosen),
            **threshold_free(*chosen),
            **calibration(*chosen, temperature=2.0),
            **risk_coverage(*chosen, quality[rows]),
        }

    before, after = everything(list(range(len(labels)))), everything(order)
    assert all(same(before[key], after[key]) for key in before)


@settings(max_examples=50)
@given(clips())
def test_two_class_sensitivity_is_never_the_smaller(drawn: tuple[np.ndarray, np.ndarray]) -> None:
    figures = at_operating_point(*drawn)
    assert not figures["se_two_class"] < figures["se"]


def test_the_ends_of_the_offset(some: tuple[np.ndarray, np.ndarray]) -> None:
    always, never = (at_operating_point(*some, offset) for offset in (math.inf, -math.inf))
    assert (always["sp"], always["se"], always["score"]) == (100, 0, 50)
    assert (never["sp"], never["se_two_class"]) == (0, 100)


@settings(max_examples=50)
@given(clips())
def test_argmax_at_no_offset(drawn: tuple[np.ndarray, np.ndarray]) -> None:
    np.testing.assert_array_equal(predicted_classes(drawn[1]), drawn[1].argmax(axis=1))


@settings(max_examples=50)
@given(clips())
def test_every_row_of_the_curve_is_an_operating_point(drawn: tuple[np.ndarray, np.ndarray]) -> None:
    curve = sp_se_curve(*drawn)
    assert (curve["offset"].diff().dropna() > 0).all()
    for row in curve.itertuples():
        figures = at_operating_point(*drawn, row.offset)
        assert same(row.sp, figures["sp"])
        assert same(row.se, figures["se"])
        assert same(row.se_two_class, figures["se_two_class"])


@pytest.mark.parametrize("wanted", [80, 90])
def test_sensitivity_at_a_specificity(some: tuple[np.ndarray, np.ndarray], wanted: int) -> None:
    labels, logits = some
    fine = [at_operating_point(labels, logits, offset) for offset in np.linspace(-12, 12, 4001)]
    reached = next(figures for figures in fine if figures["sp"] >= wanted)
    assert threshold_free(labels, logits)[f"se_at_sp{wanted}"] == pytest.approx(reached["se"], abs=0.6)


def test_class_wise_calibration_error_is_that_of_a_loop_over_bins(some: tuple[np.ndarray, np.ndarray]) -> None:
    labels, logits = some
    probabilities = softmax(logits, axis=1)
    error = 0.0
    for index in range(4):
        for low in np.arange(15) / 15:
            inside = (probabilities[:, index] >= low) & (probabilities[:, index] < low + 1 / 15)
            if inside.any():
                gap = probabilities[inside, index].mean() - (labels[inside] == index).mean()
                error += inside.mean() * abs(gap) / 4
    assert calibration(labels, logits)["ece"] == pytest.approx(error)


def test_certain_and_right_has_no_error_and_temperature_divides(some: tuple[np.ndarray, np.ndarray]) -> None:
    labels, logits = some
    assert calibration(labels, 1e4 * np.eye(4)[labels]) == {"nll": 0, "brier": 0, "ece": 0}
    halved = calibration(labels, logits / 2)
    both = calibration(labels, logits, temperature=2.0)
    assert {key: both[f"{key}_scaled"] for key in halved} == pytest.approx(halved)


def test_area_under_risk_is_that_of_a_loop_over_coverages(some: tuple[np.ndarray, np.ndarray]) -> None:
    labels, logits = some
    quality = np.random.default_rng(3).permutation(len(labels)) / len(labels)
    wrong = logits.argmax(axis=1) != labels
    figures = risk_coverage(labels, logits, quality)
    for key, rank in {"aurc_confidence": softmax(logits, axis=1).max(axis=1), "aurc_quality": quality}.items():
        best_first = sorted(range(len(labels)), key=lambda clip: -rank[clip])
        risks = [wrong[best_first[: kept + 1]].mean() for kept in range(len(labels))]
        assert figures[key] == pytest.approx(np.mean(risks))
    assert figures["risk"] == pytest.approx(wrong.mean())
    assert figures["aurc_confidence"] < figures["risk"]


def test_a_ranking_of_ties_only_has_the_risk_of_all(some: tuple[np.ndarray, np.ndarray]) -> None:
    figures = risk_coverage(*some, np.full(len(some[0]), 0.5))
    assert figures["aurc_quality"] == pytest.approx(figures["risk"])


def test_unknown_quality_has_no_area(some: tuple[np.ndarray, np.ndarray]) -> None:
    assert math.isnan(risk_coverage(*some, np.full(len(some[0]), np.nan))["aurc_quality"])


@pytest.mark.parametrize(
    ("label", "undefined"),
    [
        (NORMAL, {"se", "score", "se_two_class", "recall_both", "auroc_abnormal", "auprc_abnormal", "se_at_sp80"}),
        (BOTH, {"sp", "score", "recall_normal", "auroc_abnormal", "auroc_crackle", "auroc_wheeze", "se_at_sp90"}),
    ],
)
def test_what_the_labels_cannot_define_is_nan(label: int, undefined: set[str]) -> None:
    labels, logits = np.full(5, label), np.eye(4)[[0, 1, 2, 3, 0]]
    figures = at_operating_point(labels, logits) | threshold_free(labels, logits)
    assert {key for key in undefined if not math.isnan(figures[key])} == set()
    assert not math.isnan(figures["macro_f1"])
    assert not math.isnan(figures["balanced_accuracy"])


def test_no_clip_at_all_is_nan_everywhere() -> None:
    labels, logits = np.zeros(0, dtype=int), np.zeros((0, 4))
    figures = at_operating_point(labels, logits) | threshold_free(labels, logits)
    figures |= {"mean_auroc": mean_auroc(labels, logits)}
    figures |= calibration(labels, logits, 2.0) | risk_coverage(labels, logits, np.zeros(0))
    supports = {f"support_{name}" for name in FOUR_WORDS}
    assert all(math.isnan(value) for key, value in figures.items() if key not in supports)
    assert {figures[key] for key in supports} == {0}


@settings(max_examples=50)
@given(clips(smallest=2), st.floats(0.1, 100))
def test_scale_changes_calibration_and_nothing_else(drawn: tuple[np.ndarray, np.ndarray], scale: float) -> None:
    labels, logits = drawn
    # Powers of two leave every comparison of floats as it was.
    scale = 2.0 ** round(math.log2(scale))
    before, after = at_operating_point(labels, logits), at_operating_point(labels, logits * scale)
    assert all(same(before[key], after[key]) for key in before)
