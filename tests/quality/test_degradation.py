"""Degradations: of the degree they say, no louder for it, and worse from level to level."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from rsbench import RsbenchError
from rsbench.quality.degradation import DEGRADATIONS, degrade, degrade_by_levels

RATE = 8000
SOUND = np.random.default_rng(0).normal(scale=0.1, size=4 * RATE).cumsum().astype(np.float32)
SOUND -= SOUND.mean()


def damaged(name: str, level: float, samples: NDArray[np.float32] = SOUND, rate: int = RATE) -> NDArray[np.float32]:
    return degrade(samples, rate, name, level, np.random.default_rng(7))


def rms(samples: NDArray[np.float32]) -> float:
    return float(np.sqrt(np.mean(samples.astype(np.float64) ** 2)))


@pytest.mark.parametrize("snr_db", [20.0, 0.0, -5.0])
def test_noise_has_its_snr_and_lies_below_2_khz(snr_db: float) -> None:
    noisy = damaged("noise", snr_db).astype(np.float64)
    clean = SOUND * (noisy @ SOUND / (SOUND.astype(np.float64) @ SOUND))  # noise is drawn apart from it
    noise = noisy - clean
    assert 20 * np.log10(rms(clean) / rms(noise)) == pytest.approx(snr_db, abs=0.3)
    power = np.abs(np.fft.rfft(noise)) ** 2
    hz = np.fft.rfftfreq(len(noise), 1 / RATE)
    above = power[hz > 2000].sum() / power.sum()
    own = np.abs(np.fft.rfft(SOUND)) ** 2
    assert above < 0.01 + own[hz > 2000].sum() / own.sum()


@pytest.mark.parametrize("gain_db", [-12.0, 6.0])
def test_gain_is_a_factor_and_does_not_clip(gain_db: float) -> None:
    np.testing.assert_allclose(damaged("gain", gain_db), SOUND * 10 ** (gain_db / 20), rtol=1e-6)


def test_a_band_limit_takes_what_is_above_it() -> None:
    time_s = np.arange(RATE) / RATE
    tones = {hz: np.sin(2 * np.pi * hz * time_s) for hz in (200, 400, 800)}
    limited = damaged("band_limit", 400, np.sum(list(tones.values()), axis=0).astype(np.float32))
    low, middle, high = (abs(2 * np.mean(limited * tone)) for tone in tones.values())
    assert 20 * np.log10(middle / low) == pytest.approx(-3.01, abs=0.05)
    assert 20 * np.log10(high / low) == pytest.approx(-48, abs=1)


@pytest.mark.parametrize("share", [0.01, 0.2])
def test_clipping_flattens_that_share_of_samples(share: float) -> None:
    clipped = np.abs(damaged("clipping", share))
    assert np.mean(clipped >= clipped.max() * 0.9999) == pytest.approx(share, abs=1e-3)


@pytest.mark.parametrize("share", [0.02, 0.4])
def test_dropout_silences_that_share_in_gaps_and_leaves_the_rest(share: float) -> None:
    lost = damaged("dropout", share) == 0
    assert lost.mean() == pytest.approx(share, abs=1e-3)
    np.testing.assert_array_equal(damaged("dropout", share)[~lost], SOUND[~lost])
    gaps = np.diff(np.flatnonzero(np.diff(lost.astype(int))))
    assert gaps.max() >= 0.04 * RATE


@pytest.mark.parametrize("name", ["noise", "band_limit", "clipping"])
def test_damage_makes_nothing_louder(name: str) -> None:
    for level in DEGRADATIONS[name].levels:
        assert rms(damaged(name, level)) == pytest.approx(rms(SOUND), rel=1e-5)


@pytest.mark.parametrize("name", [name for name, degradation in DEGRADATIONS.items() if degradation.harms])
def test_levels_go_from_mild_to_severe(name: str) -> None:
    like = [np.corrcoef(SOUND, damaged(name, level))[0, 1] for level in DEGRADATIONS[name].levels]
    assert like == sorted(like, reverse=True)
    assert like[0] > 0.95


def test_a_milder_levels_gaps_are_among_a_severer_ones() -> None:
    mild, severe = (damaged("dropout", share) == 0 for share in (0.1, 0.2))
    assert (severe[mild]).all()


@pytest.mark.parametrize(("name", "transforms"), [("noise", 1), ("band_limit", 1), ("dropout", 0)])
def test_what_levels_share_is_made_once(name: str, transforms: int, monkeypatch: pytest.MonkeyPatch) -> None:
    levels = DEGRADATIONS[name].levels
    one_by_one = [damaged(name, level) for level in levels]
    made, rfft = [], np.fft.rfft
    monkeypatch.setattr(np.fft, "rfft", lambda samples: made.append(len(samples)) or rfft(samples))
    generator = np.random.default_rng(7)
    np.testing.assert_array_equal(list(degrade_by_levels(SOUND, RATE, name, levels, generator)), one_by_one)
    assert len(made) == transforms
    drawn_for_one = np.random.default_rng(7)
    degrade(SOUND, RATE, name, levels[0], drawn_for_one)
    assert generator.bit_generator.state == drawn_for_one.bit_generator.state


@pytest.mark.parametrize("name", sorted(DEGRADATIONS))
@settings(max_examples=15)
@given(length=st.integers(1, 700), rate=st.sampled_from([4000, 10_000, 44_100]), silent=st.booleans())
def test_any_clip_can_be_damaged(name: str, length: int, rate: int, silent: bool) -> None:
    clip = np.zeros(length, np.float32) if silent else SOUND[:length]
    for level in DEGRADATIONS[name].levels:
        found = damaged(name, level, clip, rate)
        assert found.shape == clip.shape
        assert found.dtype == np.float32
        assert np.isfinite(found).all()
        assert not silent or not found.any()


def test_an_unknown_degradation_is_refused() -> None:
    with pytest.raises(RsbenchError, match=r"no degradation 'nosie'\. Did you mean 'noise'"):
        damaged("nosie", 1.0)
