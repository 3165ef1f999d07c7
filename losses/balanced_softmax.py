"""Balanced softmax: a softmax whose classes weigh as much as they have clips."""

from __future__ import annotations

from torch import Tensor

from rsbench import Batch, LinearLoss, cross_entropy, register_loss


@register_loss(
    "balanced_softmax",
    summary="cross-entropy of logits + ln π: logit adjustment with τ = 1",
    paper="Ren et al., NeurIPS 2020, arXiv:2007.10740",
)
class BalancedSoftmax(LinearLoss):
    """Cross-entropy of W·x + b + ln π_j; inference uses W·x + b.

    The paper writes n_j for π_j, which is the same softmax. It has no class weights: they would balance twice.
    """

    def forward(self, embeddings: Tensor, batch: Batch) -> Tensor:
        logits = self.logits(embeddings) + self.priors.log().float()
        return cross_entropy(logits, batch.labels, self.class_counts, "none")
