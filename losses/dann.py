"""DANN: embeddings from which a second classifier cannot tell the domain."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from rsbench import Batch, Range, at_least_float32, cross_entropy, register_loss

from ._domains import DomainLoss
from ._options import NonNegative

STEEPNESS = 10.0  # of λ over the training: γ of the paper


@register_loss(
    "dann",
    summary="cross-entropy, and a classifier of domains whose gradient reaches the backbone reversed",
    paper="Ganin et al., JMLR 17, 2016, arXiv:1505.07818",
)
class Dann(DomainLoss):
    """CE of the class + CE of the domain, whose gradient for the embeddings is multiplied by −λ.

    λ = strength·(2/(1 + exp(−10·p)) − 1) with p the share of the training that is done. The classifier of domains has
    one hidden layer of ReLUs. Here all clips have a class, and there may be more than two domains.

    Args:
        strength: what λ ends near; at 0 the domain classifier only looks on.
        hidden: units of the domain classifier's hidden layer.
        **options: domain and class_weights of `DomainLoss`.
    """

    search = {"strength": Range(0.1, 10.0, log=True)}

    def __init__(
        self, *args: Any, strength: NonNegative = 1.0, hidden: Annotated[int, Field(ge=1)] = 100, **options: Any
    ) -> None:
        super().__init__(*args, **options)
        self.strength = strength
        self.hidden = hidden

    def meet(self, domains: Mapping[str, int]) -> None:
        super().meet(domains)
        self.domains = nn.Sequential(
            nn.Linear(self.embedding_dim, self.hidden), nn.ReLU(), nn.Linear(self.hidden, len(self.codes))
        )

    def forward(self, embeddings: Tensor, batch: Batch) -> Tensor:
        classified = cross_entropy(self.logits(embeddings), batch.labels, self.class_counts, self.class_weights)
        reversal = self.strength * (2 / (1 + math.exp(-STEEPNESS * batch.progress)) - 1)
        domains = self.domains(reversed_gradient(embeddings, reversal))
        return classified + F.cross_entropy(at_least_float32(domains), self.of_clips(batch))


def reversed_gradient(values: Tensor, times: float) -> Tensor:
    """The values as they are, whose gradient is multiplied by −times."""
    return values.detach() + times * (values.detach() - values)
