"""The objective that `qlung` and `fixed_margin` share: a classification term, and DFAM with its margin."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from rsbench import AngularLoss, Batch, Range, cross_entropy

from ._options import NonNegative, Positive


class DualScaleLoss(AngularLoss):
    """CE(s_a·cos θ) + λ·DFAM, where DFAM = CE(s_d·cos θ with the target's cosine at cos(θ_y + m_d)).

    The margin m_d is a subclass's `target_margin`. Inference uses the first term's logits. Class weights enter the
    first term only: QLung's DFAM has a margin for rare classes instead, and its controls differ in the margin alone.

    Args:
        scale: s_a, of the classification term.
        dfam_scale: s_d, of DFAM; softer than s_a, so that the margin is felt by clips that are already right.
        dfam_lambda: λ, the share of DFAM; 0 leaves the classification term alone.
        **options: class_weights of `AngularLoss`.
    """

    # s_d from half to double the paper's; λ from no DFAM to as much of it as of the first term.
    search = {"dfam_scale": Range(7.5, 30.0, log=True), "dfam_lambda": Range(0.0, 1.0)}

    def __init__(
        self,
        *args: Any,
        scale: Positive = 37.0,
        dfam_scale: Positive = 15.0,
        dfam_lambda: NonNegative = 0.4,
        **options: Any,
    ) -> None:
        super().__init__(*args, scale=scale, **options)
        self.dfam_scale = dfam_scale
        self.dfam_lambda = dfam_lambda

    def forward(self, embeddings: Tensor, batch: Batch) -> Tensor:
        return self.classification(embeddings, batch) + self.dfam_lambda * self.dfam(embeddings, batch)

    def classification(self, embeddings: Tensor, batch: Batch) -> Tensor:
        """The scalar cross-entropy of the logits that inference uses."""
        return cross_entropy(self.logits(embeddings), batch.labels, self.class_counts, self.class_weights)

    def dfam(self, embeddings: Tensor, batch: Batch) -> Tensor:
        """The scalar cross-entropy under the margin."""
        cosines = self.dfam_cosines(embeddings)
        norms = torch.linalg.vector_norm(embeddings, dim=1, dtype=cosines.dtype)
        return F.cross_entropy(self.dfam_scale * self.margined(cosines, norms, batch), batch.labels)

    def dfam_cosines(self, embeddings: Tensor) -> Tensor:
        """(B, C) the cosines that DFAM sees: those of the classifier itself."""
        return self.cosines(embeddings)
