"""Group DRO: the domains on which the loss is largest count more and more."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from rsbench import Batch, Range, at_least_float32, inverse_frequency, register_loss

from ._domains import DomainLoss
from ._options import NonNegative


@register_loss(
    "group_dro",
    summary="cross-entropy per domain, weighted towards the domain that is worst",
    paper="Sagawa et al., ICLR 2020, arXiv:1911.08731",
)
class GroupDRO(DomainLoss):
    """Σ_k q_k·ℓ_k / Σ_k q_k over the domains of the batch, ℓ_k the mean cross-entropy of a domain's clips.

    In training q_k is first multiplied by exp(η·ℓ_k) and q divided by its sum (algorithm 1 of the paper); of a domain
    that the batch lacks ℓ_k is taken as 0. The paper's domains are the classes' too, and its batches hold all of them:
    here the weighted mean is over those that are there, so that every batch counts alike. In eval mode q stands still.

    Args:
        step: η; at 0 all domains count alike.
        **options: domain and class_weights of `DomainLoss`.
    """

    compares = True

    search = {"step": Range(1e-3, 1e-1, log=True)}

    q: Tensor

    def __init__(self, *args: Any, step: NonNegative = 0.01, **options: Any) -> None:
        super().__init__(*args, **options)
        self.step = step

    def meet(self, domains: Mapping[str, int]) -> None:
        super().meet(domains)
        self.register_buffer("q", torch.full((len(self.codes),), 1 / len(self.codes)))

    def forward(self, embeddings: Tensor, batch: Batch) -> Tensor:
        losses = F.cross_entropy(at_least_float32(self.logits(embeddings)), batch.labels, reduction="none")
        member = self.members(batch).to(losses.dtype)
        if self.class_weights == "inverse":
            member = member * inverse_frequency(self.class_counts).to(losses.dtype)[batch.labels]
        of_domain = (member * losses).sum(dim=1) / member.sum(dim=1).clamp_min(torch.finfo(losses.dtype).tiny)
        if self.training:
            risen = self.q * torch.exp(self.step * of_domain.detach()).to(self.q)
            self.q = risen / risen.sum()
        weights = self.q.to(losses.dtype) * member.any(dim=1)
        return (weights * of_domain).sum() / weights.sum()
