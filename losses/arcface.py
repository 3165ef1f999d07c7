"""ArcFace: an additive angular margin."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from rsbench import AngularLoss, Batch, register_loss

from ._options import MarginRad, Positive


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
        m_rad: the margin m, in [0, π/2].
        easy_margin: give the margin only to clips on their class's own side, cos θ_y > 0.
        scale: s.
    """

    def __init__(
        self,
        embedding_dim: int,
        class_counts: Sequence[int],
        *,
        m_rad: MarginRad = 0.5,
        easy_margin: bool = False,
        scale: Positive = 64.0,
    ) -> None:
        super().__init__(embedding_dim, class_counts, scale=scale)
        self.m_rad = m_rad
        self.easy_margin = easy_margin

    def target_margin(self, batch: Batch, cosine: Tensor) -> tuple[Tensor | float, float]:
        if self.easy_margin:
            return torch.where(cosine > 0, self.m_rad, 0.0), 0.0
        return self.m_rad, 0.0
