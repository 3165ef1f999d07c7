"""ElasticFace: ArcFace or CosFace with a margin drawn anew for every clip and step."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor

from rsbench import AngularLoss, Batch, Range, register_loss

from ._options import MarginRad, NonNegative, Positive


@register_loss(
    "elasticface",
    summary="ArcFace or CosFace with a margin drawn from a normal distribution",
    paper="Boutros et al., CVPR Workshops 2022, arXiv:2109.09416",
)
class ElasticFace(AngularLoss):
    """Cross-entropy with the target logit s·cos(θ_y + E), or s·(cos θ_y − E), with E ~ N(m, σ).

    In eval mode, where nothing is drawn, E = m.

    Args:
        variant: "arc" for the angle, "cos" for the cosine.
        m_rad: m of "arc", in [0, π/2].
        m: m of "cos", in units of the cosine.
        sigma: σ, in the units of the variant's m. The default is that of the authors' code, which trains with 0.05.
        scale: s.
        **options: class_weights of `AngularLoss`.
    """

    stochastic = True

    # ArcFace's and CosFace's ranges, and σ from none to twice that of the authors' trainings.
    search = {"m_rad": Range(0.0, 0.6), "m": Range(0.0, 0.5), "sigma": Range(0.0, 0.1)}

    def __init__(
        self,
        *args: Any,
        variant: Literal["arc", "cos"] = "arc",
        m_rad: MarginRad = 0.5,
        m: NonNegative = 0.35,
        sigma: NonNegative = 0.0125,
        scale: Positive = 64.0,
        **options: Any,
    ) -> None:
        super().__init__(*args, scale=scale, **options)
        self.variant = variant
        self.mean = m_rad if variant == "arc" else m
        self.sigma = sigma

    def target_margin(self, batch: Batch, cosine: Tensor) -> tuple[Tensor | float, Tensor | float]:
        drawn = self.sigma * torch.randn_like(cosine) if self.training else 0.0
        margin = self.mean + drawn
        return (margin, 0.0) if self.variant == "arc" else (0.0, margin)
