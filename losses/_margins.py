"""The margin of a clip, composed of what its recording's quality and its class's rarity say.

    m = γ·κ·f(q) + (1 − γ)·m_target·g(y)

f and g are rules by name, below; a term without a rule falls away, and the other then enters whole, as if γ were 0 or
1. QLung is f linear and g log_prior, a fixed margin is g constant alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Literal

import torch
from torch import Tensor, nn

from rsbench import Batch

ByQuality = Literal["none", "linear", "quadratic", "sqrt", "step"]
ByClass = Literal["none", "constant", "log_prior", "ldam", "dynamic_range"]

# f: quality in [0, 1] to a share of κ, never falling, from 0 at the worst recording to 1 at the best. The few that ask
# different questions: is the middle of the scale nearer to its end (sqrt: spare the worst alone), to its beginning
# (quadratic: ask it of the best alone), in between, or is there no scale but only good and bad (step)?
QUALITY_RULES: Mapping[str, Callable[[Tensor], Tensor]] = {
    "linear": lambda quality: quality,
    "quadratic": lambda quality: quality**2,
    "sqrt": lambda quality: quality.sqrt(),
    "step": lambda quality: (quality >= 0.5).to(quality.dtype),
}


def log_prior(class_counts: Tensor) -> Tensor:
    """−ln π_y / ln C: 1 for every class when all are alike (QLung's imbalance margin)."""
    return -(class_counts / class_counts.sum()).log() / math.log(len(class_counts))


def fourth_root(class_counts: Tensor) -> Tensor:
    """n_y^(−1/4), the rarest class's being 1 (Cao et al., NeurIPS 2019)."""
    return (class_counts.min() / class_counts) ** 0.25


def dynamic_range(class_counts: Tensor) -> Tensor:
    """(ln n_max − ln n_y) / (ln n_max − ln n_min): 0 for the most frequent class, 1 for the rarest.

    0 for all where all are alike. The size of a cloud of Li et al., CVPR 2022, normalised as in their code.
    """
    below = class_counts.max().log() - class_counts.log()
    return below / below.max() if below.any() else below


# g: clips per class (C,) to a share of m_target per class (C,).
CLASS_RULES: Mapping[str, Callable[[Tensor], Tensor]] = {
    "constant": torch.ones_like,
    "log_prior": log_prior,
    "ldam": fourth_root,
    "dynamic_range": dynamic_range,
}


class Margin(nn.Module):
    """The angle in radians that each clip's own class is moved by.

    Args:
        class_counts: (C,) training clips per class.
        by_quality: f, or "none".
        by_class: g, or "none".
        quality_rad: κ, the margin of the best recording.
        class_rad: m_target, the margin of a class whose share is 1.
        gamma: γ, the share of the quality term where both stand, in [0, 1].
    """

    by_class_rad: Tensor

    def __init__(
        self,
        class_counts: Tensor,
        *,
        by_quality: ByQuality,
        by_class: ByClass,
        quality_rad: float,
        class_rad: float,
        gamma: float,
    ) -> None:
        super().__init__()
        has_both = by_quality != "none" and by_class != "none"
        self.of_quality = QUALITY_RULES.get(by_quality)
        self.quality_rad = quality_rad * (gamma if has_both else 1.0)
        of_class = CLASS_RULES.get(by_class, torch.zeros_like)(class_counts)
        by_class_rad = class_rad * of_class * (1 - gamma if has_both else 1.0)
        self.register_buffer("by_class_rad", by_class_rad, persistent=False)

    def forward(self, batch: Batch) -> Tensor:
        """(B,) radians."""
        by_class = self.by_class_rad[batch.labels]
        return by_class if self.of_quality is None else self.quality_rad * self.of_quality(batch.quality) + by_class
