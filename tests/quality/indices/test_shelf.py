"""The indices that only measure: on sounds whose quality is known, against naive formulas, on oddities."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import scipy
from numpy.typing import NDArray

from rsbench.quality.degradation import DEGRADATIONS, degrade
from rsbench.quality.index import QUALITY, create_quality
from rsbench.quality.indices._sound import spectrogram
from rsbench.quality.indices.artefacts import in_runs

Samples = NDArray[np.float32]

RATE = 4000
TIME_S = np.arange(12 * RATE) / RATE
NOISE = np.random.default_rng(0).standard_normal(len(TIME_S))
# Noise that swells every three seconds over its own floor, a quarter as loud: breath.
BREATH = NOISE * (0.25 + np.clip(np.sin(2 * math.pi * TIME_S / 3), 0, 1))
ALL = ("aqs", "rms", "flatness", "band_share", "breath_modulation", "clipping", "dropout", "snr_levels", "snr_floor")


def raw(name: str, samples: np.ndarray, rate: int = RATE, **options: object) -> float:
    return float(create_quality(name, **options).measure(samples.astype(np.float32), rate)[0])


def test_the_whole_shelf_is_registered() -> None:
    create_quality("rms")
    assert {*ALL, "learned", "learned_icbhi"} <= set(QUALITY.names())


@pytest.mark.parametrize("name", [*ALL, "learned", "learned_icbhi"])
@pytest.mark.parametrize("clip", ["silence", "offset", "one sample", "two samples", "click", "square"])
def test_every_index_measures_oddities(name: str, clip: str) -> None:
    oddities = {
        "silence": np.zeros(3000),
        "offset": np.full(3000, 0.3),
        "one sample": np.array([0.2]),
        "two samples": np.array([0.2, -0.1]),
        "click": np.eye(1, 3000, 40)[0],
        "square": np.sign(np.sin(2 * math.pi * 100 * TIME_S[:3000])),
    }
    index = create_quality(name)
    for rate in (4000, 44_100):
        measured = index.measure(oddities[clip].astype(np.float32), rate)
        assert np.isfinite(measured).all()
        scores = index.score(np.array([measured]), index.fit(np.array([measured])))
        assert ((scores >= 0) & (scores <= 1)).all()


@pytest.mark.parametrize("name", [name for name in ALL if name not in ("aqs", "rms")])
def test_only_level_follows_the_gain(name: str) -> None:
    assert raw(name, 0.01 * BREATH) == pytest.approx(raw(name, BREATH), abs=1e-5)


def test_rms_is_in_db_of_full_scale() -> None:
    tone = np.sin(2 * math.pi * 100 * TIME_S)
    assert raw("rms", tone) == pytest.approx(10 * math.log10(0.5), abs=1e-4)
    assert raw("rms", 0.1 * tone) == pytest.approx(10 * math.log10(0.5) - 20, abs=1e-4)
    assert raw("rms", np.zeros(5)) == -120


def test_flatness_is_its_formula() -> None:
    """Median over frames of the arithmetic over the geometric mean, frame by frame through the plain DFT."""
    window = 0.5 - 0.5 * np.cos(2 * math.pi * np.arange(128) / 128)
    found = []
    for start in range(0, len(BREATH) - 127, 64):
        frame = BREATH[start : start + 128]
        power = np.abs(np.fft.rfft(window * (frame - frame.mean()))) ** 2
        kept = power[2:] * np.where(np.arange(2, 65) == 64, 1, 2)  # 62.5 Hz to 2 kHz; one-sided
        found.append(10 * math.log10(kept.mean()) - 10 * np.log10(kept).mean())
    assert raw("flatness", BREATH) == pytest.approx(np.median(found), abs=1e-3)
    assert raw("flatness", NOISE) < raw("flatness", np.sin(2 * math.pi * 300 * TIME_S) + 0.1 * NOISE)


def test_band_share_is_the_energy_outside_the_band() -> None:
    low, high = (np.sin(2 * math.pi * hz * TIME_S) for hz in (300, 1200))
    assert raw("band_share", 2 * low + high) == pytest.approx(0.8, abs=1e-3)
    assert raw("band_share", 2 * low + high, low_hz=1000, high_hz=1500) == pytest.approx(0.8, abs=1e-3)
    assert raw("band_share", 2 * low + high, low_hz=200, high_hz=500) == pytest.approx(0.2, abs=1e-3)


def test_band_share_leaves_out_what_only_some_rates_hold() -> None:
    time_s = np.arange(44_100) / 44_100
    low, high = (np.sin(2 * math.pi * hz * time_s) for hz in (300, 1200))
    hiss = np.sin(2 * math.pi * 6000 * time_s)
    assert raw("band_share", low + high + 5 * hiss, 44_100) == pytest.approx(0.5, abs=0.01)


def test_breath_is_told_from_steady_and_from_jerky_sound() -> None:
    jerky = NOISE * (0.25 + np.clip(np.sin(2 * math.pi * TIME_S * 5), 0, 1))
    breath, steady, knocks = (raw("breath_modulation", sound) for sound in (BREATH, NOISE, jerky))
    assert breath > 0.7
    assert steady < 0.2
    assert knocks < 0.2


@pytest.mark.parametrize("share", [0.05, 0.3])
def test_clipping_and_dropout_count_what_was_damaged(share: float) -> None:
    tone = (np.sin(2 * math.pi * 50 * TIME_S) * (1 + TIME_S)).astype(np.float32)
    generator = np.random.default_rng(1)
    assert raw("clipping", degrade(tone, RATE, "clipping", share, generator)) == pytest.approx(1 - share, abs=0.02)
    noise = NOISE.astype(np.float32)
    assert raw("clipping", noise) > 0.999
    assert raw("dropout", degrade(noise, RATE, "dropout", share, generator)) == pytest.approx(1 - share, abs=0.01)
    assert raw("dropout", noise) == 1
    assert raw("dropout", np.zeros(100)) == 0


@pytest.mark.parametrize("name", ["clipping", "dropout"])
def test_an_undamaged_share_is_a_quality_as_it_stands(name: str) -> None:
    index = create_quality(name)
    np.testing.assert_array_equal(index.score(np.array([[0.2], [0.9]]), index.fit(np.array([[0.4]]))), [0.2, 0.9])


def test_runs_are_found_as_a_loop_finds_them() -> None:
    generator = np.random.default_rng(2)
    for least in (1, 2, 3, 5):
        true = generator.random(200) < 0.6
        expected = np.zeros(200, bool)
        for start in range(200):
            for end in range(start + least, 201):
                if true[start:end].all():
                    expected[start:end] = True
        np.testing.assert_array_equal(in_runs(true, least), expected)


@pytest.mark.parametrize(("length", "hop"), [(256, 64), (256, 128), (81, 41), (2, 1), (1, 1)])
def test_spectrograms_are_those_of_scipy(length: int, hop: int) -> None:
    sound = 0.3 + 0.1 * NOISE[:20_000]  # too long for one go
    frequencies, power = spectrogram(sound, RATE, length, hop)
    window = scipy.signal.get_window("hann", length)
    hz, _, expected = scipy.signal.spectrogram(sound, RATE, window, noverlap=length - hop, detrend="constant")
    np.testing.assert_array_equal(frequencies, hz)
    np.testing.assert_allclose(power, expected, rtol=1e-9, atol=1e-20)


@pytest.mark.parametrize("name", ["snr_levels", "snr_floor"])
def test_snr_estimates_fall_with_noise(name: str) -> None:
    breath = BREATH * (BREATH**2 > 0)  # breath alone
    pauses = breath * (np.sin(2 * math.pi * TIME_S / 3) > 0)
    generator = np.random.default_rng(3)
    snrs = [raw(name, degrade(pauses.astype(np.float32), RATE, "noise", level, generator)) for level in (30, 20, 10, 0)]
    assert snrs == sorted(snrs, reverse=True)
    assert raw(name, pauses) <= 60


def test_snr_levels_is_the_range_of_levels() -> None:
    tone = np.sin(2 * math.pi * 500 * TIME_S)
    steps = np.concatenate([tone, 0.1 * tone])
    assert raw("snr_levels", steps) == pytest.approx(20, abs=0.1)


def test_aqs_hears_the_clip_at_its_own_rate_or_at_16_khz() -> None:
    native, resampled = (create_quality("aqs", rate=rate) for rate in ("native", "16khz"))
    wide = np.random.default_rng(4).standard_normal(16_000).astype(np.float32)
    np.testing.assert_allclose(native.measure(wide, 16_000), resampled.measure(wide, 16_000))
    narrow = NOISE.astype(np.float32)
    # Three quarters of the band are empty at 16 kHz: ln(1/4) less entropy over ln(257) instead of ln(65).
    own, upsampled = native.measure(narrow, RATE), resampled.measure(narrow, RATE)
    assert upsampled[0] == pytest.approx(own[0] * math.log(65) / math.log(257), abs=0.03)
    assert upsampled[1] == pytest.approx(own[1], rel=0.05)


@pytest.mark.parametrize(
    ("name", "degradation"),
    [("clipping", "clipping"), ("dropout", "dropout"), ("snr_levels", "noise"), ("snr_floor", "noise")],
)
def test_an_index_falls_with_the_damage_that_it_is_for(name: str, degradation: str) -> None:
    def quality(level: float) -> float:
        damaged: Callable[[], Samples] = lambda: degrade(  # noqa: E731
            BREATH.astype(np.float32), RATE, degradation, level, np.random.default_rng(5)
        )
        return raw(name, damaged())

    found = [quality(level) for level in DEGRADATIONS[degradation].levels]
    assert found == sorted(found, reverse=True)
    assert found[0] > found[-1]
