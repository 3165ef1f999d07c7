"""LDAM: a margin in the cosine that grows as classes get rarer, with deferred re-weighting."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.nn import functional as F

from rsbench import AngularLoss, Batch, Range, register_loss

from ._margins import fourth_root
from ._options import NonNegative, Share
from ._weights import Beta, effective_number_weights


@register_loss(
    "ldam",
    summary="additive cosine margin ∝ n^(−1/4), optionally with deferred re-weighting (DRW)",
    paper="Cao et al., NeurIPS 2019, arXiv:1906.07413",
)
class Ldam(AngularLoss):
    """Cross-entropy with the target logit s·(cos θ_y − m_y), m_y ∝ n_y^(−1/4).

    Args:
        largest: the margin of the rarest class, in units of the cosine.
        drw: from `drw_start` on count a clip by (1 − β)/(1 − β^n) of its class, whatever class_weights says before.
        drw_start: the share of the training that comes before; the paper's 160 of 200 epochs.
        beta: β of these weights, in [0, 1).
        **options: scale and class_weights of `AngularLoss`; 30 and "none" are the paper's.
    """

    # From no margin to twice the paper's.
    search = {"largest": Range(0.0, 1.0)}

    margins: Tensor
    deferred_weights: Tensor

    def __init__(
        self,
        *args: Any,
        largest: NonNegative = 0.5,
        drw: bool = False,
        drw_start: Share = 0.8,
        beta: Beta = 0.9999,
        **options: Any,
    ) -> None:
        super().__init__(*args, **options)
        self.drw = drw
        self.drw_start = drw_start
        self.register_buffer("margins", largest * fourth_root(self.class_counts), persistent=False)
        weights = effective_number_weights(self.class_counts, beta)
        self.register_buffer("deferred_weights", weights, persistent=False)

    def target_margin(self, batch: Batch, cosine: Tensor) -> tuple[float, Tensor]:
        return 0.0, self.margins.to(cosine.dtype)[batch.labels]

    def forward(self, embeddings: Tensor, batch: Batch) -> Tensor:
        if not self.drw or batch.progress < self.drw_start:
            return super().forward(embeddings, batch)
        logits = self.margined_logits(embeddings, batch)
        return F.cross_entropy(logits, batch.labels, self.deferred_weights.to(logits.dtype))
