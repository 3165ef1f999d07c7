"""What figures show of a run, beside loops and other people's code."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.special import softmax
from sklearn.metrics import confusion_matrix

from rsbench.report.page.provenance import ranges
from rsbench.report.page.summaries import COVERAGE, SP_GRID, OfRun, read_run
from rsbench.results.run import Run

LOGITS = ["logit_normal", "logit_crackle", "logit_wheeze", "logit_both"]


@pytest.fixture(scope="module")
def stored_run(several_kinds: Path) -> Run:
    return Run(next(several_kinds.glob("runs/qlung-*s1-*")))


@pytest.fixture(scope="module")
def run(stored_run: Run) -> OfRun:
    return read_run(stored_run, "far", "val")


@pytest.fixture(scope="module")
def clips(stored_run: Run) -> pd.DataFrame:
    stored = pd.read_parquet(stored_run.path / "predictions" / "far.parquet")
    return stored[(stored["selection"] == "val") & (stored["part"] == "test")]


def test_the_curve_is_that_of_every_offset(run: OfRun, clips: pd.DataFrame) -> None:
    logits, labels = clips[LOGITS].to_numpy(dtype="float64"), clips["label"].to_numpy()
    gaps = logits[:, 1:].max(axis=1) - logits[:, 0]
    points = []
    for offset in [-np.inf, *sorted(gaps), np.inf]:
        called = np.where(gaps <= offset, 0, 1 + logits[:, 1:].argmax(axis=1))
        points.append((100 * np.mean(called[labels == 0] == 0), 100 * np.mean((called == labels)[labels > 0])))
    for sp, se in zip(SP_GRID, run.se, strict=True):
        assert se == pytest.approx(max(point[1] for point in points if point[0] >= sp))


def test_confusion_is_that_of_scikit_learn(run: OfRun, clips: pd.DataFrame) -> None:
    expected = confusion_matrix(clips["label"], clips[LOGITS].to_numpy().argmax(axis=1), normalize="true")
    np.testing.assert_allclose(run.confusion, expected)


def test_reliability_counts_every_clip_in_its_bin(run: OfRun, clips: pd.DataFrame) -> None:
    shares = softmax(clips[LOGITS].to_numpy(dtype="float64"), axis=1)
    hits = shares.argmax(axis=1) == clips["label"]
    for index in range(15):
        inside = [place for place, share in enumerate(shares.max(axis=1)) if int(share * 15) == index]
        assert run.raw.clips[index] == len(inside)
        assert run.raw.hits[index] == sum(hits.iloc[place] for place in inside)
        assert run.raw.confidence[index] == pytest.approx(sum(shares[place].max() for place in inside))
    assert run.scaled is not None
    assert run.scaled.clips.sum() == len(clips)


def test_risk_is_that_of_the_clips_kept(run: OfRun, clips: pd.DataFrame, stored_run: Run) -> None:
    wrong = clips[LOGITS].to_numpy().argmax(axis=1) != clips["label"]
    kept_first = wrong.iloc[np.argsort(-softmax(clips[LOGITS].to_numpy(dtype="float64"), axis=1).max(axis=1))]
    for share, risk in zip(COVERAGE, run.risk["confidence"], strict=True):
        assert risk == pytest.approx(kept_first.iloc[: int(np.ceil(share * len(clips)))].mean())
    figures = stored_run.metrics["val"]["far"]["risk_coverage"]
    assert run.risk["quality"][-1] == pytest.approx(figures["risk"])


def test_seeds_are_written_as_they_are_asked_for() -> None:
    assert ranges([2, 0, 1, 7, 5, 6, 9]) == "0-2,5-7,9"
    assert ranges([3]) == "3"
