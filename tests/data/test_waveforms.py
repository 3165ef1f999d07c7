"""Decoded once, cut on the fly: the cache of waveforms and the gathering of clips."""

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
from hypothesis import given, settings
from hypothesis import strategies as st

from rsbench.core.errors import DataError
from rsbench.data import hashing, waveforms
from rsbench.data.audio import read
from rsbench.data.clips import ClipTable, clip_bounds
from rsbench.data.folder import read_folder
from rsbench.data.icbhi import read_icbhi
from rsbench.data.waveforms import ClipGatherer, Waveforms, of_recording, prepare, resample_directly

Record = Callable[..., Path]
CPU = torch.device("cpu")


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


RATE = 1000
FADES = st.just(0) | st.integers(2, 50)  # torchaudio's fade of one sample is 0 going in and 1 going out


def made_of(*recordings: np.ndarray) -> Waveforms:
    """Waveforms without a cache, at 1000 Hz."""
    names = [f"r{index}" for index in range(len(recordings))]
    lengths = [len(samples) for samples in recordings]
    samples = np.concatenate(recordings).astype(np.float32)
    durations_s = pd.Series(lengths, index=names) / RATE
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    return Waveforms(RATE, samples, offsets, names, durations_s, pd.DataFrame(), "")


def reference(samples: np.ndarray, start_s: float, end_s: float, n_samples: int, edge_fade: int) -> np.ndarray:
    """The published chain, step by step with torchaudio's own fades."""
    whole = torchaudio.transforms.Fade(edge_fade, edge_fade, "linear")(torch.from_numpy(samples).float())
    clip = whole[int(start_s * RATE) : int(end_s * RATE)]
    if len(clip) >= n_samples:
        return clip[:n_samples].numpy()
    padded = clip.repeat(n_samples // len(clip) + 1)[:n_samples]
    return torchaudio.transforms.Fade(0, edge_fade, "linear")(padded).numpy()


@st.composite
def cuts(draw: st.DrawFn) -> tuple[list[int], list[tuple[int, float, float]]]:
    """Lengths of recordings, and clips (recording, start_s, end_s) of at least a sample."""
    lengths = draw(st.lists(st.integers(60, 400), min_size=1, max_size=3))
    clips = []
    for _ in range(draw(st.integers(1, 6))):
        recording = draw(st.integers(0, len(lengths) - 1))
        start = draw(st.integers(0, lengths[recording] - 2))
        end = draw(st.integers(start + 1, lengths[recording]))
        clips.append((recording, start / RATE, (end + draw(st.sampled_from([0.0, 0.4]))) / RATE))
    return lengths, clips


@settings(max_examples=80, deadline=None)
@given(cut=cuts(), n_samples=st.integers(50, 300), edge_fade=FADES, seed=st.integers(0, 9))
def test_gathering_is_the_published_chain(
    cut: tuple[list[int], list[tuple[int, float, float]]], n_samples: int, edge_fade: int, seed: int
) -> None:
    lengths, spans = cut
    rng = np.random.default_rng(seed)
    recordings = [rng.standard_normal(length).astype(np.float32) for length in lengths]
    clips = pd.DataFrame(
        [(f"c{at}", f"r{recording}", start, end) for at, (recording, start, end) in enumerate(spans)],
        columns=["clip_id", "recording", "start_s", "end_s"],
    )
    gatherer = ClipGatherer(
        made_of(*recordings), clips, n_samples, edge_fade=edge_fade, device=CPU, resident=bool(seed % 2)
    )
    rows = torch.from_numpy(rng.integers(0, len(spans), 8))
    expected = [
        reference(recordings[spans[row][0]], spans[row][1], spans[row][2], n_samples, edge_fade)
        for row in rows.tolist()
    ]
    torch.testing.assert_close(gatherer.gather(rows), torch.from_numpy(np.stack(expected)), rtol=0, atol=2e-6)


def test_a_recording_shorter_than_its_fades_is_faded_by_both() -> None:
    clips = pd.DataFrame({"clip_id": ["c"], "recording": "r0", "start_s": [0.0], "end_s": [0.003]})
    gatherer = ClipGatherer(made_of(np.ones(3)), clips, 3, edge_fade=5, device=CPU, resident=True)
    expected = torch.tensor([[0.0 * 0.5, 0.25 * 0.25, 0.5 * 0.0]])
    torch.testing.assert_close(gatherer.gather(torch.tensor([0])), expected)


def test_a_clip_without_a_sample_at_this_rate() -> None:
    clips = pd.DataFrame({"clip_id": ["c"], "recording": "r0", "start_s": [0.1001], "end_s": [0.1003]})
    with pytest.raises(DataError, match="Clip c holds no sample at 1000 Hz"):
        ClipGatherer(made_of(np.ones(300)), clips, 10, edge_fade=0, device=CPU, resident=True)


def test_a_clip_outside_its_recording_never_reads_the_next_one() -> None:
    clips = pd.DataFrame({"clip_id": ["c"], "recording": "r0", "start_s": [0.2], "end_s": [0.35]})
    gatherer = ClipGatherer(made_of(np.ones(300), np.full(300, 7)), clips, 150, edge_fade=0, device=CPU, resident=True)
    assert gatherer.gather(torch.tensor([0])).max() == 1


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize("resident", [True, False])
def test_clips_on_a_gpu_are_those_of_the_cpu(resident: bool) -> None:
    clips = pd.DataFrame({"clip_id": ["a", "b"], "recording": "r0", "start_s": [0.0, 0.2], "end_s": [0.1, 0.3]})
    made = made_of(np.random.default_rng(0).standard_normal(300))
    rows = torch.tensor([1, 0, 1])
    there, here = (
        ClipGatherer(made, clips, 150, edge_fade=20, device=torch.device(name), resident=resident).gather(rows)
        for name in ("cuda", "cpu")
    )
    assert there.device.type == "cuda"
    torch.testing.assert_close(there.cpu(), here)


def test_recordings_without_clips_are_prepared_too(tmp_path: Path, record: Record, cache: Path) -> None:
    record(tmp_path / "a.wav")
    (tmp_path / "clips.csv").write_text("path,start_s,end_s,label,patient\na.wav,0,1,normal,p\n")
    table = read_folder(tmp_path, "mine")
    prepared = prepare(replace(table, clips=table.clips[:0]), 4000)
    assert prepared.recordings == ["a"]
    assert prepared.sketch.loc["a", "duration_s"] == 2.0
