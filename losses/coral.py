"""Deep CORAL: the spread of the logits is the same in all domains."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from rsbench import Batch, Range, at_least_float32, cross_entropy, register_loss

from ._domains import DomainLoss
from ._options import NonNegative


@register_loss(
    "coral",
    summary="cross-entropy, and how far the covariances of the logits lie apart between domains",
    paper="Sun and Saenko, ECCV 2016 Workshops, arXiv:1607.01719",
)
class Coral(DomainLoss):
    """CE + λ·mean over pairs of domains of ‖C_k − C_l‖²_F / (4·C²), C_k the covariance of a domain's logits.

    Equation 1 of the paper, whose two domains are a labelled and an unlabelled set and whose layer is the last one, the
    logits. Here all domains have labels, and every pair of which the batch has at least two clips each counts alike.

    Args:
        penalty: λ; CE alone at 0. The paper chooses it so that both terms end alike.
        **options: domain and class_weights of `DomainLoss`.
    """

    compares = True

    search = {"penalty": Range(0.1, 10.0, log=True)}

    def __init__(self, *args: Any, penalty: NonNegative = 1.0, **options: Any) -> None:
        super().__init__(*args, **options)
        self.penalty = penalty

    def forward(self, embeddings: Tensor, batch: Batch) -> Tensor:
        logits = self.logits(embeddings)
        classified = cross_entropy(logits, batch.labels, self.class_counts, self.class_weights)
        with torch.autocast(embeddings.device.type, enabled=False):
            return classified + self.penalty * self._distance(at_least_float32(logits), self.members(batch))

    def _distance(self, logits: Tensor, members: Tensor) -> Tensor:
        """The mean distance of the covariances of logits (B, C) between domains, members (K, B); 0 without a pair."""
        member = members.to(logits.dtype)
        clips = member.sum(dim=1)
        means = member @ logits / clips.clamp_min(1).unsqueeze(1)
        centred = logits - member.T @ means
        covariances = torch.einsum("kb,bi,bj->kij", member, centred, centred)
        covariances = (covariances / (clips - 1).clamp_min(1).view(-1, 1, 1)).flatten(1)
        apart = (covariances.unsqueeze(0) - covariances.unsqueeze(1)).square().sum(dim=2)
        known, other = clips >= 2, self.codes.unsqueeze(0) != self.codes.unsqueeze(1)
        pairs = known.unsqueeze(0) & known.unsqueeze(1) & other
        return (pairs * apart).sum() / pairs.sum().clamp_min(1) / (4 * self.num_classes**2)
