"""Learned indices: what their files say is what they compute; gain, rate and cut leave q alone; damage does not."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from rsbench.data.audio import read
from rsbench.data.sprsound import read_sprsound
from rsbench.quality.degradation import DEGRADATIONS, degrade
from rsbench.quality.index import create_quality
from rsbench.quality.indices._description import FEATURES, describe
from rsbench.quality.indices.learned import FittedModel, fitted_file, length_place

NAMES = ("learned", "learned_icbhi")
RATE = 8000
GENERATOR = np.random.default_rng(0)


def breath(seconds: float, rate: int = RATE, period_s: float = 3.0) -> NDArray[np.float32]:
    """Low-passed noise that swells over a floor: at every rate the same sound, but for the noise's draws."""
    length = round(seconds * rate)
    spectrum = np.fft.rfft(np.random.default_rng(1).standard_normal(length))
    hz = np.fft.rfftfreq(length, 1 / rate)
    noise = np.fft.irfft(spectrum / (1 + (hz / 250) ** 3), length)
    swell = 0.15 + np.clip(np.sin(2 * math.pi * np.arange(length) / rate / period_s), 0, 1)
    return (0.05 * noise / noise.std() * swell).astype(np.float32)


def quality(name: str, samples: NDArray[np.float32], rate: int = RATE) -> float:
    index = create_quality(name)
    measures = np.array([index.measure(samples, rate)])
    return float(index.score(measures, index.fit(measures))[0])


# --- the file and what is computed from it ---


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("seconds", [0.3, 0.5, 2.0, 8.0, 12.0])
def test_q_is_what_the_file_says(name: str, seconds: float) -> None:
    """By hand from the JSON: standardised, limited, weighted by length, through the logistic function."""
    clip = breath(seconds)
    file = json.loads(fitted_file(name).read_text())
    place = min(1, max(0, math.log(seconds / 0.5) / math.log(16)))

    def weight(row: dict[str, float]) -> float:
        return (1 - place) * row["weight_0.5s"] + place * row["weight_8s"]

    odds = weight(file["intercept"])
    for value, row in zip(describe(clip, RATE), file["features"], strict=True):
        odds += weight(row) * max(-row["limit"], min(row["limit"], (value - row["mean"]) / row["scale"]))
    assert quality(name, clip) == pytest.approx(1 / (1 + math.exp(-odds)), abs=1e-9)


@pytest.mark.parametrize("name", NAMES)
def test_a_file_survives_reading_and_writing(name: str) -> None:
    text = fitted_file(name).read_text()
    assert FittedModel.from_json(text).as_json() == text
    assert [row["name"] for row in json.loads(text)["features"]] == [feature.name for feature in FEATURES]


@pytest.mark.parametrize("name", NAMES)
def test_an_index_says_on_whom_it_was_fitted(name: str) -> None:
    index, file = create_quality(name), json.loads(fitted_file(name).read_text())
    assert list(index.fitted_on) == file["fitted_on"]
    for dataset, patients in index.seen.items():
        assert any(part.startswith(dataset) for part in index.fitted_on)
        assert len(patients) == file["provenance"]["patients"]
    assert index.fitted_sha256 in index.identity


def test_learned_icbhi_saw_no_patient_of_a_test_split() -> None:
    """156 and 218 are on both sides of the official split; neither index may have seen them."""
    index = create_quality("learned_icbhi")
    assert set(index.seen) == {"icbhi"}
    assert not index.seen["icbhi"] & {"156", "218"}


def test_length_is_placed_by_its_logarithm() -> None:
    np.testing.assert_allclose(length_place([0.1, 0.5, 1, 2, 4, 8, 30]), [0, 0, 0.25, 0.5, 0.75, 1, 1])


# --- features ---


def test_features_have_names_units_and_meanings() -> None:
    assert len({feature.name for feature in FEATURES}) == len(FEATURES) == len(describe(breath(1), RATE))
    assert all(feature.unit and feature.meaning for feature in FEATURES)


