"""CosFace, also known as additive-margin softmax: a margin on the cosine itself."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from rsbench import AngularLoss, Batch, register_loss

from ._options import NonNegative, Positive


@register_loss(
    "cosface",
    summary="additive cosine margin: s·(cos θ_y − m)",
    paper="Wang et al., CVPR 2018, arXiv:1801.09414",
)
class CosFace(AngularLoss):
    """Cross-entropy with the target logit s·(cos θ_y − m), equation 4 of the paper.

    Args:
        embedding_dim: D.
        class_counts: training clips per class.
        m: the margin in units of the cosine, not an angle.
        scale: s.
    """

    def __init__(
        self,
        embedding_dim: int,
        class_counts: Sequence[int],
        *,
        m: NonNegative = 0.35,
        scale: Positive = 64.0,
    ) -> None:
        super().__init__(embedding_dim, class_counts, scale=scale)
        self.m = m

    def target_margin(self, batch: Batch, cosine: Tensor) -> tuple[float, float]:
        return 0.0, self.m
