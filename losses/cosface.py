"""CosFace, also known as additive-margin softmax: a margin on the cosine itself."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from rsbench import AngularLoss, Batch, Range, register_loss

from ._options import NonNegative, Positive


@register_loss(
    "cosface",
    summary="additive cosine margin: s·(cos θ_y − m)",
    paper="Wang et al., CVPR 2018, arXiv:1801.09414",
)
class CosFace(AngularLoss):
    """Cross-entropy with the target logit s·(cos θ_y − m), equation 4 of the paper.

    Args:
        m: the margin in units of the cosine, not an angle.
        scale: s.
        **options: class_weights of `AngularLoss`.
    """

    # From no margin, so that the search may find none best, to a little over the paper's.
    search = {"m": Range(0.0, 0.5)}

    def __init__(self, *args: Any, m: NonNegative = 0.35, scale: Positive = 64.0, **options: Any) -> None:
        super().__init__(*args, scale=scale, **options)
        self.m = m

    def target_margin(self, batch: Batch, cosine: Tensor) -> tuple[float, float]:
        return 0.0, self.m
