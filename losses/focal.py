"""Focal loss: clips that are already right count less."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from rsbench import Batch, ClassWeights, LinearLoss, Range, at_least_float32, inverse_frequency, register_loss

from ._options import NonNegative


@register_loss(
    "focal",
    summary="cross-entropy times (1 − p_y)^g: less of the clips that are already right",
    paper="Lin et al., ICCV 2017, arXiv:1708.02002",
)
class Focal(LinearLoss):
    """The mean of −(1 − p_y)^g·ln p_y with p the softmax of W·x + b, equation 4 of the paper.

    Class weights multiply a clip's whole term, as the paper's α (equation 5); p_y is the softmax without them.

    Args:
        embedding_dim: D.
        class_counts: training clips per class.
        focus: g, 0 for cross-entropy.
        class_weights: "none", or "inverse" for weights ∝ 1/n: Σ w_y·ℓ / Σ w_y.
    """

    # The paper's own grid.
    search = {"focus": Range(0.0, 5.0)}

    def __init__(
        self,
        embedding_dim: int,
        class_counts: Sequence[int],
        *,
        focus: NonNegative = 2.0,
        class_weights: ClassWeights = "none",
    ) -> None:
        super().__init__(embedding_dim, class_counts)
        self.focus = focus
        self.class_weights = class_weights

    def forward(self, embeddings: Tensor, batch: Batch) -> Tensor:
        surprise = F.cross_entropy(at_least_float32(self.logits(embeddings)), batch.labels, reduction="none")
        # 1 − p; kept off 0, where a power below 1 has no slope.
        doubt = -torch.expm1(-surprise).clamp_max(-torch.finfo(surprise.dtype).eps)
        counts = self.class_counts
        weights = inverse_frequency(counts) if self.class_weights == "inverse" else torch.ones_like(counts)
        of_clip = weights.to(surprise.dtype)[batch.labels]
        return (of_clip * doubt**self.focus * surprise).sum() / of_clip.sum()
