"""ArcFace: an additive angular margin."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from rsbench import AngularLoss, Batch, Range, register_loss

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
        m_rad: the margin m, in [0, π/2].
        easy_margin: give the margin only to clips on their class's own side, cos θ_y > 0.
        scale: s.
        **options: class_weights of `AngularLoss`.
    """

    # From no margin, so that the search may find none best, to a little over the paper's.
    search = {"m_rad": Range(0.0, 0.6)}

    def __init__(
        self,
        *args: Any,
        m_rad: MarginRad = 0.5,
        easy_margin: bool = False,
        scale: Positive = 64.0,
        **options: Any,
    ) -> None:
        super().__init__(*args, scale=scale, **options)
        self.m_rad = m_rad
        self.easy_margin = easy_margin

    def target_margin(self, batch: Batch, cosine: Tensor) -> tuple[Tensor | float, float]:
        if self.easy_margin:
            return torch.where(cosine > 0, self.m_rad, 0.0), 0.0
        return self.m_rad, 0.0
