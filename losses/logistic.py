"""Multinomial logistic regression, solved: the honest probe of given embeddings, without seeds, rates or epochs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from rsbench import Batch, ClassWeights, LinearLoss, cross_entropy, inverse_frequency, register_loss
from rsbench.core.errors import SpecError

STRENGTHS = np.logspace(-5, 2, 15)  # two a decade, from the strongest penalty to the weakest


@register_loss(
    "logistic", summary="multinomial logistic regression, solved for; its penalty is chosen on validation patients"
)
class LogisticRegression(LinearLoss):
    """The minimum of ½·‖W‖² + C·Σ w_y·ℓ, ℓ the cross-entropy of softmax(W·(x − μ)/σ + b).

    μ and σ are those of the clips to fit, w has the mean 1 over them. scikit-learn's L-BFGS solves it in float64. C is
    that of least cross-entropy on the held-out clips, the mean of its means by class; it is looked for upwards from the
    strongest penalty, each solution starting from the one before, until it rises. `forward` is the cross-entropy
    without the penalty.

    Args:
        embedding_dim: D.
        class_counts: training clips per class.
        class_weights: "none", or "inverse" for weights ∝ 1/n.
        c: C; 0 chooses it on validation.
    """

    solved = True
    mean: Tensor
    deviation: Tensor

    def __init__(
        self,
        embedding_dim: int,
        class_counts: Sequence[int],
        *,
        class_weights: ClassWeights = "none",
        c: Annotated[float, Field(ge=0)] = 0.0,
    ) -> None:
        super().__init__(embedding_dim, class_counts)
        self.class_weights = class_weights
        self.c = c
        self.register_buffer("mean", torch.zeros(embedding_dim))
        self.register_buffer("deviation", torch.ones(embedding_dim))

    def logits(self, embeddings: Tensor) -> Tensor:
        return super().logits((embeddings - self.mean) / self.deviation)

    def forward(self, embeddings: Tensor, batch: Batch) -> Tensor:
        return cross_entropy(self.logits(embeddings), batch.labels, self.class_counts, self.class_weights)

    def solve(self, embeddings: Tensor, labels: Tensor, held_out: Tensor, held_out_labels: Tensor) -> dict[str, float]:
        """See `Loss.solve`; gives `c`. Raises SpecError where C is to be chosen, and no clip is held out."""
        from sklearn.linear_model import LogisticRegression as Solver  # half a second, which other losses do without

        if not self.c and not len(held_out):
            raise SpecError(
                "loss.c=0 is chosen on validation patients, and there are none. Give it: --set loss.c=0.01, say."
            )
        deviation, mean = torch.std_mean(embeddings.double(), dim=0, correction=0)
        deviation = torch.where(deviation > 0, deviation, 1.0)  # what never differs says nothing
        fitted, held = (((part.double() - mean) / deviation).numpy() for part in (embeddings, held_out))
        solver, weights = Solver(max_iter=10_000, warm_start=True), self._weights(labels)
        found, least = (0.0, np.empty(0), np.empty(0)), np.inf
        for c in (self.c,) if self.c else STRENGTHS:
            solver.set_params(C=c).fit(fitted, labels.numpy(), sample_weight=weights)
            risk = balanced_risk(solver.decision_function(held), held_out_labels) if len(held) else 0.0
            if risk >= least:
                break
            found, least = (float(c), solver.coef_, solver.intercept_), risk
        chosen, weight, bias = found
        with torch.no_grad():
            self.mean.copy_(mean)
            self.deviation.copy_(deviation)
            self.classifier.weight.copy_(torch.from_numpy(weight))
            self.classifier.bias.copy_(torch.from_numpy(bias))
        return {"c": chosen}

    def _weights(self, labels: Tensor) -> np.ndarray:
        """(N,) what each clip counts, 1 in the mean over the clips to fit."""
        if self.class_weights == "none":
            return np.ones(len(labels))
        weights = inverse_frequency(self.class_counts.cpu())[labels]
        return (weights / weights.mean()).numpy()


def balanced_risk(logits: np.ndarray, labels: Tensor) -> float:
    """The cross-entropy of logits (M, C) over labels (M,), as the mean of its means by class, of those that occur."""
    counts = labels.bincount(minlength=logits.shape[1]).clamp(min=1)  # a class without clips has no weight in the mean
    return cross_entropy(torch.from_numpy(logits), labels, counts, "inverse").item()
