"""Front ends of pretrained models against the feature extractors of transformers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import transformers
from torch import Tensor

from rsbench.core.errors import SpecError
from rsbench.core.loss import create_loss
from rsbench.core.plugins import discover
from rsbench.experiment.resolve import resolve, resolve_embedding
from rsbench.features.augment import spec_augment
from rsbench.features.frontends import create_frontend

NAMES = ("waveform", "ast-fbank", "clap-mel")


def breaths(clips: int, samples: int, rate: int) -> np.ndarray:
    """(clips, samples) float32 within ±1: noise that swells from another level in each clip, and a tone."""
    time_s = np.arange(samples) / rate
    generator = np.random.default_rng(samples)
    level = 10.0 ** -np.arange(clips)[:, np.newaxis]
    noise = generator.normal(0, 0.1, (clips, samples)) * (1.2 + np.sin(6 * time_s))
    return (level * (noise + 0.2 * np.sin(2 * np.pi * 440 * time_s) + 0.05)).astype(np.float32)


@pytest.mark.parametrize(("normalise", "do_normalize"), [("clip", True), ("none", False)])
def test_waveform_is_wav2vec2s_input(normalise: str, do_normalize: bool) -> None:
    extractor = transformers.Wav2Vec2FeatureExtractor(do_normalize=do_normalize)
    clips = breaths(3, 4000, 16_000)
    theirs = extractor(list(clips), sampling_rate=16_000, return_tensors="pt")["input_values"]
    ours = create_frontend("waveform", normalise=normalise)(torch.from_numpy(clips))
    torch.testing.assert_close(ours, theirs.unsqueeze(1).float(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "constants", [{}, {"mean": -6.85, "std": 5.57}, {"num_mel_bins": 64}, {"do_normalize": False, "std": 0.5}]
)
def test_ast_fbank_is_asts_input(constants: dict[str, float]) -> None:
    extractor = transformers.ASTFeatureExtractor(**constants, max_length=98)
    clips = breaths(2, 16_000, 16_000)
    theirs = extractor(list(clips), sampling_rate=16_000, return_tensors="pt")["input_values"]
    mean, spread = (extractor.mean, extractor.std) if extractor.do_normalize else (0.0, 0.5)
    frontend = create_frontend("ast-fbank", n_mels=extractor.num_mel_bins, mean=mean, spread=spread)
    torch.testing.assert_close(frontend(torch.from_numpy(clips)).transpose(1, 2), theirs, rtol=1e-3, atol=2e-3)
    assert frontend.edge_fade == 0


@pytest.mark.parametrize("padding", ["repeatpad", "repeat", "pad"])
@pytest.mark.parametrize("seconds", [0.3, 0.7, 1.0])
def test_clap_mel_is_claps_input(padding: str, seconds: float) -> None:
    extractor = transformers.ClapFeatureExtractor(
        max_length_s=1, truncation="rand_trunc", frequency_min=50, padding=padding
    )
    clips = breaths(2, round(seconds * 48_000), 48_000)
    theirs = extractor(list(clips), sampling_rate=48_000, return_tensors="pt")["input_features"]
    ours = create_frontend("clap-mel", longest_s=1.0, padding=padding)(torch.from_numpy(clips))
    torch.testing.assert_close(ours.transpose(1, 2).unsqueeze(1), theirs, rtol=1e-4, atol=1e-2)


def test_clap_takes_no_longer_clips_than_it_knows() -> None:
    with pytest.raises(SpecError, match=r"data\.clip_s: ClapMel takes clips of at most 10 s.*given 12 s\. Shorten"):
        create_frontend("clap-mel").frames(12 * 48_000)


@pytest.mark.parametrize("name", NAMES)
def test_frames_are_as_promised_and_nothing_enters_a_checkpoint(name: str) -> None:
    frontend = create_frontend(name)
    waveforms = torch.from_numpy(breaths(2, 5000, frontend.rate)).double()
    features = frontend(waveforms)
    assert features.shape == (2, frontend.n_mels, frontend.frames(5000))
    assert features.dtype == torch.float64
    assert frontend(torch.zeros(1, 5000)).isfinite().all()
    torch.testing.assert_close(frontend(waveforms[1:])[0], features[1], rtol=0, atol=1e-9)
    assert not frontend.state_dict()


def test_a_waveform_is_at_the_rate_that_was_asked_for_and_heard_sample_by_sample() -> None:
    frontend = create_frontend("waveform", rate_hz=24_000)
    assert frontend.rate == 24_000
    heard = frontend.heard_frames(torch.tensor([2, 5]), 5)
    assert heard.tolist() == [[True, True, False, False, False], [True] * 5]
    with pytest.raises(SpecError, match=r"frontend\.rate_hz=0"):
        create_frontend("waveform", rate_hz=0)


def on_waveforms(**changes: object) -> dict[str, object]:
    discover()
    settings = {"loss": "ce", "backbone": "cnn6", "frontend": "waveform"}
    return settings | {key.replace("__", "."): value for key, value in changes.items()}


def test_a_waveform_has_time_masks_alone() -> None:
    spec = resolve(on_waveforms())
    assert (spec.augment.freq_masks, spec.augment.time_masks) == (0, 2)
    assert resolve(on_waveforms(frontend="kaldi-fbank")).augment.freq_masks == 2
    embedding = resolve_embedding({"backbone": "cnn6", "frontend": "waveform"}, ["icbhi"])
    assert (embedding.augment.freq_masks, embedding.augment.time_masks) == (0, 2)
    waveforms = torch.from_numpy(breaths(4, 4000, 16_000)).unsqueeze(1)
    masked = spec_augment(waveforms, torch.Generator().manual_seed(0), **spec.augment.masks)
    silenced = masked != waveforms
    assert 0 < silenced.float().mean() < 0.4
    assert torch.equal(masked[silenced], waveforms.mean(dim=2, keepdim=True).expand_as(masked)[silenced])


@pytest.mark.parametrize("changes", [{"augment__freq_masks": 1}, {"augment__mixstyle": 0.3}])
def test_what_masks_or_mixes_frequencies_is_refused(changes: dict[str, float]) -> None:
    with pytest.raises(SpecError, match=r"'waveform' gives no bins of frequency.*Leave out augment"):
        resolve(on_waveforms(**changes))
    with pytest.raises(SpecError, match="'waveform' gives no bins of frequency"):
        resolve_embedding({"backbone": "cnn6", "frontend": "waveform", "augment.freq_masks": 1}, ["icbhi"])


@pytest.mark.parametrize(("features", "what"), [(torch.zeros(4, 1, 50), "a waveform has"), (Tensor([[0.0]]), "embed")])
def test_patches_of_what_has_none_are_refused(features: Tensor, what: str) -> None:
    loss = create_loss("patchmix_cl", 8, (4, 3, 2, 1))
    with pytest.raises(SpecError, match=rf"'patchmix_cl' mixes patches of spectrograms, and {what}.* none"):
        loss.mix(features, None, torch.Generator())  # type: ignore[arg-type]
