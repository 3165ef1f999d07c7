"""Which data sets are the same data: other endings and word lengths are, swapped or cut recordings are not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
from scipy import signal

from rsbench.data.audio import read
from rsbench.data.icbhi import read_icbhi
from rsbench.data.identity import SKETCH_COLUMNS, bytes_id, labels_id, mismatched, sketch

Record = Callable[..., Path]


def sketches(**recordings: tuple[np.ndarray, int]) -> pd.DataFrame:
    rows = {name: sketch(samples, rate) for name, (samples, rate) in recordings.items()}
    return pd.DataFrame.from_dict(rows, orient="index", columns=list(SKETCH_COLUMNS))


def test_labels_do_not_depend_on_paths_endings_or_order(icbhi: Path) -> None:
    table = read_icbhi(icbhi)
    moved = replace(
        table,
        clips=table.clips.iloc[::-1].assign(clip_id="renamed"),
        recordings=table.recordings.iloc[::-1].assign(path="elsewhere.flac"),
    )
    assert labels_id(moved) == labels_id(table)


@pytest.mark.parametrize(
    ("column", "value"),
    [("label", "wheeze"), ("end_s", 1.801), ("patient", "102"), ("subset", "train"), ("recording", "x")],
)
def test_labels_notice_a_changed_clip(icbhi: Path, column: str, value: object) -> None:
    table = read_icbhi(icbhi)
    clips = table.clips.copy()
    clips.loc[1, column] = value
    assert labels_id(replace(table, clips=clips)) != labels_id(table)


def test_labels_notice_a_missing_clip_and_a_missing_recording(icbhi: Path) -> None:
    table = read_icbhi(icbhi)
    assert labels_id(replace(table, clips=table.clips[1:])) != labels_id(table)
    assert labels_id(replace(table, recordings=table.recordings[1:])) != labels_id(table)


def test_bytes_depend_on_names_and_contents_alone() -> None:
    assert bytes_id({"a": "1", "b": "2"}) == bytes_id({"b": "2", "a": "1"}) != bytes_id({"a": "2", "b": "1"})


def test_band_energies_against_a_sum_of_sines() -> None:
    rate, time = 8000, np.arange(80_000) / 8000
    amplitudes = {60: 0.5, 180: 0.1, 400: 0.05, 800: 0.2, 1500: 0.01, 3000: 0.3}
    samples = sum(level * np.sin(2 * np.pi * hz * time) for hz, level in amplitudes.items())
    expected = [10 * np.log10(level**2 / 2) for hz, level in amplitudes.items() if hz < 2000]
    np.testing.assert_allclose(sketch(np.asarray(samples), rate), [10.0, *expected], atol=0.01)


def test_silence_has_a_floor() -> None:
    np.testing.assert_allclose(sketch(np.zeros(4000), 4000)[1:], -80, atol=1e-4)


def test_endings_and_word_lengths_match_even_when_faint(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).standard_normal(40_000)
    faint = 0.002 * signal.sosfilt(signal.butter(8, 200, fs=4000, output="sos"), noise)
    found = []
    for ending, subtype in (("wav", "PCM_16"), ("flac", "PCM_16"), ("wav", "PCM_24"), ("wav", "PCM_32")):
        path = tmp_path / f"{subtype}.{ending}"
        soundfile.write(path, faint, 4000, subtype)
        found.append(sketches(a=read(path)))
    assert all(mismatched(found[0], other) == [] for other in found[1:])


def test_another_rate_matches() -> None:
    samples = np.random.default_rng(0).uniform(-0.5, 0.5, 441_000)
    slower = signal.resample_poly(samples, 160, 441)
    assert mismatched(sketches(a=(samples, 44_100)), sketches(a=(slower, 16_000))) == []


def test_swapped_truncated_and_missing_recordings_do_not_match() -> None:
    rng = np.random.default_rng(0)
    a, b, c = (signal.lfilter([1], [1, -pole], rng.standard_normal(40_000)) * 0.05 for pole in (0.5, 0.6, 0.7))
    whole = sketches(a=(a, 4000), b=(b, 4000), c=(c, 4000))
    assert mismatched(whole, sketches(a=(b, 4000), b=(a, 4000), c=(c, 4000))) == ["a", "b"]
    assert mismatched(whole, sketches(a=(a, 4000), b=(b, 4000), c=(c[:-200], 4000))) == ["c"]
    assert mismatched(whole, sketches(a=(a, 4000), c=(c, 4000))) == ["b"]
    assert mismatched(whole, whole.iloc[::-1]) == []


def test_real_recordings_are_told_apart(real_root: Path) -> None:
    paths = sorted((real_root / "icbhi" / "ICBHI_final_database").glob("*.flac"))[:20]
    rows = np.stack([sketch(*read(path)) for path in paths])
    found = pd.DataFrame(rows, columns=SKETCH_COLUMNS)
    for shift in range(1, len(found)):
        swapped = found.iloc[np.roll(np.arange(len(found)), shift)].set_axis(found.index)
        assert len(mismatched(found, swapped)) == len(found)
