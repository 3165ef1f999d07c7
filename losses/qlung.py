"""QLung: an angular margin that grows with recording quality and with class rarity.

Kim, Koo, Toikkanen, Kim; Interspeech 2026; arXiv:2606.11915. With q the clip's quality in [0, 1], y its
class and π_y that class's share of the training clips:

    m_q = κ·q                                   quality margin
    m_c = m_target · (−ln π_y) / ln C           imbalance margin; m_target for all when π is uniform
    m_d = γ·m_q + (1 − γ)·m_c
    loss = CE(s_a·cos θ) + λ·CE(s_d·cos θ with the target's at cos(θ_y + m_d))

Both terms are rules by name (`_margins.py`), of which these are by_quality=linear and by_class=log_prior; a term that
stands alone enters whole, as if γ were 1 or 0. The rows of its ablation (AST, ICBHI Score), each one configuration:

    row                     classifier  by_quality  by_class   dfam_lambda  published
    CE                      linear      (any)       (any)      0            59.55
    + fixed margin          linear      none        constant   0.4          59.72 ± 0.89
    + quality margin        linear      linear      none       0.4          60.47 ± 0.96
    + imbalance margin      linear      linear      log_prior  0.4          60.56 ± 0.83
    + angular classifier    angular     linear      log_prior  0.4          62.01 ± 1.18

The last row is QLung, and the defaults. Its controls: the angular classifier without margin has neither rule
(dfam_lambda=0 drops the second term as well); constant, shuffled and inverted quality are a setting of the
run, `quality.control`, and need nothing here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rsbench import AngularLoss, Batch, Range, cross_entropy, register_loss

from ._margins import ByClass, ByQuality, Margin
from ._options import MarginRad, NonNegative, Positive, Share


@register_loss(
    "qlung",
    summary="margin from recording quality and class rarity beside a margin-free angular classifier",
    paper="Kim et al., Interspeech 2026, arXiv:2606.11915",
)
class QLung(AngularLoss):
    """CE(s_a·cos θ) + λ·DFAM with a margin per clip. Numbers are the paper's; it leaves four choices open.

    Args:
        embedding_dim: D.
        class_counts: training clips per class.
        classifier: "angular" (s_a·cos θ) or "linear" (W·x + b, where the scale plays no part).
        by_quality: how m_q follows from the recording's quality.
        by_class: how m_c follows from the class's clips; "constant" alone is the ablation's fixed margin, whose size
            the paper does not state.
        kappa_rad: κ, the margin of a clip of quality 1, in [0, π/2].
        target_rad: m_target, the margin of a class whose share by `by_class` is 1: that of 1/C of the clips under
            "log_prior". In [0, π/2].
        gamma: γ, the share of the quality margin where there are both, in [0, 1].
        dfam_weights: whether DFAM's cosines are taken with the classifier's class weights ("shared") or with
            a second set ("own"). Not stated by the paper for the linear classifier.
        scale: s_a, of the classification term.
        dfam_scale: s_d, of DFAM; softer than s_a, so that the margin is felt by clips that are already right.
        dfam_lambda: λ, the share of DFAM; 0 leaves the classification term alone.
        **options: class_weights of `AngularLoss`. They enter the first term only: DFAM has a margin for rare classes
            instead. The paper does not state whether its cross-entropy is weighted.
    """

    # Each margin from none to twice the paper's, and any blend of them.
    # Without γ: κ and m_target already set both terms of m_d, and a third number would only cost trials.
    # s_d from half to double the paper's; λ from no DFAM to as much of it as of the first term.
    search = {
        "kappa_rad": Range(0.0, 1.0),
        "target_rad": Range(0.0, 0.4),
        "dfam_scale": Range(7.5, 30.0, log=True),
        "dfam_lambda": Range(0.0, 1.0),
    }

    def __init__(  # noqa: PLR0913 (every constant and open choice of the paper is an option)
        self,
        embedding_dim: int,
        class_counts: Sequence[int],
        *,
        classifier: Literal["angular", "linear"] = "angular",
        by_quality: ByQuality = "linear",
        by_class: ByClass = "log_prior",
        kappa_rad: MarginRad = 0.5,
        target_rad: MarginRad = 0.2,
        gamma: Share = 0.5,
        dfam_weights: Literal["shared", "own"] = "shared",
        scale: Positive = 37.0,
        dfam_scale: Positive = 15.0,
        dfam_lambda: NonNegative = 0.4,
        **options: Any,
    ) -> None:
        super().__init__(embedding_dim, class_counts, scale=scale, **options)
        self.dfam_scale = dfam_scale
        self.dfam_lambda = dfam_lambda
        self.margin = Margin(
            self.class_counts,
            by_quality=by_quality,
            by_class=by_class,
            quality_rad=kappa_rad,
            class_rad=target_rad,
            gamma=gamma,
        )
        self.bias = nn.Parameter(torch.zeros(self.num_classes)) if classifier == "linear" else None
        self.dfam_head = AngularLoss(embedding_dim, class_counts) if dfam_weights == "own" else None

    def forward(self, embeddings: Tensor, batch: Batch) -> Tensor:
        cosines = self.cosines(embeddings)  # once: with shared weights, both terms are of them
        logits = self.scale * cosines if self.bias is None else self.logits(embeddings)
        classification = cross_entropy(logits, batch.labels, self.class_counts, self.class_weights)
        return classification + self.dfam_lambda * self.dfam(embeddings, cosines, batch)

    def dfam(self, embeddings: Tensor, cosines: Tensor, batch: Batch) -> Tensor:
        """The scalar cross-entropy under the margin; `cosines` are those with the classifier's weights."""
        if self.dfam_head:
            cosines = self.dfam_head.cosines(embeddings)
        norms = torch.linalg.vector_norm(embeddings, dim=1, dtype=cosines.dtype)
        return F.cross_entropy(self.dfam_scale * self.margined(cosines, norms, batch), batch.labels)

    def target_margin(self, batch: Batch, cosine: Tensor) -> tuple[Tensor, float]:
        return self.margin(batch), 0.0

    def logits(self, embeddings: Tensor) -> Tensor:
        if self.bias is None:
            return super().logits(embeddings)
        return F.linear(embeddings, self.weight, self.bias)
