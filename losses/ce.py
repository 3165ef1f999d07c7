"""Cross-entropy over a linear classifier: the baseline of every table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field
from torch import Tensor

from rsbench import Batch, ClassWeights, LinearLoss, Range, cross_entropy, register_loss


@register_loss("ce", summary="cross-entropy over a linear classifier, plain, weighted or smoothed")
class CrossEntropy(LinearLoss):
    """Cross-entropy of softmax(W·x + b).

    Weighted, it is the mean over the batch with each clip counted by its class's weight, as in the published
    ICBHI scripts: Σ w_y·ℓ / Σ w_y.

    Args:
        embedding_dim: D.
        class_counts: training clips per class.
        class_weights: "none", or "inverse" for weights ∝ 1/n.
        smoothing: ε of label smoothing, in [0, 1): the label's share becomes 1 − ε + ε/C, the others' ε/C
            (Szegedy et al., CVPR 2016, section 7).
    """

    # Up to twice the ε of Szegedy et al.
    search = {"smoothing": Range(0.0, 0.2)}

    def __init__(
        self,
        embedding_dim: int,
        class_counts: Sequence[int],
        *,
        class_weights: ClassWeights = "none",
        smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0,
    ) -> None:
        super().__init__(embedding_dim, class_counts)
        self.class_weights = class_weights
        self.smoothing = smoothing

    def forward(self, embeddings: Tensor, batch: Batch) -> Tensor:
        return cross_entropy(
            self.logits(embeddings), batch.labels, self.class_counts, self.class_weights, self.smoothing
        )
