"""Front ends of pretrained models: the waveform itself, and spectrograms as `transformers` prepares them."""

from __future__ import annotations

import math
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F
from torchaudio.functional import melscale_fbanks

from ..core.errors import SpecError
from .frontends import Bins, FrontendModule, KaldiFbank, SpectralFrontend, centred, decibels, register_frontend

Rate = Annotated[int, Field(ge=1000, le=192_000)]
Hertz = Annotated[float, Field(ge=0, le=96_000)]


@register_frontend(
    "waveform",
    summary="no spectrogram: the samples themselves, for models that make their own features",
    paper="Baevski et al., wav2vec 2.0, NeurIPS 2020",
)
class Waveform(FrontendModule):
    """(B, 1, T): one bin, and a frame for every sample.

    Args:
        rate_hz: samples per second that the model was trained on.
        normalise: "clip" gives every clip mean 0 and variance 1, as wav2vec 2.0 does; silence that follows a clip
            (data.window=zero) counts with it. "none" leaves samples in [−1, 1].
    """

    rate = 16_000
    spectral = False

    EPS = 1e-7  # added to the variance, as transformers does

    def __init__(self, *, rate_hz: Rate = 16_000, normalise: Literal["none", "clip"] = "none") -> None:
        super().__init__(n_mels=1, hop_ms=1.0, shortest=1)
        self.rate, self.hop = rate_hz, 1
        self.normalise = normalise

    def count(self, n_samples: int) -> int:
        return n_samples

    def features(self, waveforms: Tensor) -> Tensor:
        if self.normalise == "clip":
            variance, mean = torch.var_mean(waveforms, dim=-1, correction=0, keepdim=True)
            waveforms = (waveforms - mean) / (variance + self.EPS).sqrt()
        return waveforms.unsqueeze(1)


@register_frontend(
    "ast-fbank",
    summary="Kaldi log-mel bins at 16 kHz as transformers makes them for AST: no fades, its own mean and spread",
    paper="Gong et al., AST, Interspeech 2021",
)
class AstFbank(KaldiFbank):
    """`kaldi-fbank` of recordings whose ends do not fade, normalised as a checkpoint says: (x − mean) / (2 · spread).

    Args:
        n_mels: bins.
        mean: of the bins of the data that the model was trained on, in ln(power).
        spread: their standard deviation.
    """

    edge_fade = 0

    def __init__(
        self,
        *,
        n_mels: Bins = 128,
        mean: float = KaldiFbank.MEAN,
        spread: Annotated[float, Field(gt=0)] = KaldiFbank.SPREAD,
    ) -> None:
        super().__init__(n_mels=n_mels)
        self.MEAN, self.SPREAD = mean, spread


@register_frontend(
    "clap-mel",
    summary="CLAP's: 64 Slaney log-mel bins at 48 kHz in dB, clips repeated to ten seconds",
    paper="Wu et al., Large-scale contrastive language-audio pretraining, ICASSP 2023",
)
class ClapMel(SpectralFrontend):
    """Power of a centred STFT (Hann, reflected ends) in Slaney bins; 10·log10 with a floor of 1e-10.

    All clips become `longest_s` seconds long before that; SpecError for clips that are longer.

    Args:
        n_mels: bins.
        n_fft: samples of a window.
        hop: samples from one frame to the next.
        low_hz: where the bins begin.
        high_hz: where they end.
        longest_s: seconds that the model was trained on.
        padding: "repeatpad" repeats a clip as often as it fits in whole, and silence follows; "repeat" cuts the last
            repeat off; "pad" repeats nothing.
    """

    rate = 48_000

    FLOOR = 1e-10

    def __init__(
        self,
        *,
        n_mels: Bins = 64,
        n_fft: Annotated[int, Field(ge=64, le=8192)] = 1024,
        hop: Annotated[int, Field(ge=16, le=48_000)] = 480,
        low_hz: Hertz = 50.0,
        high_hz: Hertz = 14_000.0,
        longest_s: Annotated[float, Field(ge=0.1, le=60)] = 10.0,
        padding: Literal["repeatpad", "repeat", "pad"] = "repeatpad",
    ) -> None:
        scale = "slaney"
        banks = melscale_fbanks(n_fft // 2 + 1, low_hz, high_hz, n_mels, self.rate, norm=scale, mel_scale=scale)
        window = torch.hann_window(n_fft)
        super().__init__(n_mels, 1000 * hop / self.rate, shortest=1, window=window, banks=banks)
        self.reach = n_fft // 2
        self.longest = round(longest_s * self.rate)
        self.padding = padding

    def count(self, n_samples: int) -> int:
        if n_samples > self.longest:
            raise SpecError(
                f"data.clip_s: ClapMel takes clips of at most {self.longest / self.rate:g} s, as its model was trained "
                f"on, and was given {n_samples / self.rate:g} s. Shorten them."
            )
        return 1 + self.longest // self.hop

    def windowed(self, waveforms: Tensor) -> Tensor:
        return centred(self._filled(waveforms), self.window, self.hop)

    def scaled(self, power: Tensor) -> Tensor:
        return decibels(power, self.FLOOR)

    def _filled(self, waveforms: Tensor) -> Tensor:
        """(B, longest) of waveforms (B, T)."""
        samples = waveforms.shape[-1]
        if self.padding == "repeat":
            return waveforms.repeat(1, math.ceil(self.longest / samples))[:, : self.longest]
        if self.padding == "repeatpad":
            waveforms = waveforms.repeat(1, self.longest // samples)
        return F.pad(waveforms, (0, self.longest - waveforms.shape[-1]))
