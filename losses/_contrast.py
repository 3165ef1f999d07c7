"""What the contrastive losses share: similarities, and a cross-entropy whose targets are other clips."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from rsbench import at_least_float32


def similarities(anchors: Tensor, candidates: Tensor, temperature: float) -> Tensor:
    """(N, M) cosines between vectors (N, D) and (M, D) over the temperature τ, in at least float32."""
    with torch.autocast(anchors.device.type, enabled=False):
        anchors, candidates = F.normalize(at_least_float32(anchors)), F.normalize(at_least_float32(candidates))
        return anchors @ candidates.T / temperature


def contrast(similarity: Tensor, positives: Tensor) -> Tensor:
    """The mean over anchors of −Σ_j w_j·ln softmax_j / Σ_j w_j, a scalar; an anchor without positive is left out.

    Args:
        similarity: (N, M) of anchors and candidates.
        positives: (N, M) weights w ≥ 0, 0 for what is no positive.
    """
    log_share = similarity.log_softmax(dim=1)
    weights = positives.to(log_share.dtype)
    whole = weights.sum(dim=1)
    of_anchor = (weights * log_share).sum(dim=1) / whole.clamp_min(torch.finfo(whole.dtype).tiny)
    return -of_anchor.sum() / (whole > 0).sum().clamp_min(1)
