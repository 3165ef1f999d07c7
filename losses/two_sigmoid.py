"""Two yes-or-no answers, crackle and wheeze, from which the four classes follow."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rsbench import Batch, ClassWeights, Loss, at_least_float32, cross_entropy, register_loss
from rsbench.core.errors import SpecError


@register_loss("two_sigmoid", summary="crackle and wheeze as two sigmoids, of which the four classes are the products")
class TwoSigmoid(Loss):
    """The sum of two binary cross-entropies; as logits, the log-probabilities of the four classes.

    With p = sigmoid(W·x + b) for crackle and wheeze, taken as independent given the clip: normal (1 − p_c)(1 − p_w),
    crackle p_c(1 − p_w), wheeze (1 − p_c)p_w, both p_c·p_w. So a clip of `both` teaches crackle and wheeze alike.

    Args:
        embedding_dim: D.
        class_counts: training clips of normal, crackle, wheeze, both, in this order.
        class_weights: how a clip counts: "none" for all alike, "inverse" for ∝ 1/n of its class.

    Raises SpecError when there are not four classes.
    """

    def __init__(
        self, embedding_dim: int, class_counts: Sequence[int], *, class_weights: ClassWeights = "none"
    ) -> None:
        super().__init__(embedding_dim, class_counts)
        if self.num_classes != 4:
            raise SpecError(
                f"loss 'two_sigmoid' needs the four classes normal, crackle, wheeze and both, in this order; "
                f"here are {self.num_classes}. Choose another loss, ce say."
            )
        self.class_weights = class_weights
        self.classifier = nn.Linear(embedding_dim, 2)

    def forward(self, embeddings: Tensor, batch: Batch) -> Tensor:
        # The logits are log-probabilities: their softmax is themselves, and their cross-entropy −ln p_y.
        return cross_entropy(self.logits(embeddings), batch.labels, self.class_counts, self.class_weights)

    def logits(self, embeddings: Tensor) -> Tensor:
        scores = at_least_float32(self.classifier(embeddings))
        (crackle, wheeze), (no_crackle, no_wheeze) = F.logsigmoid(scores).T, F.logsigmoid(-scores).T
        both = (no_crackle + no_wheeze, crackle + no_wheeze, no_crackle + wheeze, crackle + wheeze)
        return torch.stack(both, dim=1)