def test_features_mean_what_they_say() -> None:
    def feature(name: str, samples: NDArray[np.float32]) -> float:
        return dict(zip((feature.name for feature in FEATURES), describe(samples, RATE), strict=True))[name]

    clip = breath(12)
    steady = breath(12, period_s=1e9)
    assert feature("middle_rise", clip) > feature("middle_rise", steady) + 5
    assert feature("swells_6db", clip) == pytest.approx(1 / 3, abs=0.1)  # one swell every three seconds
    assert feature("above_6db", steady) < 0.05
    knocked = clip.copy()
    knocked[:: RATE // 2] += 0.5
    assert feature("top_burst", knocked) > feature("top_burst", clip) + 10
    assert feature("missing", clip) == 0
    assert feature("missing", degrade(clip, RATE, "band_limit", 250, GENERATOR)) > 20
    assert feature("lost", degrade(clip, RATE, "dropout", 0.2, GENERATOR)) == pytest.approx(0.2, abs=0.01)
    assert feature("clipped", degrade(clip, RATE, "clipping", 0.2, GENERATOR)) > 0.1


# --- what q must not depend on, and what it must ---


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("gain_db", [-12, 12])
def test_gain_leaves_q_alone(name: str, gain_db: float) -> None:
    for seconds in (0.5, 3, 9):
        clip = breath(seconds)
        louder = degrade(clip, RATE, "gain", gain_db, GENERATOR)
        assert quality(name, louder) == pytest.approx(quality(name, clip), abs=1e-3)
        rounded = np.round(louder * 2**15) / 2**15  # as a 16-bit file keeps it
        assert quality(name, rounded.astype(np.float32)) == pytest.approx(quality(name, clip), abs=0.05)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("rate", [4000, 10_000, 44_100])
def test_q_means_the_same_at_every_rate(name: str, rate: int) -> None:
    from scipy.signal import resample_poly

    clip = breath(6, 44_100)
    common = math.gcd(rate, 44_100)
    same = resample_poly(clip, rate // common, 44_100 // common).astype(np.float32)
    assert quality(name, same, rate) == pytest.approx(quality(name, clip, 44_100), abs=0.03)


@pytest.fixture(scope="module")
def clean(real_root: Path) -> list[tuple[NDArray[np.float32], int]]:
    """A normal recording of each of some patients whom neither index was fitted on."""
    recordings = read_sprsound(real_root / "sprsound").recordings
    chosen = recordings[(recordings["subset"] == "inter2022") & (recordings["record_label"] == "Normal")]
    return [read(Path(path)) for path in chosen.groupby("patient")["path"].first()[:16]]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", [name for name, degradation in DEGRADATIONS.items() if degradation.harms])
def test_damage_lowers_q_of_clean_recordings(
    clean: list[tuple[NDArray[np.float32], int]], name: str, kind: str
) -> None:
    """The mean over recordings falls from clean to the severest level; from level to level it may rise by a hair."""
    levels = DEGRADATIONS[kind].levels[1:]  # the mildest is hardly heard
    means = [np.mean([quality(name, samples, rate) for samples, rate in clean])]
    for level in levels:
        damaged = [degrade(samples, rate, kind, level, np.random.default_rng(2)) for samples, rate in clean]
        means.append(np.mean([quality(name, samples, rate) for samples, (_, rate) in zip(damaged, clean, strict=True)]))
    assert max(np.diff(means)) < 0.06, means
    assert means[-1] < means[0] - 0.15, means


def test_learned_tells_poor_from_good_recordings_of_unseen_patients(real_root: Path) -> None:
    recordings = read_sprsound(real_root / "sprsound").recordings
    unseen = recordings[~recordings["patient"].isin(create_quality("learned").seen["sprsound"])]
    poor = unseen[unseen["record_label"] == "Poor Quality"]
    good = unseen[unseen["record_label"] == "Normal"].groupby("patient").head(1)
    scores = [[quality("learned", *read(Path(path))) for path in part["path"]] for part in (good, poor)]
    wins = np.mean([better > worse for better in scores[0] for worse in scores[1]])
    assert wins > 0.7
