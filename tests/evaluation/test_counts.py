"""Hits per patient, against a loop over clips."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import scipy
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from rsbench.data.clips import FOUR_WORDS
from rsbench.evaluation.counts import Design, count_hits, design_of, rank_hits
from rsbench.evaluation.metrics import abnormal_odds

CLIPS = st.lists(st.tuples(st.sampled_from("abç"), st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=40)


@given(CLIPS)
def test_hits_are_those_of_a_loop_over_clips(clips: list[tuple[str, int, int]]) -> None:
    rows = pd.DataFrame(clips, columns=["patient", "label", "called"])
    design, hits = design_of(rows), count_hits(rows, rows["called"].to_numpy())
    assert list(design.patients) == sorted(set(rows["patient"]))
    support, expected = np.zeros_like(design.support), np.zeros_like(hits)
    for patient, label, called in clips:
        place = design.patients.index(patient)
        support[place, label] += 1
        expected[place, label] += called == label
        expected[place, -1] += label > 0 and called > 0
    np.testing.assert_array_equal(design.support, support)
    np.testing.assert_array_equal(hits, expected)
    assert (hits.dtype, hits.shape) == (np.int32, (len(design.patients), 5))


@given(CLIPS)
def test_a_design_is_its_text_and_knows_its_effective_patients(clips: list[tuple[str, int, int]]) -> None:
    rows = pd.DataFrame(clips, columns=["patient", "label", "called"])
    design = design_of(rows)
    again = Design.parse(design.text())
    assert again.patients == design.patients
    np.testing.assert_array_equal(again.support, design.support)
    assert again.text() == design.text() == design_of(rows[::-1]).text()
    assert design_of(rows.assign(patient=rows["patient"] + "x")).text() != design.text()


def test_effective_patients_against_kish_by_hand() -> None:
    clips = {"a": [4, 2, 0, 1], "b": [4, 1, 0, 0], "c": [4, 0, 0, 0]}
    rows = [(name, label) for name, counts in clips.items() for label, count in enumerate(counts) for _ in range(count)]
    effective = design_of(pd.DataFrame(rows, columns=["patient", "label"])).effective_patients()
    assert effective == pytest.approx(dict(zip(FOUR_WORDS, (3.0, 9 / 5, 0.0, 1.0), strict=True)))


def test_how_clips_rank_adds_up_to_the_auroc_whichever_side_is_counted() -> None:
    """Against scikit-learn, with ties, and clip by clip."""
    generator = np.random.default_rng(1)
    rows = pd.DataFrame({"patient": generator.integers(0, 9, 300).astype(str), "label": generator.integers(0, 4, 300)})
    logits = generator.normal(size=(300, 4)).round(1)
    ranked = rank_hits(rows, logits)
    abnormal, odds = rows["label"].to_numpy() > 0, abnormal_odds(logits)
    area = roc_auc_score(abnormal, odds)
    assert ranked[:, 0].sum() / abnormal.sum() == pytest.approx(area)
    assert ranked[:, 1].sum() / (~abnormal).sum() == pytest.approx(area)
    mine = (rows["patient"] == "3").to_numpy()
    by_hand = sum(np.mean((odds[~abnormal] < one) + (odds[~abnormal] == one) / 2) for one in odds[mine & abnormal])
    assert ranked[3, 0] == pytest.approx(by_hand)


def test_without_one_of_the_kinds_nothing_ranks() -> None:
    rows = pd.DataFrame({"patient": ["a", "b"], "label": [0, 0]})
    assert np.isnan(rank_hits(rows, np.zeros((2, 4)))[:, 1]).all()


@pytest.mark.skipif(tuple(map(int, scipy.__version__.split(".")[:2])) < (1, 15), reason="SciPy summed in another order")
@pytest.mark.parametrize("digits", [0, 1, 12], ids="{} digits".format)
def test_odds_are_to_the_bit_those_of_scipy(digits: int) -> None:
    """So that clips tie, and rank, as they did in records made before."""
    logits = np.random.default_rng(2).normal(scale=30, size=(2000, 4)).round(digits)
    logits[:3] = [[-np.inf, 0, 0, 0], [0, 0, -np.inf, -np.inf], [700, 800, 800, -800]]
    expected = scipy.special.logsumexp(logits[:, 1:], axis=1) - logits[:, 0]
    np.testing.assert_array_equal(abnormal_odds(logits), expected)
