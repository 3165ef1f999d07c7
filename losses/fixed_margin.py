"""QLung's objective with one margin for all clips: the control of what quality and class frequency add."""

from __future__ import annotations

from collections.abc import Sequence

from rsbench import ClassWeights, register_loss

from ._options import MarginRad, NonNegative, Positive
from .qlung import QLung


@register_loss(
    "fixed_margin",
    summary="QLung's objective with a constant margin",
    paper="Kim et al., Interspeech 2026, arXiv:2606.11915 (ablation)",
)
class FixedMargin(QLung):
    """`qlung` with by_quality=none and by_class=constant: CE(s_a·cos θ) + λ·DFAM with m_d = m for every clip.

    Args:
        embedding_dim: D.
        class_counts: training clips per class.
        m_rad: the margin m, in [0, π/2]. The paper does not state it; the default is QLung's m_target.
        scale: s_a, of the classification term.
        dfam_scale: s_d, of DFAM.
        dfam_lambda: λ, the share of DFAM.
        class_weights: of the classification term.
    """

    search = {"m_rad": QLung.search["target_rad"], **{key: QLung.search[key] for key in ("dfam_scale", "dfam_lambda")}}

    def __init__(
        self,
        embedding_dim: int,
        class_counts: Sequence[int],
        *,
        m_rad: MarginRad = 0.2,
        scale: Positive = 37.0,
        dfam_scale: Positive = 15.0,
        dfam_lambda: NonNegative = 0.4,
        class_weights: ClassWeights = "none",
    ) -> None:
        super().__init__(
            embedding_dim,
            class_counts,
            by_quality="none",
            by_class="constant",
            target_rad=m_rad,
            scale=scale,
            dfam_scale=dfam_scale,
            dfam_lambda=dfam_lambda,
            class_weights=class_weights,
        )
