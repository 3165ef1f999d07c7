"""Clean clips under damage: which are taken, and what is said of indices whose answer is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from scipy import stats

from rsbench import QualityIndex
from rsbench.core.display import Display
from rsbench.core.errors import PluginError
from rsbench.data.sources import Roots
from rsbench.quality.assessment.data import QualityData, load_quality_data
from rsbench.quality.assessment.robustness import (
    clean_clips,
    curves,
    degraded_qualities,
    falls_steadily,
    robustness,
    severity_correlation,
)
from rsbench.quality.assessment.study import QualityStudy, study_indices
from rsbench.quality.degradation import DEGRADATIONS

QUIET = Display(quiet=True)


class Gaps(QualityIndex):
    """Less q for every sample that is exactly 0."""

    def measure(self, samples: NDArray[np.float32], rate: int) -> tuple[float, ...]:
        return (float(np.mean(samples != 0)),)

    def score(self, measures: NDArray[np.float64], normaliser: object) -> NDArray[np.float64]:
        return measures[:, 0]


class Level(Gaps):
    """The level, as a share of four times full scale."""

    def measure(self, samples: NDArray[np.float32], rate: int) -> tuple[float, ...]:
        return (float(np.sqrt(np.mean(samples**2)) / 4),)


@pytest.fixture(scope="module")
def data(ward: Path) -> QualityData:
    return load_quality_data("ward", Roots((ward,)), QUIET)


@pytest.fixture(scope="module")
def study(data: QualityData) -> QualityStudy:
    return study_indices(data, {"gaps": Gaps(), "level": Level()}, QUIET)


@pytest.fixture(scope="module")
def qualities(study: QualityStudy) -> pd.DataFrame:
    return degraded_qualities(study, clean_clips(study, 20), QUIET)


def test_clean_clips_are_normal_and_of_no_poor_recording(study: QualityStudy) -> None:
    everything = clean_clips(study, 10_000)
    clips = study.data.clips
    expected = clips[(clips["label"] == "normal") & clips["recording"].str.endswith("_N")]
    assert set(everything["clip_id"]) == set(expected["clip_id"])


def test_every_patient_gives_a_clip_before_any_gives_two(study: QualityStudy) -> None:
    patients = study.data.clips["patient"].nunique()
    assert clean_clips(study, patients)["patient"].is_unique
    assert clean_clips(study, patients + 3)["patient"].value_counts().max() == 2
    pd.testing.assert_frame_equal(clean_clips(study, 5), clean_clips(study, 5))
    assert set(clean_clips(study, 5)["clip_id"]) != set(clean_clips(study, 5, seed=1)["clip_id"])


def test_an_index_of_gaps_falls_by_the_share_that_is_lost(qualities: pd.DataFrame) -> None:
    frame = curves(qualities)
    found = frame[(frame["index"] == "gaps") & (frame["degradation"] == "dropout")]
    np.testing.assert_allclose(found["value"], 1 - found["level"].fillna(0), atol=0.01)
    row = robustness(qualities).set_index(["index", "degradation"]).loc[("gaps", "dropout")]
    worst = DEGRADATIONS["dropout"].levels[-1]
    assert (row["clean"], row["worst"], row["value"]) == pytest.approx((1, 1 - worst, worst), abs=0.01)
    assert (row["monotone"], row["spearman"]) == pytest.approx((1, -1))


def test_an_index_of_level_moves_with_gain_and_not_with_noise(qualities: pd.DataFrame) -> None:
    found = robustness(qualities).set_index(["index", "degradation"])
    level = qualities[(qualities["index"] == "level") & (qualities["severity"] == 0)]["quality"]
    loudest = 10 ** (max(DEGRADATIONS["gain"].levels) / 20)
    assert found.loc[("level", "gain"), "largest"] == pytest.approx((loudest - 1) * level.max(), rel=1e-3)
    assert found.loc[("level", "noise"), "largest"] == pytest.approx(0, abs=1e-4)
    assert found.loc[("gaps", "gain"), "largest"] == 0
    assert np.isnan(found.loc[("level", "gain"), ["value", "monotone", "spearman"]].astype(float)).all()


def test_a_steady_fall_rises_nowhere_and_ends_below() -> None:
    by_level = np.array([[0.9, 0.5, 0.5, 0], [0.9, 0.5, 0.505, 0], [0.9, 0.5, 0.6, 0], [0.5] * 4, [0, 0.1, 0.2, 0.3]])
    assert falls_steadily(by_level).tolist() == [True, True, False, False, False]


def test_correlation_with_severity_is_spearmans() -> None:
    by_level = np.random.default_rng(0).normal(size=(6, 5)).round(1)
    expected = [stats.spearmanr(row, np.arange(5)).statistic for row in by_level]
    np.testing.assert_allclose(severity_correlation(by_level), expected)
    assert severity_correlation(np.ones((1, 5))).tolist() == [0]


class Fragile(Gaps):
    """NaN for a clip that has lost something."""

    def measure(self, samples: NDArray[np.float32], rate: int) -> tuple[float, ...]:
        return (np.nan if np.mean(samples == 0) > 0.3 else 1.0,)


def test_an_index_that_breaks_under_damage_is_named(data: QualityData) -> None:
    study = study_indices(data, {"fragile": Fragile()}, QUIET)
    with pytest.raises(PluginError, match=r"Fragile gives \(nan,\) for \w+:\d with dropout at 0.4"):
        degraded_qualities(study, clean_clips(study, 2), QUIET)
