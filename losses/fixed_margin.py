"""QLung's objective with one margin for all clips: the control of what quality and class frequency add."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from rsbench import Batch, Range, register_loss

from ._dfam import DualScaleLoss
from ._options import MarginRad


@register_loss(
    "fixed_margin",
    summary="QLung's objective with a constant margin",
    paper="Kim et al., Interspeech 2026, arXiv:2606.11915 (ablation)",
)
class FixedMargin(DualScaleLoss):
    """CE(s_a·cos θ) + λ·DFAM with m_d = m for every clip.

    Args:
        m_rad: the margin m, in [0, π/2]. The paper does not state it; the default is QLung's m_target.
        **options: scale, dfam_scale, dfam_lambda and class_weights of `DualScaleLoss`.
    """

    # ArcFace's range for the margin.
    search = {"m_rad": Range(0.0, 0.6), **DualScaleLoss.search}

    def __init__(self, *args: Any, m_rad: MarginRad = 0.2, **options: Any) -> None:
        super().__init__(*args, **options)
        self.m_rad = m_rad

    def target_margin(self, batch: Batch, cosine: Tensor) -> tuple[float, float]:
        return self.m_rad, 0.0
