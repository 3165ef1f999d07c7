"""The embedded data set: the same for everyone, made of patients, and different in its two domains."""

from __future__ import annotations

import hashlib
import multiprocessing
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
from scipy.stats import ks_2samp

from rsbench.data import synthesis
from rsbench.data.clips import CLIP_COLUMNS, FOUR_WORDS, RECORDING_COLUMNS, ClipTable
from rsbench.data.datasets import DATASETS
from rsbench.data.splits import choose_validation, split
from rsbench.data.synthetic import ADULTS, CHILDREN, VERSION, Domain, read_synthetic, read_synthetic_shift

ICBHI_MIX = {"normal": 0.53, "crackle": 0.27, "wheeze": 0.13, "both": 0.07}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("synthetic")


@pytest.fixture(scope="module")
def adults(root: Path) -> ClipTable:
    return read_synthetic(root)


@pytest.fixture(scope="module")
def children(root: Path) -> ClipTable:
    return read_synthetic_shift(root)


@pytest.fixture(params=["adults", "children"])
def table(request: pytest.FixtureRequest) -> ClipTable:
    return request.getfixturevalue(request.param)


def contents(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.rglob("*") if path.is_file()}


def spectra(table: ClipTable) -> np.ndarray:
    """(recordings, 8) energy in bands of 250 Hz below 2 kHz, in dB against their sum."""
    shares = []
    for path in table.recordings["path"]:
        samples, rate = soundfile.read(path)
        energy = np.abs(np.fft.rfft(samples, 1 << 17)) ** 2
        band = (np.fft.rfftfreq(1 << 17, 1 / rate) // 250).astype(int)
        bands = np.bincount(band, weights=energy)[:8]
        shares.append(10 * np.log10(bands / bands.sum()))
    return np.array(shares)


def test_tables_keep_the_contract(table: ClipTable) -> None:
    assert table.synthetic
    assert not table.partial
    assert tuple(table.clips.columns) == CLIP_COLUMNS
    assert tuple(table.recordings.columns) == RECORDING_COLUMNS
    assert table.clips["clip_id"].is_unique
    assert set(table.clips["recording"]) == set(table.recordings["recording"])
    assert table.dataset in DATASETS.names()
    clips = table.clips.merge(table.recordings, on="recording", suffixes=("", "_of_recording"))
    for column in ("patient", "device", "location", "subset"):
        assert (clips[column] == clips[f"{column}_of_recording"]).all()


def test_every_second_reading_and_generation_gives_the_same_bytes(
    root: Path, children: ClipTable, tmp_path: Path
) -> None:
    pd.testing.assert_frame_equal(read_synthetic_shift(root).clips, children.clips)
    again = read_synthetic_shift(tmp_path)
    pd.testing.assert_frame_equal(again.clips, children.clips)
    folder = Path(children.recordings["path"].iloc[0]).parent
    assert contents(folder) == contents(Path(again.recordings["path"].iloc[0]).parent)


def _read_in_another_process(root: Path) -> list[str]:
    return [*read_synthetic_shift(root).clips["label"]]


def test_two_processes_may_generate_at_once(children: ClipTable, tmp_path: Path) -> None:
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        first, second = pool.map(_read_in_another_process, [tmp_path, tmp_path])
    assert first == second == [*children.clips["label"]]
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == [f"{CHILDREN.name}-v{VERSION}"]


def test_class_mix_is_near_icbhi_and_shifts_with_the_domain(adults: ClipTable, children: ClipTable) -> None:
    for _, part in adults.clips.groupby("subset"):
        share = part["label"].value_counts(normalize=True)
        assert {name: share[name] for name in FOUR_WORDS} == pytest.approx(ICBHI_MIX, abs=0.045)
    normal = (children.clips["label"] == "normal").mean()
    assert normal > (adults.clips["label"] == "normal").mean() + 0.05


def test_patients_are_many_and_on_one_side_only(adults: ClipTable, children: ClipTable) -> None:
    train, test = (set(adults.clips["patient"][adults.clips["subset"] == name]) for name in ("train", "test"))
    assert len(train) >= 35
    assert len(test) >= 30
    assert not train & test
    assert children.clips["patient"].nunique() >= 30
    assert set(children.clips["subset"]) == {"test"}


def test_enough_patients_hold_each_class_for_validation(adults: ClipTable) -> None:
    clips = adults.clips[split("synthetic").train_rows(adults.clips)]
    clips = clips.assign(class_index=[FOUR_WORDS.index(label) for label in clips["label"]])
    for seed in range(5):
        held = clips["patient"].isin(choose_validation(clips, 0.2, seed))
        assert set(clips["label"][held]) == set(clips["label"][~held]) == set(FOUR_WORDS)


@pytest.mark.parametrize(("name", "domain"), [("adults", ADULTS), ("children", CHILDREN)])
def test_recordings_are_16_bit_at_the_domains_rate(name: str, domain: Domain, request: pytest.FixtureRequest) -> None:
    table = request.getfixturevalue(name)
    for path in table.recordings["path"]:
        info = soundfile.info(path)
        assert (info.samplerate, info.channels, info.subtype) == (domain.rate, 1, "PCM_16")


def test_cycles_follow_each_other_inside_the_recording(table: ClipTable) -> None:
    ends = {row.recording: soundfile.info(row.path).duration for row in table.recordings.itertuples()}
    for recording, clips in table.clips.groupby("recording", sort=False):
        assert clips["start_s"].iloc[0] > 0
        assert clips["end_s"].iloc[-1] < ends[recording]
        np.testing.assert_allclose(clips["start_s"].iloc[1:], clips["end_s"].iloc[:-1])
        assert (clips["end_s"] - clips["start_s"]).between(1.0, 3.2).all()


def test_samples_are_sound_and_of_differing_quality(table: ClipTable) -> None:
    peaks, clipped = [], 0
    for path in table.recordings["path"]:
        samples, _ = soundfile.read(path)
        assert np.isfinite(samples).all()
        assert np.abs(samples).max() <= 1
        assert samples.std() > 1e-4
        peaks.append(20 * np.log10(np.abs(samples).max()))
        clipped += (np.abs(samples) > 0.999).sum() > 5
    assert np.ptp(peaks) > 15  # gain
    assert 0 < clipped < len(peaks) / 3


def test_the_domains_sound_different_and_the_parts_of_one_do_not(adults: ClipTable, children: ClipTable) -> None:
    of_adults, of_children = spectra(adults), spectra(children)
    in_train = (adults.recordings["subset"] == "train").to_numpy()
    assert ks_2samp(of_adults, of_children).pvalue.min() < 1e-3
    assert ks_2samp(of_adults[in_train], of_adults[~in_train]).pvalue.min() > 1e-2
    assert not set(adults.clips["device"]) & set(children.clips["device"])
    assert children.clips.eval("end_s - start_s").mean() < 0.85 * adults.clips.eval("end_s - start_s").mean()


CHEST = synthesis.Chest(
    period_s=2.0,
    inspiration_share=0.4,
    expiration_level=0.5,
    breath_hz=400,
    crackle_pitch=1.0,
    fine_share=1.0,
    wheeze_hz=300,
    heart_hz=1.2,
)


def test_a_wheeze_is_harmonic_and_a_crackle_is_short() -> None:
    rng, rate = np.random.default_rng(0), 10_000
    sound = synthesis.wheeze(rng, CHEST, 2 * rate, rate)
    power = np.abs(np.fft.rfft(sound)) ** 2
    frequency_hz = np.fft.rfftfreq(len(sound), 1 / rate)
    drift = (frequency_hz > 300 * 0.6) & (frequency_hz < 300 * 1.5)
    assert power[drift].sum() > 0.5 * power.sum()
    assert (sound != 0).sum() / rate > 0.25
    fine = synthesis.crackle(rng, CHEST, rate)
    energy = np.cumsum(fine**2) / (fine**2).sum()
    assert np.searchsorted(energy, 0.95) / rate < 0.006


def test_noise_is_flat_up_to_its_corner_and_falls_beyond() -> None:
    noise = synthesis.coloured_noise(np.random.default_rng(0), 200_003, 10_000, 500)
    power = np.abs(np.fft.rfft(noise)) ** 2
    frequency_hz = np.fft.rfftfreq(len(noise), 1 / 10_000)
    level = [10 * np.log10(power[(frequency_hz > at - 20) & (frequency_hz < at + 20)].mean()) for at in (50, 500, 2000)]
    assert level[0] - level[1] == pytest.approx(20 * np.log10(1 + 1), abs=1)
    assert level[0] - level[2] == pytest.approx(20 * np.log10(1 + 16), abs=1)
    assert noise.std() == pytest.approx(1, abs=0.01)
