"""CurricularFace: hard classes are made to count as the training gets on."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from rsbench import AngularLoss, Batch, Range, own_cosine, register_loss, shift_angle

from ._options import MarginRad, Positive, Share


@register_loss(
    "curricularface",
    summary="ArcFace whose hard other classes are weighted by how far the training has come",
    paper="Huang et al., CVPR 2020, arXiv:2004.00288",
)
class CurricularFace(AngularLoss):
    """Cross-entropy with the target logit s·cos(θ_y + m), and s·c_j·(t + c_j) for every hard class j.

    Hard is a class j with c_j > cos(θ_y + m); others keep s·c_j. t is the moving average of the batches' mean c_y,
    from 0: easy classes first. In eval mode t stands still.

    Args:
        m_rad: the margin m, in [0, π/2].
        ema: the share of the newest batch in t.
        scale: s.
        **options: class_weights of `AngularLoss`.
    """

    compares = True

    # ArcFace's range.
    search = {"m_rad": Range(0.0, 0.6)}

    t: Tensor

    def __init__(
        self, *args: Any, m_rad: MarginRad = 0.5, ema: Share = 0.01, scale: Positive = 64.0, **options: Any
    ) -> None:
        super().__init__(*args, scale=scale, **options)
        self.m_rad = m_rad
        self.ema = ema
        self.register_buffer("t", torch.tensor(0.0))

    def target_margin(self, batch: Batch, cosine: Tensor) -> tuple[float, float]:
        return self.m_rad, 0.0

    def margined(self, cosines: Tensor, norms: Tensor, batch: Batch) -> Tensor:
        own = own_cosine(cosines, batch.labels)
        if self.training:
            self.t = self.t.lerp(own.detach().mean().to(self.t), self.ema)
        moved = shift_angle(own, self.m_rad).unsqueeze(1)
        others = torch.where(cosines > moved, cosines * (self.t + cosines), cosines)
        return others.scatter(1, batch.labels.unsqueeze(1), moved)
