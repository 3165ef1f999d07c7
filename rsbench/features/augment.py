"""Augmentation on the device, drawn on the CPU so that every device sees the same: SpecAugment, mixup and MixStyle."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from ..core.draws import sent
from ..core.errors import SpecError, did_you_mean, shown

QUIRKS = {
    "randn-gate": "as published: a batch is masked only where a normal draw is at most 1, 84 % of the time",
    "one-mask-per-batch": "as published: all clips of a batch share their masks",
}


def check_quirks(quirks: Sequence[str]) -> None:
    """Raises SpecError for a quirk that does not exist."""
    for quirk in quirks:
        if quirk not in QUIRKS:
            raise SpecError(f"augment.quirks: there is no quirk {shown(quirk)}.{did_you_mean(quirk, QUIRKS)}")


def spec_augment(
    features: Tensor,
    generator: torch.Generator,
    freq_masks: int = 2,
    freq_share: float = 48 / 128,
    time_masks: int = 2,
    time_share: float = 160 / 798,
    quirks: Sequence[str] = (),
) -> Tensor:
    """Features with bands of bins and of frames replaced by the mean of their clip.

    A mask's width is uniform in [0, share · size), and its place uniform among those it fits in. At 128 × 798
    the defaults are the published masks: fewer than 48 bins, fewer than 160 frames.

    Args:
        features: (B, n_mels, frames); left as they are, a new tensor is returned.
        generator: a CPU generator; all draws come from it.
        freq_masks: bands of bins per clip, at least 0.
        freq_share: what their widths stay below, as a share of all bins, in [0, 1].
        time_masks: bands of frames per clip, at least 0.
        time_share: what their widths stay below, as a share of all frames, in [0, 1].
        quirks: names out of `QUIRKS`; SpecError for any other.

    Source: Park et al., SpecAugment, Interspeech 2019; the policy is that of Bae et al., Patch-Mix, 2023.
    """
    check_quirks(quirks)
    clips, bins, frames = features.shape
    drawn = 1 if "one-mask-per-batch" in quirks else clips
    if "randn-gate" in quirks and torch.randn((), generator=generator) > 1:
        return features.clone()
    freq = _bands(bins, freq_masks, freq_share, drawn, generator)
    time = _bands(frames, time_masks, time_share, drawn, generator)
    inside = sent(torch.cat([freq, time], dim=1), features.device).split([bins, frames], dim=1)
    masked = inside[0].unsqueeze(2) | inside[1].unsqueeze(1)
    return torch.where(masked, features.mean(dim=(1, 2), keepdim=True), features)


def _bands(size: int, masks: int, share: float, clips: int, generator: torch.Generator) -> Tensor:
    """(clips, size) True inside any of `masks` bands."""
    # float64: a float32 draw times the width can round up to the width itself.
    width, place = torch.rand(2, clips, masks, 1, generator=generator, dtype=torch.float64)
    width = (width * share * size).floor()
    start = (place * (size - width + 1)).floor()
    position = torch.arange(size)
    return ((start <= position) & (position < start + width)).any(dim=1)


def mixup(views: Tensor, clips: int, generator: torch.Generator, alpha: float) -> tuple[Tensor, Tensor, float]:
    """Every clip mixed with a partner: λ of itself and 1 − λ of the other, with one λ ~ Beta(α, α) for the batch.

    Args:
        views: (V · B, …) features or embeddings, view-major; left as they are.
        clips: B.
        generator: a CPU generator; all draws come from it.
        alpha: α > 0.

    Returns the mixed views, the partners (B,) and λ. All views of a clip are mixed with those of one partner.

    Source: Zhang et al., mixup, ICLR 2018, arXiv:1710.09412.
    """
    share = float(_beta(alpha, 1, generator))
    partner = sent(torch.randperm(clips, generator=generator), views.device)
    own = views.unflatten(0, (-1, clips))
    return (share * own + (1 - share) * own[:, partner]).flatten(0, 1), partner, share


STYLE_EPS = 1e-6  # added to a variance: a bin that is the same throughout has a deviation too


def mixstyle(features: Tensor, generator: torch.Generator, alpha: float, probability: float) -> Tensor:
    """Features whose bins have means and deviations between those of their own clip and of a partner's.

    The weight of a clip's own is λ ~ Beta(α, α), drawn for each clip; partners are a random order of the batch, from
    whatever domain they are. Which class a clip is of stays.

    Args:
        features: (B, n_mels, frames); left as they are.
        generator: a CPU generator; all draws come from it.
        alpha: α > 0.
        probability: of doing so at all, drawn once for the batch; the features themselves are returned otherwise.

    Source: Zhou et al., MixStyle, ICLR 2021, arXiv:2104.02008, with random shuffle; there the statistics are of the
    channels of hidden layers. Those of a spectrogram's bins are what devices differ in: Kim et al., Interspeech 2022,
    arXiv:2206.12513.
    """
    if torch.rand((), generator=generator) >= probability:
        return features
    clips = len(features)
    share = sent(_beta(alpha, clips, generator).to(features.dtype), features.device).view(-1, 1, 1)
    partner = sent(torch.randperm(clips, generator=generator), features.device)
    variance, mean = torch.var_mean(features, dim=2, correction=0, keepdim=True)
    deviation = (variance + STYLE_EPS).sqrt()
    mixed_mean = share * mean + (1 - share) * mean[partner]
    mixed_deviation = share * deviation + (1 - share) * deviation[partner]
    return (features - mean) / deviation * mixed_deviation + mixed_mean


def _beta(alpha: float, count: int, generator: torch.Generator) -> Tensor:
    """(count,) float64 draws of Beta(α, α), by numpy, since torch's take no generator."""
    seed = int(torch.randint(2**63 - 1, (), generator=generator))
    return torch.from_numpy(np.random.default_rng(seed).beta(alpha, alpha, count))
