"""Measuring many clips: each recording decoded once, values kept, and the same whoever measures."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
from numpy.typing import NDArray

from rsbench import QualityIndex, RsbenchError, register_quality
from rsbench.quality import measuring
from rsbench.quality.index import QUALITY, create_quality
from rsbench.quality.indices import _description
from rsbench.quality.measuring import by_all_cores, measure_all, measure_clips

RATE = 4000
NOISE = np.random.default_rng(0).standard_normal(3 * RATE)


@pytest.fixture
def own_registry() -> Iterator[None]:
    with QUALITY.scoped():
        yield


def write_clips(folder: Path) -> pd.DataFrame:
    """Two recordings and four clips of them, out of the recordings' order."""
    folder.mkdir(exist_ok=True)
    soundfile.write(folder / "a.wav", 0.1 * NOISE, RATE)
    soundfile.write(folder / "b.wav", np.linspace(0, 0.9, 2 * RATE), RATE)
    rows = [("b.wav", 0.0, 1.0), ("a.wav", 0.5, 2.5), ("b.wav", 1.0, 2.0), ("a.wav", 0.0, 0.25)]
    return pd.DataFrame(
        [(folder / name, start, end) for name, start, end in rows], columns=["path", "start_s", "end_s"]
    )


class FirstAndLength(QualityIndex):
    """What `measure` was given: its first sample, its length and the rate."""

    def measure(self, samples: NDArray[np.float32], rate: int) -> tuple[float, ...]:
        return float(samples[0]), float(len(samples)), float(rate)


def test_each_clip_is_measured_on_its_own_samples_at_the_native_rate(tmp_path: Path) -> None:
    clips = write_clips(tmp_path)
    ticks: list[tuple[int, int]] = []
    measured = measure_clips(FirstAndLength(), clips, "bytes", lambda done, total: ticks.append((done, total)))
    ramp, noise = (soundfile.read(tmp_path / name)[0] for name in ("b.wav", "a.wav"))
    expected = [[ramp[0], 4000, 4000], [noise[2000], 8000, 4000], [ramp[4000], 4000, 4000], [noise[0], 1000, 4000]]
    np.testing.assert_allclose(measured, expected, atol=1e-6)
    assert ticks == [(1, 2), (2, 2)]


def test_each_recording_is_decoded_once_and_never_again(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clips, decoded = write_clips(tmp_path / "data"), []
    read = measuring.read

    def counting_read(path: Path) -> tuple[NDArray[np.float32], int]:
        decoded.append(path.name)
        return read(path)

    monkeypatch.setattr(measuring, "read", counting_read)
    first = measure_clips(create_quality("aqs"), clips, "bytes")
    assert sorted(decoded) == ["a.wav", "b.wav"]
    again = measure_clips(create_quality("aqs", energy="percentile"), clips, "bytes")
    assert sorted(decoded) == ["a.wav", "b.wav"]
    np.testing.assert_array_equal(again, first)
    measure_clips(create_quality("aqs"), clips, "other bytes")
    measure_clips(create_quality("aqs", entropy="plane"), clips, "bytes")
    measure_clips(create_quality("aqs"), clips.assign(end_s=clips["end_s"] - 0.1), "bytes")
    assert len(decoded) == 8


def test_a_recording_is_decoded_once_for_all_indices_and_tables(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clips, decoded = write_clips(tmp_path / "data"), []
    read = measuring.read
    monkeypatch.setattr(measuring, "read", lambda path: decoded.append(path.name) or read(path))
    indices, tables = [create_quality("aqs"), create_quality("rms"), FirstAndLength()], [clips, clips[:1]]
    apart = [measure_clips(index, table, "apart") for index in indices for table in tables]
    decoded.clear()
    wanted = [(index, table) for index in indices for table in tables]
    for one, other in zip(measure_all(wanted, "bytes"), apart, strict=True):
        np.testing.assert_array_equal(one, other)
    assert sorted(decoded) == ["a.wav", "b.wav"]
    decoded.clear()
    kept = [*wanted[:4], (create_quality("rms"), clips[1:])]
    np.testing.assert_array_equal(measure_all(kept, "bytes")[4], apart[2][1:])
    assert sorted(decoded) == ["a.wav", "b.wav"]  # for the table that is new alone


@pytest.mark.usefixtures("own_registry")
def test_a_value_that_is_no_number_names_its_clip(tmp_path: Path, cache: Path) -> None:
    @register_quality("undefined_test")
    def undefined(samples: NDArray[np.float32], rate: int) -> float:
        return math.nan if len(samples) == 1000 else 1.0

    with pytest.raises(RsbenchError, match=r"gives \(nan,\) for .*a\.wav, 0 to 0\.25 s"):
        measure_clips(create_quality("undefined_test"), write_clips(tmp_path / "data"), "bytes")
    assert not list(cache.rglob("*.npy"))


def of_process(item: int) -> tuple[int, int]:
    return item, os.getpid()


@pytest.mark.usefixtures("own_registry")
def test_processes_measure_where_they_know_the_index_and_it_is_worth_it(monkeypatch: pytest.MonkeyPatch) -> None:
    @register_quality("of_a_notebook")
    def nothing(samples: NDArray[np.float32], rate: int) -> float:
        return 0.0

    monkeypatch.setattr(measuring.os, "cpu_count", lambda: 2)
    shipped, mine = create_quality("aqs"), create_quality("of_a_notebook")
    for indices, measures, elsewhere in (
        ([shipped], 2000, True),
        ([shipped], 1999, False),
        ([shipped, mine], 2000, False),
    ):
        items, processes = zip(*by_all_cores(of_process, range(5), indices, measures), strict=True)
        assert items == (0, 1, 2, 3, 4)
        assert (os.getpid() not in processes) == elsewhere


def test_processes_measure_what_threads_measure(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clips, names = write_clips(tmp_path / "data"), ("snr_floor", "learned_icbhi")
    wanted = [(create_quality(name), table) for name in names for table in (clips, clips[:1])]
    by_threads = measure_all(wanted, "bytes")
    monkeypatch.setattr(measuring, "SHARE", 1)
    monkeypatch.setattr(measuring.os, "cpu_count", lambda: 2)
    for one, other in zip(measure_all(wanted, "the same again"), by_threads, strict=True):
        np.testing.assert_array_equal(one, other)


def test_indices_that_hear_the_same_of_a_clip_hear_it_once(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clips, heard = write_clips(tmp_path), []
    levels = _description._levels

    def counting_levels(samples: NDArray[np.floating]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        heard.append(len(samples))
        return levels(samples)

    alone = [measure_clips(create_quality(name), clips, "alone") for name in ("learned", "learned_icbhi")]
    monkeypatch.setattr(_description, "_levels", counting_levels)
    monkeypatch.setattr(os, "cpu_count", lambda: 1)  # clips of two recordings at a time would push each other out
    together = measure_all([(create_quality(name), clips) for name in ("learned", "learned_icbhi")], "together")
    np.testing.assert_array_equal(together, alone)
    assert len(heard) == len(clips)


def test_a_clip_that_was_changed_in_place_is_heard_again() -> None:
    index = create_quality("learned")
    clip = NOISE.astype(np.float32)
    quiet = index.measure(clip, RATE)
    clip[::2] = 0
    assert index.measure(clip, RATE) != quiet
