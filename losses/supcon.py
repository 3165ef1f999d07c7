"""Supervised contrast beside cross-entropy: clips of one class are drawn together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from rsbench import Batch, ClassWeights, LinearLoss, Range, cross_entropy, register_loss

from ._contrast import contrast, similarities
from ._options import Positive, Share


@register_loss(
    "supcon",
    summary="cross-entropy and supervised contrast between two augmented views of every clip",
    paper="Khosla et al., NeurIPS 2020, arXiv:2004.11362; as a hybrid Moummad and Farrugia, WASPAA 2023",
)
class SupCon(LinearLoss):
    """α·CE + (1 − α)·SupCon over both views, as in the hybrid of Moummad and Farrugia.

    SupCon is L_out, equation 2 of Khosla et al.: for each view the mean over its positives, all other views of its
    class, of −ln softmax of the cosines over τ among all other views. The cosines are between projections by a head of
    two layers that inference leaves out.

    Args:
        embedding_dim: D.
        class_counts: training clips per class.
        alpha: α, in [0, 1].
        temperature: τ.
        projection_dim: width of the projections.
        class_weights: of the cross-entropy: "none", or "inverse" for weights ∝ 1/n.
    """

    views = 2
    compares = True

    # Never without cross-entropy, by which alone the classifier learns.
    search = {"alpha": Range(0.1, 1.0), "temperature": Range(0.02, 0.5, log=True)}

    def __init__(
        self,
        embedding_dim: int,
        class_counts: Sequence[int],
        *,
        alpha: Share = 0.5,
        temperature: Positive = 0.06,
        projection_dim: Annotated[int, Field(ge=1)] = 128,
        class_weights: ClassWeights = "none",
    ) -> None:
        super().__init__(embedding_dim, class_counts)
        self.alpha = alpha
        self.temperature = temperature
        self.class_weights = class_weights
        self.head = nn.Sequential(
            nn.Linear(embedding_dim, embedding_dim), nn.ReLU(), nn.Linear(embedding_dim, projection_dim)
        )

    def forward(self, embeddings: Tensor, batch: Batch) -> Tensor:
        labels = batch.labels.repeat(self.views)
        classified = cross_entropy(self.logits(embeddings), labels, self.class_counts, self.class_weights)
        projections = self.head(embeddings)
        similarity = similarities(projections, projections, self.temperature)
        itself = torch.eye(len(labels), dtype=torch.bool, device=labels.device)
        # Not −∞: times a weight of 0 it would be no number.
        similarity = similarity.masked_fill(itself, torch.finfo(similarity.dtype).min)
        positives = (labels == labels.unsqueeze(1)) & ~itself
        return self.alpha * classified + (1 - self.alpha) * contrast(similarity, positives)
