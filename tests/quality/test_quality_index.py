"""Quality indices: AQS on signals whose quality is known, fitting on training clips, the cache, the controls."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.typing import NDArray

from rsbench import QualityIndex, RsbenchError, register_quality
from rsbench.data.audio import read
from rsbench.quality.index import QUALITY, apply_control, create_quality
from rsbench.quality.indices.aqs import spectral_entropy

RATE = 4000
GENERATOR = np.random.default_rng(0)
NOISE = GENERATOR.standard_normal(3 * RATE)
TONE = np.sin(2 * math.pi * 500 * np.arange(3 * RATE) / RATE)
READINGS = ("mean_spectrum", "frames", "plane")


@pytest.fixture
def own_registry() -> Iterator[None]:
    with QUALITY.scoped():
        yield


# --- spectral entropy ---


@pytest.mark.parametrize("of", READINGS)
def test_entropy_runs_from_a_tone_to_noise(of: str) -> None:
    tone, both, noise = (spectral_entropy(x, RATE, of) for x in (TONE, TONE + 0.3 * NOISE, NOISE))
    assert 0 <= tone < both < noise <= 1
    assert noise > 0.85
    # A steady tone fills its row of the plane, so only the two others come near 0.
    assert of == "plane" or tone < 0.25


@pytest.mark.parametrize("of", READINGS)
def test_entropy_knows_neither_gain_nor_offset(of: str) -> None:
    entropy = spectral_entropy(NOISE, RATE, of)
    assert spectral_entropy(0.01 * NOISE, RATE, of) == pytest.approx(entropy)
    assert spectral_entropy(NOISE + 5, RATE, of) == pytest.approx(entropy)


def test_entropy_of_the_mean_spectrum_is_its_formula() -> None:
    """Against a loop: Hann frames of 128 samples, 64 apart, less their mean, through the plain DFT."""
    window = 0.5 - 0.5 * np.cos(2 * math.pi * np.arange(128) / 128)
    power = np.zeros(65)
    for start in range(0, len(NOISE) - 127, 64):
        frame = NOISE[start : start + 128]
        spectrum = np.fft.rfft(window * (frame - frame.mean()))
        # A one-sided spectrum holds the power of the negative frequencies too.
        power += np.abs(spectrum) ** 2 * np.where((np.arange(65) == 0) | (np.arange(65) == 64), 1, 2)
    share = power / power.sum()
    share = share[share > 0]
    assert spectral_entropy(NOISE, RATE, "mean_spectrum") == pytest.approx(
        -(share * np.log(share)).sum() / math.log(65)
    )


@pytest.mark.parametrize("of", ["mean_spectrum", "frames"])
def test_pauses_do_not_look_like_noise(of: str) -> None:
    with_pauses = np.concatenate([TONE, np.zeros(3 * RATE)])
    assert spectral_entropy(with_pauses, RATE, of) == pytest.approx(spectral_entropy(TONE, RATE, of), abs=0.02)


@pytest.mark.parametrize("of", READINGS)
@pytest.mark.parametrize("length", [1, 2, 3, 50, 127, 129, 5000])
def test_silent_and_short_clips_have_an_entropy(of: str, length: int) -> None:
    assert spectral_entropy(np.zeros(length), RATE, of) == 1
    assert 0 <= spectral_entropy(NOISE[:length], RATE, of) <= 1


# --- aqs ---


def test_aqs_is_its_formula() -> None:
    index = create_quality("aqs", alpha=0.5, beta=0.2)
    measures = np.column_stack([np.linspace(0.2, 0.9, 101), np.linspace(0, 1, 101)])
    scores = index.score(measures, {"low": 0.05, "high": 0.95})
    energy = np.clip((measures[:, 1] - 0.05) / 0.9, 0, 1)
    np.testing.assert_allclose(scores, np.clip(1 - 0.5 * measures[:, 0] + 0.2 * energy, 0, 1))


def test_aqs_ranks_strong_tones_above_weak_noise() -> None:
    index = create_quality("aqs")
    clips = [gain * sound for sound in (TONE, NOISE) for gain in (0.5, 0.01)]
    measures = np.array([index.measure(clip.astype(np.float32), RATE) for clip in clips])
    strong_tone, weak_tone, strong_noise, weak_noise = index.score(measures, index.fit(measures))
    assert strong_tone >= weak_tone > strong_noise > weak_noise


@pytest.mark.parametrize("energy", ["percentile", "rank", "full_scale"])
@given(rms=st.lists(st.floats(0, 1), min_size=1, max_size=30), unseen=st.floats(0, 1))
@example(rms=[0, 5e-324], unseen=1)
def test_aqs_is_a_quality_and_does_not_fall_with_energy(energy: str, rms: list[float], unseen: float) -> None:
    index = create_quality("aqs", energy=energy)
    training = np.column_stack([np.full(len(rms), 0.6), sorted(rms)])
    normaliser = json.loads(json.dumps(index.fit(training)))
    scores = index.score(training, normaliser)
    assert ((scores >= 0) & (scores <= 1)).all()
    assert (np.diff(scores) >= 0).all()
    assert 0 <= index.score(np.array([[0.6, unseen]]), normaliser)[0] <= 1


def test_rank_is_the_share_of_weaker_training_clips() -> None:
    index = create_quality("aqs", alpha=0.5, beta=0.5, energy="rank")
    training_rms = np.random.default_rng(1).lognormal(size=1001)
    normaliser = index.fit(np.column_stack([np.ones(1001), training_rms]))
    weaker = [(training_rms < rms).mean() for rms in (0.3, 1.0, 2.0)]
    scores = index.score(np.array([[1, 0.3], [1, 1.0], [1, 2.0]]), normaliser)
    np.testing.assert_allclose(scores, 0.5 + 0.5 * np.array(weaker), atol=0.01)


def test_aqs_options_are_checked() -> None:
    with pytest.raises(RsbenchError, match=r"quality\.alpha=-1 for 'aqs'"):
        create_quality("aqs", alpha=-1)
    with pytest.raises(RsbenchError, match=r"quality\.entropy='flatness' for 'aqs'"):
        create_quality("aqs", entropy="flatness")


# --- one's own index ---


@pytest.mark.usefixtures("own_registry")
def test_a_plain_function_is_an_index() -> None:
    @register_quality("loudest_test")
    def loudest(samples: NDArray[np.float32], rate: int, *, power: float = 1.0) -> float:
        return float(np.abs(samples).max() ** power)

    index = create_quality("loudest_test", power=2.0)
    assert index.measure(np.array([0.5, -0.8], np.float32), RATE) == (pytest.approx(0.64),)
    measures = np.arange(101.0)[:, None]
    normaliser = index.fit(measures)
    assert normaliser == {"low": 5.0, "high": 95.0}
    np.testing.assert_allclose(index.score(np.array([[0.0], [5], [50], [95], [200]]), normaliser), [0, 0, 0.5, 1, 1])


class Length(QualityIndex):
    def measure(self, samples: np.ndarray, rate: int) -> tuple[float, ...]:
        return (len(samples) / rate,)


def test_an_index_that_hardly_varies_in_training_is_a_step() -> None:
    scores = Length().score(np.array([[-1.0], [0], [1e-9], [3]]), Length().fit(np.zeros((5, 1))))
    assert scores.tolist() == [0, 0, 1, 1]


def test_several_values_need_their_own_fit() -> None:
    with pytest.raises(RsbenchError, match=r"measures 2 values a clip.*must define fit and score"):
        Length().fit(np.zeros((5, 2)))


@pytest.mark.parametrize("thing", [float, 3, json])
def test_anything_else_is_refused(thing: object) -> None:
    with pytest.raises(RsbenchError, match=r"@register_quality\('wrong'\) takes"):
        register_quality("wrong")(thing)  # type: ignore[type-var]


# --- controls ---


@pytest.fixture
def quality() -> NDArray[np.float64]:
    return np.random.default_rng(2).random(50)


TRAIN = np.arange(50) < 30


def test_constant_is_the_mean_of_training(quality: NDArray[np.float64]) -> None:
    np.testing.assert_allclose(apply_control(quality, "constant", TRAIN, 0), quality[:30].mean())


def test_inverted_turns_the_order_round(quality: NDArray[np.float64]) -> None:
    inverted = apply_control(quality, "inverted", TRAIN, 0)
    np.testing.assert_array_equal(np.argsort(inverted), np.argsort(quality)[::-1])
    np.testing.assert_allclose(inverted + quality, 1)


def test_shuffled_stays_within_training_and_within_the_rest(quality: NDArray[np.float64]) -> None:
    shuffled = apply_control(quality, "shuffled", TRAIN, 0)
    assert sorted(shuffled[:30]) == sorted(quality[:30])
    assert sorted(shuffled[30:]) == sorted(quality[30:])
    assert abs(np.corrcoef(shuffled, quality)[0, 1]) < 0.5
    np.testing.assert_array_equal(shuffled, apply_control(quality, "shuffled", TRAIN, 0))
    assert not np.array_equal(shuffled, apply_control(quality, "shuffled", TRAIN, 1))


def test_no_control_leaves_quality_alone(quality: NDArray[np.float64]) -> None:
    np.testing.assert_array_equal(apply_control(quality, "none", TRAIN, 0), quality)


# --- real recordings ---


def test_aqs_on_real_recordings(real_root: Path) -> None:
    """Every real clip has a quality in [0, 1], and AQS varies among them."""
    paths = sorted((real_root / "icbhi" / "ICBHI_final_database").glob("*.flac"))[::12]
    index = create_quality("aqs")
    measures = np.array([index.measure(*_first_seconds(path)) for path in paths])
    assert ((measures[:, 0] > 0) & (measures[:, 0] < 1)).all()
    scores = index.score(measures, index.fit(measures))
    assert ((scores >= 0) & (scores <= 1)).all()
    assert scores.std() > 0.02


def _first_seconds(path: Path) -> tuple[NDArray[np.float32], int]:
    samples, rate = read(path)
    return samples[: 10 * rate], rate
