"""ArcFace: an additive angular margin, the same for all clips or composed of their quality and their class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from rsbench import AngularLoss, Batch, Range, register_loss

from ._margins import ByClass, ByQuality, Margin
from ._options import MarginRad, Positive, Share


@register_loss(
    "arcface",
    summary="additive angular margin: s·cos(θ_y + m)",
    paper="Deng et al., CVPR 2019, arXiv:1801.07698",
)
class ArcFace(AngularLoss):
    """Cross-entropy with the target logit s·cos(θ_y + m), equation 3 of the paper.

    The defaults are the paper's, for millions of faces; sets as small as ICBHI want a scale of 15–30 and a
    margin of 0.1–0.3.

    Args:
        embedding_dim: D.
        class_counts: training clips per class.
        m_rad: the margin m, in [0, π/2]; that of a class whose share by `by_class` is 1.
        by_class: how m follows from the class's clips; "constant", as published, is one margin for all.
        by_quality: how the margin follows from the recording's quality; not in the paper.
        kappa_rad: κ, the quality margin of a clip of quality 1, in [0, π/2].
        gamma: γ, the share of the quality margin where there are both, in [0, 1].
        easy_margin: give the margin only to clips on their class's own side, cos θ_y > 0.
        scale: s.
        **options: class_weights of `AngularLoss`.
    """

    # From no margin, so that the search may find none best, to a little over the paper's.
    search = {"m_rad": Range(0.0, 0.6)}

    def __init__(  # noqa: PLR0913 (a margin has two rules, their sizes and their blend)
        self,
        embedding_dim: int,
        class_counts: Sequence[int],
        *,
        m_rad: MarginRad = 0.5,
        by_class: ByClass = "constant",
        by_quality: ByQuality = "none",
        kappa_rad: MarginRad = 0.5,
        gamma: Share = 0.5,
        easy_margin: bool = False,
        scale: Positive = 64.0,
        **options: Any,
    ) -> None:
        super().__init__(embedding_dim, class_counts, scale=scale, **options)
        self.margin = Margin(
            self.class_counts,
            by_quality=by_quality,
            by_class=by_class,
            quality_rad=kappa_rad,
            class_rad=m_rad,
            gamma=gamma,
        )
        self.easy_margin = easy_margin

    def target_margin(self, batch: Batch, cosine: Tensor) -> tuple[Tensor, float]:
        angle_rad = self.margin(batch)
        return torch.where(cosine > 0, angle_rad, 0.0) if self.easy_margin else angle_rad, 0.0
