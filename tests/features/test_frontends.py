"""Front ends against other people's code, and against references written out here."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import librosa
import numpy as np
import pytest
import soundfile
import torch
import torchaudio
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode
from torchaudio.compliance.kaldi import fbank
from torchaudio.functional import resample

from rsbench.core.errors import PluginError, SpecError
from rsbench.data.gathering import ClipGatherer
from rsbench.data.icbhi import read_icbhi
from rsbench.data.waveforms import prepare
from rsbench.features.frontends import (
    CPU_SAMPLES,
    FRONTENDS,
    SpectralFrontend,
    create_frontend,
    nonzero_bands,
    register_frontend,
)

MEAN, SPREAD = -4.2677393, 4.5689974
NAMES = ("kaldi-fbank", "panns-log-mel", "panns-log-mel-32k", "efficientat-mel")


def breath(n_samples: int, rate: int, seed: int = 0) -> np.ndarray:
    """Noise that swells, and a tone: (n,) float64 within ±1."""
    time = np.arange(n_samples) / rate
    noise = np.random.default_rng(seed).normal(0, 0.1, n_samples) * (1.2 + np.sin(6 * time))
    return np.clip(noise + 0.2 * np.sin(2 * np.pi * 440 * time), -1, 1)


def published_fbank(waveform: Tensor, n_mels: int = 128, hop_ms: float = 10.0) -> Tensor:
    """(frames, n_mels), as the published scripts call it on one clip (1, T)."""
    return fbank(
        waveform,
        htk_compat=True,
        sample_frequency=16_000,
        use_energy=False,
        window_type="hanning",
        num_mel_bins=n_mels,
        dither=0.0,
        frame_shift=hop_ms,
    )


def assert_audible_bins_agree(ours: Tensor, theirs: Tensor) -> None:
    """Within 2e-3 at every bin above −70 dB of the clip's peak: below it, float32's rounding decides."""
    audible = theirs > theirs.max() - 7 * math.log(10)
    assert audible.any()
    assert (ours - theirs)[audible].abs().max() < 2e-3


@settings(max_examples=15)
@given(
    n_samples=st.integers(400, 9000),
    n_mels=st.sampled_from((24, 128)),
    hop_ms=st.sampled_from((10.0, 20.0, 32.0)),
    offset=st.sampled_from((0.0, 0.3)),
)
def test_kaldi_fbank_is_torchaudios(n_samples: int, n_mels: int, hop_ms: float, offset: float) -> None:
    waveform = torch.from_numpy(breath(n_samples, 16_000) + offset).float()[None]
    ours = create_frontend("kaldi-fbank", n_mels=n_mels, hop_ms=hop_ms)(waveform)[0].T * 2 * SPREAD + MEAN
    theirs = published_fbank(waveform, n_mels, hop_ms)
    assert ours.shape == theirs.shape
    assert_audible_bins_agree(ours, theirs)


def test_kaldi_fbank_is_torchaudios_on_real_clips(real_root: Path) -> None:
    frontend = create_frontend("kaldi-fbank")
    files = sorted(real_root.glob("icbhi/ICBHI_final_database/*.flac"))[::40]
    files += sorted(real_root.glob("sprsound/BioCAS2022/test2022_wav/*"))[::120]
    assert len(files) > 8
    for file in files:
        samples, rate = soundfile.read(file, dtype="float32")
        waveform = resample(torch.from_numpy(samples), rate, 16_000)[None, : 3 * 16_000]
        ours = frontend(waveform)[0].T * 2 * SPREAD + MEAN
        assert_audible_bins_agree(ours, published_fbank(waveform))


def published_chain(file: Path, start_s: float, end_s: float) -> Tensor:
    """(798, 128) features of one clip by the published scripts, step by step as protocol.md tells them."""
    samples, rate = soundfile.read(file, dtype="float32", always_2d=True)
    recording = resample(torch.from_numpy(samples.T), rate, 16_000)
    recording = torchaudio.transforms.Fade(1000, 1000, fade_shape="linear")(recording)
    clip = recording[:, int(start_s * 16_000) : min(int(end_s * 16_000), recording.shape[1])]
    wanted = 8 * 16_000
    if clip.shape[1] > wanted:
        clip = clip[:, :wanted]
    else:
        clip = clip.repeat(1, math.ceil(wanted / clip.shape[1]))[:, :wanted]
        clip = torchaudio.transforms.Fade(0, 1000, fade_shape="linear")(clip)
    return (published_fbank(clip) - MEAN) / (2 * SPREAD)


def test_the_whole_published_chain(real_root: Path, cache: Path) -> None:
    table = read_icbhi(real_root / "icbhi")
    recordings = table.recordings.iloc[::32]
    clips = table.clips[table.clips["recording"].isin(recordings["recording"])]
    duration = clips["end_s"] - clips["start_s"]
    edges = clips.groupby("recording").agg(first=("clip_id", "first"), last=("clip_id", "last"))
    # Faded edges, repeats and truncation must all be among the clips compared.
    chosen = clips[clips["clip_id"].isin(edges.to_numpy().ravel()) | (duration > 8)]
    assert (duration[chosen.index] < 4).any()

    frontend = create_frontend("kaldi-fbank")
    waveforms = prepare(dataclasses.replace(table, recordings=recordings, clips=clips), frontend.rate)
    gatherer = ClipGatherer(
        waveforms,
        chosen,
        8 * frontend.rate,
        edge_fade=frontend.edge_fade,
        device=torch.device("cpu"),
        resident=True,
    )
    ours = frontend(gatherer.gather(torch.arange(len(chosen)))).transpose(1, 2)
    assert ours.shape == (len(chosen), 798, 128)
    paths = recordings.set_index("recording")["path"]
    for mine, clip in zip(ours, chosen.itertuples(), strict=True):
        theirs = published_chain(Path(paths[clip.recording]), clip.start_s, clip.end_s)
        assert_audible_bins_agree(mine * 2 * SPREAD + MEAN, theirs * 2 * SPREAD + MEAN)


@pytest.mark.parametrize("name", NAMES)
def test_frames_that_are_not_heard_are_those_of_silence(name: str) -> None:
    frontend = create_frontend(name)
    samples = torch.tensor([1, frontend.hop, 3000, 8000])
    waveforms = torch.from_numpy(breath(4 * 8000, frontend.rate)).float().view(4, 8000)
    padded = torch.where(torch.arange(8000) < samples.unsqueeze(1), waveforms, 0.0)
    features, silence = frontend(padded), frontend(torch.zeros(1, 8000))
    heard = frontend.heard_frames(samples, features.shape[-1])
    torch.testing.assert_close(torch.where(heard.unsqueeze(1), silence, features), silence.expand_as(features))
    assert heard[:, 0].all()
    assert heard[3].all()
    last = heard.sum(dim=1) - 2  # the last of all may hold samples that its window all but leaves out
    assert not torch.allclose(features[2, :, last[2]], silence[0, :, last[2]], atol=0.1)


@pytest.mark.parametrize("hop_ms", [10.0, 32.0])
@pytest.mark.parametrize(
    ("name", "rate", "window", "highest_hz"),
    [("panns-log-mel", 16_000, 512, 8000), ("panns-log-mel-32k", 32_000, 1024, 14_000)],
)
def test_panns_log_mel_is_librosas(name: str, rate: int, window: int, highest_hz: int, hop_ms: float) -> None:
    samples = breath(24_000, rate)
    ours = create_frontend(name, hop_ms=hop_ms)(torch.from_numpy(samples)[None])[0]
    power = librosa.feature.melspectrogram(
        y=samples,
        sr=rate,
        n_fft=window,
        hop_length=round(rate / 1000 * hop_ms),
        window="hann",
        center=True,
        pad_mode="reflect",
        power=2.0,
        n_mels=64,
        fmin=50,
        fmax=highest_hz,
    )
    theirs = librosa.power_to_db(power, ref=1.0, amin=1e-10, top_db=None)
    np.testing.assert_allclose(ours, theirs, atol=1e-4)


def naive_efficientat(samples: np.ndarray) -> np.ndarray:
    """(128, frames) frame by frame in float64."""
    emphasised = samples[1:] - 0.97 * samples[:-1]
    padded = np.pad(emphasised, 512, mode="reflect")
    window = np.zeros(1024)
    window[112:912] = np.hanning(800)
    mel_of_bin = 1127 * np.log1p(np.arange(513) * 32_000 / 1024 / 700)
    edges = np.linspace(0, 1127 * np.log1p(15_000 / 700), 130)
    frames = []
    for start in range(0, len(emphasised) + 1, 320):
        power = np.abs(np.fft.rfft(window * padded[start : start + 1024])) ** 2
        power[512] = 0.0
        bins = []
        for left, centre, right in zip(edges, edges[1:], edges[2:], strict=False):
            slopes = np.minimum((mel_of_bin - left) / (centre - left), (right - mel_of_bin) / (right - centre))
            bins.append(np.maximum(slopes, 0) @ power)
        frames.append((np.log(np.array(bins) + 1e-5) + 4.5) / 5)
    return np.stack(frames, axis=1)


@pytest.mark.parametrize("n_samples", [3200, 4001])
def test_efficientat_mel_is_the_naive_one(n_samples: int) -> None:
    samples = breath(n_samples, 32_000)
    ours = create_frontend("efficientat-mel")(torch.from_numpy(samples)[None])[0]
    np.testing.assert_allclose(ours, naive_efficientat(samples), atol=1e-4)


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=10)
@given(extra=st.integers(0, 5000), hop_ms=st.floats(1.0, 40.0))
def test_frames_are_as_promised(name: str, extra: int, hop_ms: float) -> None:
    frontend = create_frontend(name, hop_ms=hop_ms)
    n_samples = frontend.shortest + extra
    assert frontend(torch.zeros(1, n_samples)).shape == (1, frontend.n_mels, frontend.frames(n_samples))


@pytest.mark.parametrize("name", NAMES)
def test_too_short_a_clip_is_an_error(name: str) -> None:
    frontend = create_frontend(name)
    with pytest.raises(SpecError, match=r"data\.clip_s.* needs clips of at least .* Lengthen them"):
        frontend(torch.zeros(2, frontend.shortest - 1))


@pytest.mark.parametrize("name", NAMES)
def test_silence_is_finite(name: str) -> None:
    assert create_frontend(name)(torch.zeros(1, 8000)).isfinite().all()


@pytest.mark.parametrize("name", NAMES)
def test_a_batch_is_its_clips(name: str) -> None:
    frontend = create_frontend(name)
    waveforms = torch.from_numpy(np.stack([breath(8000, 16_000, seed) for seed in range(3)]))
    together = frontend(waveforms)
    for alone, clip in zip(together, waveforms, strict=True):
        torch.testing.assert_close(frontend(clip[None])[0], alone, rtol=0, atol=1e-9)


@settings(max_examples=30)
@given(bands=st.lists(st.tuples(st.integers(0, 19), st.integers(0, 6)), min_size=1, max_size=12))
def test_blocks_hold_every_weight_once(bands: list[tuple[int, int]]) -> None:
    banks = torch.zeros(20, len(bands))
    for column, (first, width) in enumerate(bands):
        banks[first : first + width, column] = 1.0
    held = torch.zeros_like(banks)
    for rows, columns in nonzero_bands(banks):
        held[rows, columns] += banks[rows, columns]
    torch.testing.assert_close(held, banks, rtol=0, atol=0)


@pytest.mark.parametrize("name", NAMES)
def test_banks_are_multiplied_where_they_hold_weights(name: str) -> None:
    frontend = create_frontend(name)
    with FlopCounterMode(display=False) as counted:
        frontend(torch.zeros(1, 8000))
    whole = 2 * frontend.frames(8000) * frontend.banks.numel()
    assert 0 < counted.get_total_flops() < 0.3 * whole


@pytest.mark.parametrize("name", NAMES)
def test_a_cpu_takes_what_stays_in_its_caches(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    frontend, taken = create_frontend(name), []
    windowed = type(frontend).windowed

    def counting(self: SpectralFrontend, waveforms: Tensor) -> Tensor:
        taken.append(len(waveforms))
        return windowed(self, waveforms)

    monkeypatch.setattr(type(frontend), "windowed", counting)
    at_once = CPU_SAMPLES * torch.get_num_threads() // 8000
    frontend(torch.zeros(at_once + 1, 8000))
    assert taken == [at_once, 1]
    frontend(torch.zeros(2, at_once * 8000 + 8000))  # longer than that, a clip at a time
    assert taken[2:] == [1, 1]


@pytest.mark.parametrize("name", NAMES)
def test_precision_is_float32_or_better(name: str) -> None:
    frontend = create_frontend(name)
    waveforms = torch.from_numpy(breath(8000, 16_000))[None]
    assert frontend(waveforms).dtype == torch.float64
    single = frontend(waveforms.float())
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(frontend(waveforms.float()), single, rtol=0, atol=0)
    assert frontend(waveforms.to(torch.bfloat16)).dtype == torch.float32


@pytest.mark.parametrize("name", NAMES)
def test_nothing_of_a_front_end_enters_a_checkpoint(name: str) -> None:
    assert not create_frontend(name).state_dict()


@pytest.mark.parametrize(("name", "seconds", "shape"), [
    ("kaldi-fbank", 8, (128, 798)),
    ("panns-log-mel", 8, (64, 801)),
    ("panns-log-mel-32k", 10, (64, 1001)),
    ("efficientat-mel", 10, (128, 1000)),
])  # fmt: skip
def test_published_shapes(name: str, seconds: int, shape: tuple[int, int]) -> None:
    frontend = create_frontend(name)
    assert (frontend.n_mels, frontend.frames(seconds * frontend.rate)) == shape


def test_options_are_checked() -> None:
    with pytest.raises(SpecError, match="no such option"):
        create_frontend("kaldi-fbank", hops=10)
    with pytest.raises(SpecError, match=r"frontend\.hop_ms"):
        create_frontend("kaldi-fbank", hop_ms=0)
    with pytest.raises(SpecError, match="Did you mean 'panns-log-mel'"):
        create_frontend("panns-logmel")


def test_only_front_ends_are_registered() -> None:
    with pytest.raises(PluginError, match="FrontendModule"):
        register_frontend("wrong")(torch.nn.Identity)  # type: ignore[type-var]
    assert "wrong" not in FRONTENDS.names()
