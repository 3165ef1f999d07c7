"""Class-balanced cross-entropy: weights by the effective number of clips."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor
from torch.nn import functional as F

from rsbench import Batch, LinearLoss, Range, at_least_float32, register_loss

from ._weights import Beta, effective_number_weights


@register_loss(
    "class_balanced",
    summary="cross-entropy weighted by the effective number of clips per class",
    paper="Cui et al., CVPR 2019, arXiv:1901.05555",
)
class ClassBalanced(LinearLoss):
    """The mean of w_y·ℓ with w ∝ (1 − β)/(1 − β^n) and Σ w = C, the softmax form of the paper's loss.

    It is a plain mean over the batch, not divided by the batch's own weights as weighted `ce` is.

    Args:
        embedding_dim: D.
        class_counts: training clips per class.
        beta: β in [0, 1): 0 weights all alike, near 1 it is ∝ 1/n.
    """

    # The paper's own grid runs from 0.9 to 0.9999.
    search = {"beta": Range(0.9, 0.9999)}

    weight_per_class: Tensor

    def __init__(self, embedding_dim: int, class_counts: Sequence[int], *, beta: Beta = 0.9999) -> None:
        super().__init__(embedding_dim, class_counts)
        weights = effective_number_weights(self.class_counts, beta)
        self.register_buffer("weight_per_class", weights, persistent=False)

    def forward(self, embeddings: Tensor, batch: Batch) -> Tensor:
        surprise = F.cross_entropy(at_least_float32(self.logits(embeddings)), batch.labels, reduction="none")
        return (self.weight_per_class.to(surprise.dtype)[batch.labels] * surprise).mean()
