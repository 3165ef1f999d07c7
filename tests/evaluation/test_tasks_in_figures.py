"""Figures of tasks of any number of classes, against scikit-learn, and under other names and orders of classes."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
import sklearn.metrics as sk
from hypothesis import given, settings
from hypothesis import strategies as st

from rsbench.data.tasks import ICBHI_4, LabelMap, Task, task
from rsbench.evaluation.counts import CodedClips
from rsbench.evaluation.metrics import at_operating_point, mean_auroc, predicted_classes, sprsound_score, threshold_free
from rsbench.evaluation.scoring import prediction_columns
from rsbench.evaluation.statistics import counts_of, shares_of
from rsbench.experiment.pooling import of_patients

NAMES = ("n", "a", "b", "c", "d", "e", "f")


def task_of(classes: int) -> Task:
    names = NAMES[:classes]
    return Task("any", names, "n", (LabelMap("any", 1, dict(zip(names, names, strict=True))),))


def drawn(seed: int, classes: int, clips: int = 60) -> tuple[Any, Any]:
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, classes, clips)
    return labels, generator.normal(size=(clips, classes)) + 1.5 * np.eye(classes)[labels]


@pytest.mark.parametrize("classes", [2, 3, 5, 7])
@pytest.mark.parametrize("seed", range(3))
def test_macro_figures_are_those_of_scikit_learn(classes: int, seed: int) -> None:
    labels, logits = drawn(seed, classes)
    of = task_of(classes)
    figures = at_operating_point(labels, logits, task=of) | threshold_free(labels, logits, of)
    called = logits.argmax(axis=1)
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    assert figures["balanced_accuracy"] == pytest.approx(100 * sk.balanced_accuracy_score(labels, called))
    assert figures["macro_f1"] == pytest.approx(100 * sk.f1_score(labels, called, average="macro"))
    areas = [sk.roc_auc_score(labels == index, probabilities[:, index]) for index in range(classes)]
    assert figures["macro_auroc"] == pytest.approx(np.mean(areas))
    if classes > 2:
        assert np.mean(areas) == pytest.approx(sk.roc_auc_score(labels, probabilities, multi_class="ovr"))
    recalls = sk.recall_score(labels, called, average=None)
    assert [figures[f"recall_{name}"] for name in of.classes] == pytest.approx(100 * recalls)


def test_a_class_without_clips_leaves_the_means() -> None:
    labels, logits = drawn(0, 4)
    few = labels < 3
    figures = threshold_free(labels[few], logits[few], task_of(4))
    areas = [sk.roc_auc_score(labels[few] == index, predicted_odds(logits[few], index)) for index in range(3)]
    assert figures["macro_auroc"] == pytest.approx(np.mean(areas))
    assert math.isnan(at_operating_point(labels[few], logits[few], task=task_of(4))["recall_c"])


def predicted_odds(logits: Any, index: int) -> Any:
    return logits[:, index] - np.log(np.exp(np.delete(logits, index, axis=1)).sum(axis=1))


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), order=st.permutations(range(1, 5)), offset=st.floats(-2, 2))
def test_another_order_of_the_abnormal_classes_permutes_the_figures(seed: int, order: list[int], offset: float) -> None:
    places = [0, *order]  # the class that stands at each place
    of = task_of(5)
    findings = {"some": ("a", "c")}
    first = dataclasses.replace(of, findings=findings)
    other = dataclasses.replace(of, classes=tuple(of.classes[place] for place in places), findings=findings)
    labels, logits = drawn(seed, 5)
    moved = np.argsort(places)[labels]
    one, two = (
        at_operating_point(truth, scores, offset, under) | threshold_free(truth, scores, under)
        for truth, scores, under in ((labels, logits, first), (moved, logits[:, places], other))
    )
    assert two == pytest.approx(one, nan_ok=True)
    assert mean_auroc(moved, logits[:, places], other) == pytest.approx(mean_auroc(labels, logits, first))


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_the_four_classes_under_other_names_have_the_same_figures(seed: int) -> None:
    other = dict(zip(ICBHI_4.classes, ("clear", "c", "w", "c+w"), strict=True))
    renamed = Task(
        "renamed",
        tuple(other.values()),
        "clear",
        (LabelMap("renamed", 1, {name: name for name in other.values()}),),
        {name: tuple(other[one] for one in classes) for name, classes in ICBHI_4.findings.items()},
    )
    labels, logits = drawn(seed, 4)
    one, two = (
        at_operating_point(labels, logits, 0.3, of) | threshold_free(labels, logits, of) for of in (ICBHI_4, renamed)
    )
    assert list(two.values()) == list(one.values())
    named = {f"{kind}_{name}": f"{kind}_{new}" for kind in ("recall", "support") for name, new in other.items()}
    assert list(two) == [named.get(key, key) for key in one]


@pytest.mark.parametrize("seed", range(3))
def test_labels_of_a_multi_label_task_are_those_of_scikit_learn(seed: int) -> None:
    of = task("crackle-wheeze")
    labels, logits = drawn(seed, 4)
    figures = at_operating_point(labels, logits, task=of) | threshold_free(labels, logits, of)
    has = np.array([[0, 0], [1, 0], [0, 1], [1, 1]])  # crackle, wheeze of the four combinations
    truth, called = has[labels], has[logits.argmax(axis=1)]
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True) @ has
    assert figures["macro_f1"] == pytest.approx(100 * sk.f1_score(truth, called, average="macro"))
    assert figures["macro_auroc"] == pytest.approx(sk.roc_auc_score(truth, probabilities, average="macro"))
    for place, name in enumerate(of.findings):
        assert figures[f"f1_{name}"] == pytest.approx(100 * sk.f1_score(truth[:, place], called[:, place]))
        assert figures[f"sensitivity_{name}"] == pytest.approx(100 * sk.recall_score(truth[:, place], called[:, place]))
        specificity = sk.recall_score(truth[:, place], called[:, place], pos_label=0)
        assert figures[f"specificity_{name}"] == pytest.approx(100 * specificity)
    balanced = [sk.balanced_accuracy_score(truth[:, place], called[:, place]) for place in range(2)]
    assert figures["balanced_accuracy"] == pytest.approx(100 * np.mean(balanced))
    of_four = at_operating_point(labels, logits)
    assert [figures[name] for name in ("sp", "se", "score")] == [of_four[name] for name in ("sp", "se", "score")]


@pytest.mark.parametrize("classes", [2, 5])
def test_counts_per_patient_give_the_figures(classes: int) -> None:
    labels, logits = drawn(1, classes)
    of = task_of(classes)
    rows = pd.DataFrame({"patient": [f"p{index % 7}" for index in range(len(labels))], "label": labels})
    coded = CodedClips.of(rows, of)
    hits, support = coded.hits(predicted_classes(logits))[None, None].astype(float), coded.design.support.astype(float)
    expected = at_operating_point(labels, logits, task=of)
    for figure in shares_of(classes):
        assert counts_of(figure, hits, support).of_runs()[0, 0] == pytest.approx(expected[figure]), figure
    assert list(coded.design.effective_patients(of)) == list(of.classes)


@pytest.mark.parametrize(("sp", "se", "score"), [(80.0, 60.0, (70 + 2 * 80 * 60 / 140) / 2), (100.0, 0.0, 25.0)])
def test_the_score_of_sprsound_is_between_two_means(sp: float, se: float, score: float) -> None:
    assert sprsound_score(sp, se) == pytest.approx(score)
    assert (sprsound_score(0.0, 0.0), math.isnan(sprsound_score(math.nan, 50.0))) == (0.0, True)
    labels, logits = drawn(2, 7, 200)
    figures = at_operating_point(labels, logits, task=task("sprsound-7"))
    assert figures["sprsound_score"] == sprsound_score(figures["sp"], figures["se"])
    assert "sprsound_score" not in at_operating_point(labels, logits, task=task_of(7))


def test_a_patient_is_judged_by_all_recordings_together() -> None:
    of = task_of(3)
    _, logits = drawn(3, 3, 12)
    frame = pd.DataFrame(logits, columns=list(of.logit_columns)).assign(
        patient=[f"p{index % 4}" for index in range(12)],
        label=[index % 4 % 3 for index in range(12)],
        device=["d", "d", "d", "e"] * 2 + ["f", "d", "d", "e"],
        quality=np.linspace(0, 1, 12),
        length_s=1.0,
    )
    told = {"part": "test", "subset": "test", "fold": -1, "selection": "val", "margin_rad": math.nan, "location": "l"}
    frame = frame.assign(**told, clip_id=[f"r{index}" for index in range(12)], recording="r")
    pooled = of_patients(frame[list(prediction_columns(of))], of)
    assert pooled["clip_id"].tolist() == ["p0", "p1", "p2", "p3"]
    assert pooled["device"].tolist() == ["", "d", "d", "e"]
    assert (pooled["length_s"] == 3).all()
    for number, row in pooled.iterrows():
        mine = logits[int(str(number)) :: 4]
        expected = np.mean([scores - np.log(np.exp(scores).sum()) for scores in mine], axis=0)
        assert row[list(of.logit_columns)].to_numpy(float) == pytest.approx(expected)
        assert row["quality"] == pytest.approx(np.linspace(0, 1, 12)[int(str(number)) :: 4].mean())
