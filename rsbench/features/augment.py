"""SpecAugment on the device: each clip has its own masks, drawn on the CPU so that every device sees them."""

from __future__ import annotations

from collections.abc import Sequence

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
