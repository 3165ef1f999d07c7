"""Clips cut on the fly: both ways of gathering them, beside the published chain."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
import torchaudio
from hypothesis import given, settings
from hypothesis import strategies as st

from rsbench.core.errors import DataError
from rsbench.data.gathering import ClipGatherer, IndexedClips, clip_spans
from rsbench.data.waveforms import Waveforms
from rsbench.data.windows import clip_window

CPU = torch.device("cpu")
RATE = 1000
FADES = st.just(0) | st.integers(2, 50)  # torchaudio's fade of one sample is 0 going in and 1 going out


def made_of(*recordings: np.ndarray) -> Waveforms:
    """Waveforms without a cache, at 1000 Hz."""
    names = [f"r{index}" for index in range(len(recordings))]
    lengths = [len(samples) for samples in recordings]
    samples = np.concatenate(recordings).astype(np.float32)
    durations_s = pd.Series(lengths, index=names) / RATE
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    return Waveforms(RATE, lambda: samples, offsets, names, durations_s, pd.DataFrame(), "")


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


@settings(max_examples=80)
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
    made = made_of(*recordings)
    gatherer = ClipGatherer(made, clips, n_samples, edge_fade=edge_fade, device=CPU, resident=True)
    rows = torch.from_numpy(rng.integers(0, len(spans), 8))
    expected = [
        reference(recordings[spans[row][0]], spans[row][1], spans[row][2], n_samples, edge_fade)
        for row in rows.tolist()
    ]
    copied = gatherer.gather(rows)
    torch.testing.assert_close(copied, torch.from_numpy(np.stack(expected)), rtol=0, atol=2e-6)
    ramp = torch.cat([torch.linspace(0, 1, edge_fade), torch.ones(1)])
    indexed = IndexedClips(made.samples, clip_spans(made, clips), ramp, n_samples, CPU).gather(rows)
    assert torch.equal(indexed, copied)


def naive(samples: np.ndarray, start: int, end: int, n_samples: int, edge_fade: int, window: str) -> np.ndarray:
    """What is shown of the clip [start, end) of a recording, a sample at a time."""

    def faded(sample: float, *distances: int) -> float:
        inside = [distance / (edge_fade - 1) for distance in distances if distance < edge_fade]
        return sample * np.prod(inside)

    around = start + (end - start - n_samples) // 2
    if window == "crop" and end - start > n_samples:
        start, end = around, around + n_samples
    if window.startswith("context"):
        start = max(0, min(around, len(samples) - n_samples))
        end = min(len(samples), start + n_samples)
    length, shown = end - start, np.zeros(n_samples)
    for at in range(n_samples):
        if at >= length and window not in ("repeat", "crop"):
            break
        place = start + at % length
        shown[at] = faded(samples[place], place, len(samples) - 1 - place)
        if length < n_samples:
            filled = n_samples if window in ("repeat", "crop") else length
            shown[at] = faded(shown[at], filled - 1 - at)
    return shown


@settings(max_examples=40)
@given(
    cut=cuts(),
    n_samples=st.integers(50, 300) | st.just(500),
    edge_fade=FADES,
    window=st.sampled_from(["repeat", "zero", "crop", "context:1"]),
    seed=st.integers(0, 9),
)
def test_both_ways_of_gathering_show_clips_as_their_window_says(
    cut: tuple[list[int], list[tuple[int, float, float]]], n_samples: int, edge_fade: int, window: str, seed: int
) -> None:
    lengths, spans = cut
    rng = np.random.default_rng(seed)
    recordings = [rng.standard_normal(length).astype(np.float32) for length in lengths]
    clips = pd.DataFrame(
        [(f"c{at}", f"r{recording}", start, end) for at, (recording, start, end) in enumerate(spans)],
        columns=["clip_id", "recording", "start_s", "end_s"],
    )
    made, shown = made_of(*recordings), clip_window(window)
    rows = torch.arange(len(spans))
    copied = ClipGatherer(made, clips, n_samples, edge_fade=edge_fade, device=CPU, resident=True, window=shown)
    expected = [
        naive(recordings[r], int(start * RATE), int(end * RATE), n_samples, edge_fade, window)
        for r, start, end in spans
    ]
    torch.testing.assert_close(copied.gather(rows).double(), torch.from_numpy(np.stack(expected)), rtol=0, atol=2e-6)
    ramp, placed = (
        torch.cat([torch.linspace(0, 1, edge_fade), torch.ones(1)]),
        shown.place(clip_spans(made, clips), n_samples),
    )
    indexed = IndexedClips(made.samples, placed, ramp, n_samples, CPU, silence=shown.silence)
    assert torch.equal(indexed.gather(rows), copied.gather(rows))


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
@pytest.mark.parametrize("window", ["repeat", "zero", "context:1"])
@pytest.mark.parametrize("resident", [True, False])
def test_clips_on_a_gpu_are_those_of_the_cpu(resident: bool, window: str) -> None:
    clips = pd.DataFrame({"clip_id": ["a", "b"], "recording": "r0", "start_s": [0.0, 0.2], "end_s": [0.1, 0.3]})
    made = made_of(np.random.default_rng(0).standard_normal(300))
    rows = torch.tensor([1, 0, 1])
    there, here = (
        ClipGatherer(
            made,
            clips,
            150,
            edge_fade=20,
            device=torch.device(name),
            resident=resident,
            window=clip_window(window),
        ).gather(rows)
        for name in ("cuda", "cpu")
    )
    assert there.device.type == "cuda"
    torch.testing.assert_close(there.cpu(), here)
