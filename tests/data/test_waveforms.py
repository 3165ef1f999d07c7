"""Decoded and resampled once: the cache of waveforms."""

from __future__ import annotations

import math
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import torchaudio

from rsbench.core.errors import DataError
from rsbench.data import hashing, waveforms
from rsbench.data.audio import read
from rsbench.data.clips import ClipTable, clip_bounds
from rsbench.data.folder import read_folder
from rsbench.data.icbhi import read_icbhi
from rsbench.data.waveforms import of_recording, prepare, resample_directly

Record = Callable[..., Path]


@pytest.fixture
def table(icbhi: Path, cache: Path) -> ClipTable:
    return read_icbhi(icbhi)


def settle(table: ClipTable) -> None:
    """Date the files back, so that their hashes are remembered."""
    for path in table.recordings["path"]:
        os.utime(path, ns=(time.time_ns() - 10**10,) * 2)


def test_recordings_are_decoded_and_resampled_as_torchaudio_does(table: ClipTable) -> None:
    prepared = prepare(table, 16_000)
    assert prepared.recordings == sorted(table.recordings["recording"])
    for index, (name, path) in enumerate(zip(table.recordings["recording"], table.recordings["path"], strict=True)):
        samples, rate = read(Path(path))
        expected = torchaudio.functional.resample(torch.from_numpy(samples), rate, 16_000).numpy()
        found = prepared.samples[prepared.offsets[index] : prepared.offsets[index + 1]]
        np.testing.assert_allclose(found, expected, atol=1e-6)
        assert prepared.durations_s[name] == len(samples) / rate
    assert prepared.offsets[-1] == len(prepared.samples)


def test_the_second_time_nothing_is_decoded_or_hashed(table: ClipTable, monkeypatch: pytest.MonkeyPatch) -> None:
    settle(table)
    steps: list[tuple[int, int]] = []
    first = prepare(table, 8000, lambda done, total: steps.append((done, total)))
    assert steps == [(1, 3), (2, 3), (3, 3)]

    def never(*args: object) -> None:
        raise AssertionError("the cache was not used")

    monkeypatch.setattr(waveforms, "read", never)
    monkeypatch.setattr(hashing, "_sha256", never)
    second = prepare(table, 8000)
    np.testing.assert_array_equal(first.samples, second.samples)
    pd.testing.assert_frame_equal(first.sketch, second.sketch)
    assert first.bytes_id == second.bytes_id


def test_a_changed_file_is_noticed(table: ClipTable, record: Record) -> None:
    settle(table)
    before = prepare(table, 8000)
    record(Path(table.recordings["path"][0]), seed=99)  # same name, length and size
    after = prepare(table, 8000)
    assert after.bytes_id != before.bytes_id
    changed = [
        not np.array_equal(before.samples[one:past], after.samples[one:past])
        for one, past in zip(before.offsets, before.offsets[1:], strict=False)
    ]
    assert changed == [True, False, False]


