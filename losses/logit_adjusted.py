"""Logit adjustment by the classes' shares, while training or after it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from torch import Tensor

from rsbench import Batch, LinearLoss, Range, cross_entropy, register_loss

from ._options import NonNegative


@register_loss(
    "logit_adjusted",
    summary="logits shifted by τ·ln π, while training or at inference",
    paper="Menon et al., ICLR 2021, arXiv:2007.07314",
)
class LogitAdjusted(LinearLoss):
    """Cross-entropy of W·x + b + τ·ln π_j (equation 10 of the paper), or logits W·x + b − τ·ln π_j (equation 9).

    Both aim at the classifier with the least balanced error. It has no class weights: they would balance twice.

    Args:
        embedding_dim: D.
        class_counts: training clips per class.
        tau: τ; 0 is cross-entropy, 1 is Fisher consistent, and while training is balanced softmax.
        when: "training", or "post-hoc" for plain cross-entropy whose logits are shifted at inference.
    """

    # From cross-entropy to twice the shift that is Fisher consistent.
    search = {"tau": Range(0.0, 2.0)}

    adjustment: Tensor

    def __init__(
        self,
        embedding_dim: int,
        class_counts: Sequence[int],
        *,
        tau: NonNegative = 1.0,
        when: Literal["training", "post-hoc"] = "training",
    ) -> None:
        super().__init__(embedding_dim, class_counts)
        self.when = when
        self.register_buffer("adjustment", (tau * self.priors.log()).float(), persistent=False)

    def forward(self, embeddings: Tensor, batch: Batch) -> Tensor:
        logits = super().logits(embeddings)
        if self.when == "training":
            logits = logits + self.adjustment
        return cross_entropy(logits, batch.labels, self.class_counts, "none")

    def logits(self, embeddings: Tensor) -> Tensor:
        logits = super().logits(embeddings)
        return logits - self.adjustment if self.when == "post-hoc" else logits
