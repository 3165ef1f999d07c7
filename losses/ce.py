"""Cross-entropy over a linear classifier: the baseline of every table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from rsbench import Batch, Loss, inverse_frequency, register_loss

from ._options import ClassWeights


@register_loss("ce", summary="cross-entropy over a linear classifier, plain, weighted or smoothed")
class CrossEntropy(Loss):
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

    class_weight: Tensor | None

    def __init__(
        self,
        embedding_dim: int,
        class_counts: Sequence[int],
        *,
        class_weights: ClassWeights = "none",
        smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0,
    ) -> None:
        super().__init__(embedding_dim, class_counts)
        self.smoothing = smoothing
        self.classifier = nn.Linear(embedding_dim, self.num_classes)
        weight = inverse_frequency(self.class_counts) if class_weights == "inverse" else None
        self.register_buffer("class_weight", weight, persistent=False)

    def forward(self, embeddings: Tensor, batch: Batch) -> Tensor:
        logits = self.logits(embeddings)
        weight = None if self.class_weight is None else self.class_weight.to(logits.dtype)
        return F.cross_entropy(logits, batch.labels, weight, label_smoothing=self.smoothing)

    def logits(self, embeddings: Tensor) -> Tensor:
        logits: Tensor = self.classifier(embeddings)
        return logits