def test_a_moved_data_set_is_not_decoded_again(table: ClipTable, icbhi: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prepare(table, 8000)
    icbhi.rename(icbhi.with_name("moved"))
    monkeypatch.setattr(waveforms, "read", None)
    prepare(read_icbhi(icbhi.with_name("moved")), 8000)


def test_bytes_do_not_depend_on_the_number_of_threads(
    table: ClipTable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []
    threads = torch.get_num_threads()
    try:
        for count in (1, 4):
            monkeypatch.setenv("RSBENCH_CACHE", str(tmp_path / f"cache{count}"))
            torch.set_num_threads(count)
            found.append(prepare(table, 16_000).samples.tobytes())
            assert torch.get_num_threads() == count
    finally:
        torch.set_num_threads(threads)
    assert found[0] == found[1]


PREPARE = """
import sys
from pathlib import Path
from rsbench.data.icbhi import read_icbhi
from rsbench.data.waveforms import prepare
print(prepare(read_icbhi(Path(sys.argv[1])), 16_000).bytes_id)
"""


def test_two_processes_prepare_one_data_set_at_once(table: ClipTable, icbhi: Path, cache: Path) -> None:
    command = [sys.executable, "-c", PREPARE, str(icbhi)]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    printed = [process.communicate(timeout=120)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert printed == [prepare(table, 16_000).bytes_id + "\n"] * 2
    assert len([path for path in (cache / "waveforms").iterdir() if path.is_dir()]) == 1


def test_of_several_broken_files_the_first_is_named_and_the_rest_counted(table: ClipTable, cache: Path) -> None:
    for path in table.recordings["path"][:2]:
        content = Path(path).read_bytes()
        Path(path).write_bytes(content[: len(content) // 2])
    message = r"101_1b1_Al_sc_Meditron\.wav: truncated.* 1 more recordings are broken"
    with pytest.raises(DataError, match=message):
        prepare(table, 8000)
    assert not any(path.is_dir() for path in (cache / "waveforms").iterdir())


def test_a_file_that_went_away(table: ClipTable) -> None:
    Path(table.recordings["path"][0]).unlink()
    with pytest.raises(DataError, match=r"101_1b1_Al_sc_Meditron\.wav: there is no such recording"):
        prepare(table, 8000)


@pytest.mark.parametrize(("native", "rate"), [(4000, 16_000), (44_100, 16_000), (16_000, 4000), (8001, 800)])
def test_weights_that_are_not_kept_resample_as_torchaudios_do(native: int, rate: int) -> None:
    samples = np.random.default_rng(0).uniform(-0.5, 0.5, native // 2 + 3).astype(np.float32)
    common = math.gcd(native, rate)
    found = resample_directly(samples, native // common, rate // common)
    expected = torchaudio.functional.resample(torch.from_numpy(samples), native, rate).numpy()
    np.testing.assert_allclose(found, expected, atol=1e-4)  # torchaudio's weights are of 24 bits


def test_rates_without_a_common_factor_need_no_table_of_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waveforms, "resample", None)
    tone = np.sin(2 * np.pi * 400 * np.arange(44_099) / 44_099).astype(np.float32)
    found = of_recording("a", tone, 44_099, 16_000).samples
    expected = np.sin(2 * np.pi * 400 * np.arange(16_000) / 16_000)
    np.testing.assert_allclose(found[100:-100], expected[100:-100], atol=2e-3)


def test_a_late_end_is_clipped_and_counted_and_a_later_one_an_error() -> None:
    clips = pd.DataFrame({"clip_id": ["a:0", "a:1"], "recording": "a", "start_s": [0.0, 1.5], "end_s": [1.5, 2.1]})
    bounded, clipped = clip_bounds(clips, pd.Series({"a": 2.0}))
    assert (bounded["end_s"].tolist(), clipped) == ([1.5, 2.0], 1)
    assert clip_bounds(bounded, {"a": 2.0})[1] == 0
    with pytest.raises(DataError, match=r"Recording a is 1\.990 s long, but its clip a:1 runs from 1\.500 to 2\.100"):
        clip_bounds(clips, pd.Series({"a": 1.99}))
    with pytest.raises(DataError, match=r"clip a:1 runs from 1\.500"):
        clip_bounds(clips.assign(end_s=1.5), pd.Series({"a": 1.5}))


def test_recordings_without_clips_are_prepared_too(tmp_path: Path, record: Record, cache: Path) -> None:
    record(tmp_path / "a.wav")
    (tmp_path / "clips.csv").write_text("path,start_s,end_s,label,patient\na.wav,0,1,normal,p\n")
    table = read_folder(tmp_path, "mine")
    prepared = prepare(replace(table, clips=table.clips[:0]), 4000)
    assert prepared.recordings == ["a"]
    assert prepared.sketch.loc["a", "duration_s"] == 2.0
