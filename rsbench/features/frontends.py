"""Front ends: waveforms to features, batched and on whatever device the waveforms are on.

A backbone declares the front end it was trained for. All of them take mono waveforms (B, T) in [−1, 1] at
their own `rate` and give (B, n_mels, frames), in at least float32 under autocast too; float64 stays float64.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Annotated, Any, TypeVar

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F
from torchaudio.compliance.kaldi import get_mel_banks
from torchaudio.functional import melscale_fbanks

from ..core.errors import PluginError, SpecError
from ..core.loss import at_least_float32
from ..core.registry import Registry

FRONTENDS: Registry[type[FrontendModule]] = Registry("frontend")

_F = TypeVar("_F", bound="type[FrontendModule]")

# Samples at a time for each thread of a CPU: their frames and spectra stay in its caches, those of a batch do not
# (2 to 3 times slower).
CPU_SAMPLES = 2**18

Milliseconds = Annotated[float, Field(ge=1, le=1000)]
Bins = Annotated[int, Field(ge=4, le=1024)]


class FrontendModule(nn.Module, ABC):
    """Base of every front end. Subclasses take options as keyword-only arguments with defaults.

    Class attributes: `rate`, samples per second of the waveforms it takes; `edge_fade`, samples over which a
    recording fades in and out before clips are cut from it (0: none); `reach`, samples that a frame begins before
    `hop` times its number, as where frames are centred there; `spectral`, whether its bins are frequencies, which can
    be masked and mixed.

    Args:
        n_mels: bins of the features.
        hop_ms: milliseconds from one frame to the next, rounded to whole samples.
        shortest: samples that the shortest clip must have.
    """

    rate: int
    edge_fade: int = 0
    reach: int = 0
    spectral: bool = True

    def __init__(self, n_mels: int, hop_ms: float, shortest: int) -> None:
        super().__init__()
        self.n_mels = n_mels
        self.hop = self.samples(hop_ms)
        self.shortest = shortest

    @classmethod
    def samples(cls, duration_ms: float) -> int:
        """A duration in whole samples."""
        return round(duration_ms * cls.rate / 1000)

    def frames(self, n_samples: int) -> int:
        """Frames of a clip of `n_samples`. Raises SpecError when the clip is too short for one."""
        if n_samples < self.shortest:
            raise SpecError(
                f"data.clip_s: {type(self).__name__} needs clips of at least {self.shortest} samples at "
                f"{self.rate} Hz ({self.shortest / self.rate:g} s) and was given {n_samples}. Lengthen them."
            )
        return self.count(n_samples)

    def heard_frames(self, samples: Tensor, n_frames: int) -> Tensor:
        """(B, n_frames) True where a frame holds any of a clip's first samples, of which there are (B,)."""
        begins = torch.arange(n_frames, device=samples.device) * self.hop - self.reach
        return begins < samples.unsqueeze(1)

    @abstractmethod
    def count(self, n_samples: int) -> int:
        """Frames of a clip that is long enough."""

    @abstractmethod
    def features(self, waveforms: Tensor) -> Tensor:
        """(B, n_mels, frames) of waveforms (B, T) in float32 or float64, outside autocast."""

    def forward(self, waveforms: Tensor) -> Tensor:
        self.frames(waveforms.shape[-1])
        with torch.autocast(waveforms.device.type, enabled=False):
            waveforms = at_least_float32(waveforms)
            if waveforms.device.type != "cpu" or torch.compiler.is_exporting():  # a graph would fix the number of parts
                return self.features(waveforms).contiguous()  # as torch.cat leaves them
            clips = max(1, CPU_SAMPLES * torch.get_num_threads() // waveforms.shape[-1])
            return torch.cat([self.features(part) for part in waveforms.split(clips)])

    def constant(self, name: str, values: Tensor) -> None:
        """A buffer that moves with the module and, being derived, is no part of its state."""
        self.register_buffer(name, values, persistent=False)


def register_frontend(name: str, *, summary: str = "", paper: str = "") -> Callable[[_F], _F]:
    """Register a `FrontendModule` subclass. Raises PluginError when the name is taken or it is not one."""

    def decorate(frontend: _F) -> _F:
        if not (isinstance(frontend, type) and issubclass(frontend, FrontendModule)):
            raise PluginError(f"@register_frontend('{name}') takes a subclass of FrontendModule.")
        FRONTENDS.register(name, frontend, summary=summary, paper=paper)
        return frontend

    return decorate


def create_frontend(name: str, **params: Any) -> FrontendModule:
    """A registered front end by name, e.g. `create_frontend("kaldi-fbank", hop_ms=20.0)`."""
    from ..core.plugins import discover

    discover()
    frontend: FrontendModule = FRONTENDS.create(name, **params)
    return frontend


class SpectralFrontend(FrontendModule):
    """A front end of power spectra: frames that overlap are windowed, transformed, and their power summed into bins.

    Args:
        n_mels, hop_ms, shortest: see `FrontendModule`.
        window: (n_fft,) weights of a frame's samples.
        banks: (n_fft // 2 + 1, n_mels) what each frequency of a frame adds to each bin.
    """

    window: Tensor
    banks: Tensor

    def __init__(self, n_mels: int, hop_ms: float, shortest: int, *, window: Tensor, banks: Tensor) -> None:
        super().__init__(n_mels, hop_ms, shortest)
        self.constant("window", window)
        # A row for the real part of a frequency and one for the imaginary: their squares add up to its power.
        self.constant("banks", banks.repeat_interleave(2, dim=0))
        self.bands = nonzero_bands(self.banks)

    @abstractmethod
    def windowed(self, waveforms: Tensor) -> Tensor:
        """(B, frames, n_fft) windowed frames of waveforms (B, T)."""

    @abstractmethod
    def scaled(self, power: Tensor) -> Tensor:
        """Features of the power in each bin, value by value, written over it."""

    def features(self, waveforms: Tensor) -> Tensor:
        spectra, banks = torch.fft.rfft(self.windowed(waveforms)), self.banks.to(waveforms.dtype)
        squares = torch.view_as_real(spectra).square_().flatten(-2)
        power = torch.cat([squares[..., rows] @ banks[rows, bins] for rows, bins in self.bands], dim=-1)
        return self.scaled(power).transpose(1, 2)


def nonzero_bands(banks: Tensor, parts: int = 4) -> list[tuple[slice, slice]]:
    """For each part of a matrix's columns, the rows between which all its weights lie, and these columns.

    A bin has few frequencies, which lie side by side: of mel banks, four such blocks are a quarter. A part without
    weights has the first row.
    """
    bands = []
    for columns in torch.arange(banks.shape[1]).chunk(parts):
        rows = banks[:, columns].any(dim=1).nonzero().flatten().tolist() or [0]
        bands.append((slice(rows[0], rows[-1] + 1), slice(int(columns[0]), int(columns[-1]) + 1)))
    return bands


def centred(waveforms: Tensor, window: Tensor, hop: int) -> Tensor:
    """(B, frames, n_fft) windowed frames about every `hop`-th sample of waveforms (B, T), reflected at their ends."""
    reach = len(window) // 2
    # `F.pad` reflects as well, sample by sample: that takes longer than the transform.
    before, after = waveforms[:, 1 : 1 + reach].flip(-1), waveforms[:, -1 - reach : -1].flip(-1)
    frames = torch.cat([before, waveforms, after], dim=-1).unfold(-1, len(window), hop)
    return frames * window.to(frames.dtype)


def emphasised(waveforms: Tensor, share: float) -> Tensor:
    """(B, T − 1) samples of waveforms (B, T), less a share of the one before: pre-emphasis."""
    return torch.sub(waveforms[:, 1:], waveforms[:, :-1], alpha=share)


def decibels(power: Tensor, floor: float) -> Tensor:
    """10·log10 of power, which is raised to a floor; written over it."""
    return power.clamp_min_(floor).log10_().mul_(10)


def kaldi_mel_banks(n_mels: int, n_fft: int, rate: int, low_hz: float, high_hz: float) -> Tensor:
    """(n_fft // 2 + 1, n_mels) triangles on Kaldi's mel scale; the Nyquist bin has no weight, as in Kaldi."""
    banks, _ = get_mel_banks(n_mels, n_fft, float(rate), low_hz, high_hz, 100.0, -500.0, 1.0)
    return F.pad(banks, (0, 1)).T.contiguous()


@register_frontend(
    "kaldi-fbank",
    summary="the published AST chain: 128 Kaldi log-mel bins at 16 kHz, AudioSet's mean and spread",
    paper="Gong et al., AST, Interspeech 2021; Bae et al., Patch-Mix, Interspeech 2023",
)
class KaldiFbank(SpectralFrontend):
    """`torchaudio.compliance.kaldi.fbank(htk_compat=True, window_type="hanning", dither=0)` for a batch.

    Each frame loses its mean, is pre-emphasised (0.97) and windowed; the log's floor is float32's epsilon.
    The result is (x + 4.2677393) / (2 · 4.5689974), the constants of AST's AudioSet recipe.
    """

    rate = 16_000
    edge_fade = 1000

    PREEMPHASIS = 0.97
    LOW_HZ = 20.0
    MEAN, SPREAD = -4.2677393, 4.5689974

    def __init__(self, *, n_mels: Bins = 128, window_ms: Milliseconds = 25.0, hop_ms: Milliseconds = 10.0) -> None:
        length = self.samples(window_ms)
        n_fft = 1 << (length - 1).bit_length()  # the next power of two
        window = F.pad(torch.hann_window(length, periodic=False), (0, n_fft - length))
        banks = kaldi_mel_banks(n_mels, n_fft, self.rate, self.LOW_HZ, self.rate / 2)
        super().__init__(n_mels, hop_ms, shortest=length, window=window, banks=banks)

    def count(self, n_samples: int) -> int:
        return 1 + (n_samples - self.shortest) // self.hop

    def windowed(self, waveforms: Tensor) -> Tensor:
        window = self.window.to(waveforms.dtype)
        # Kaldi takes the mean off a frame before it emphasises. That differs in the frame's first sample alone, and
        # there, as on samples that follow the frame, the window is 0.
        means = waveforms.unfold(-1, self.shortest, self.hop).mean(dim=-1, keepdim=True)
        padded = F.pad(emphasised(waveforms, self.PREEMPHASIS), (1, len(window) - self.shortest))
        frames = padded.unfold(-1, len(window), self.hop) * window
        return frames.addcmul_(means, window, value=self.PREEMPHASIS - 1)

    def scaled(self, power: Tensor) -> Tensor:
        return power.clamp_min_(torch.finfo(torch.float32).eps).log_().sub_(self.MEAN).div_(2 * self.SPREAD)


@register_frontend(
    "panns-log-mel",
    summary="PANNs' 16 kHz variant: 64 Slaney log-mel bins from 50 to 8000 Hz, in dB",
    paper="Kong et al., PANNs, IEEE/ACM TASLP 2020",
)
class PannsLogMel(SpectralFrontend):
    """Power of a centred STFT (32 ms Hann, reflected ends) in Slaney bins; 10·log10 with a floor of 1e-10."""

    rate = 16_000

    WINDOW = 512
    LOW_HZ, HIGH_HZ = 50.0, 8000.0
    FLOOR = 1e-10

    def __init__(self, *, n_mels: Bins = 64, hop_ms: Milliseconds = 10.0) -> None:
        banks = melscale_fbanks(
            self.WINDOW // 2 + 1,
            self.LOW_HZ,
            self.HIGH_HZ,
            n_mels,
            self.rate,
            norm="slaney",
            mel_scale="slaney",
        )
        reach = self.WINDOW // 2
        super().__init__(n_mels, hop_ms, shortest=reach + 1, window=torch.hann_window(self.WINDOW), banks=banks)
        self.reach = reach

    def count(self, n_samples: int) -> int:
        return 1 + n_samples // self.hop

    def windowed(self, waveforms: Tensor) -> Tensor:
        return centred(waveforms, self.window, self.hop)

    def scaled(self, power: Tensor) -> Tensor:
        return decibels(power, self.FLOOR)


@register_frontend(
    "panns-log-mel-32k",
    summary="PANNs' own, at 32 kHz: 64 Slaney log-mel bins from 50 to 14000 Hz, in dB",
    paper="Kong et al., PANNs, IEEE/ACM TASLP 2020",
)
class PannsLogMel32k(PannsLogMel):
    """The same chain at twice the rate, as most of PANNs' checkpoints were trained."""

    rate = 32_000

    WINDOW = 1024
    HIGH_HZ = 14_000.0


@register_frontend(
    "efficientat-mel",
    summary="EfficientAT's: 128 Kaldi log-mel bins up to 15 kHz at 32 kHz",
    paper="Schmid et al., Efficient large-scale audio tagging, ICASSP 2023",
)
class EfficientatMel(SpectralFrontend):
    """Pre-emphasis (0.97), centred STFT (1024 points, symmetric 25 ms Hann), (ln(bins + 1e-5) + 4.5) / 5.

    The bins end at 15 kHz, as in EfficientAT's evaluation; its training jitters both edges, this does not.
    """

    rate = 32_000

    N_FFT, WINDOW = 1024, 800
    PREEMPHASIS = 0.97
    LOW_HZ, HIGH_HZ = 0.0, 15_000.0
    OFFSET = 1e-5

    def __init__(self, *, n_mels: Bins = 128, hop_ms: Milliseconds = 10.0) -> None:
        beside = (self.N_FFT - self.WINDOW) // 2
        window = F.pad(torch.hann_window(self.WINDOW, periodic=False), (beside, beside))
        banks = kaldi_mel_banks(n_mels, self.N_FFT, self.rate, self.LOW_HZ, self.HIGH_HZ)
        # Reflection needs more than half a transform, and pre-emphasis takes one sample.
        super().__init__(n_mels, hop_ms, shortest=self.N_FFT // 2 + 2, window=window, banks=banks)
        self.reach = self.WINDOW // 2

    def count(self, n_samples: int) -> int:
        return 1 + (n_samples - 1) // self.hop

    def windowed(self, waveforms: Tensor) -> Tensor:
        return centred(emphasised(waveforms, self.PREEMPHASIS), self.window, self.hop)

    def scaled(self, power: Tensor) -> Tensor:
        return power.add_(self.OFFSET).log_().add_(4.5).div_(5)
