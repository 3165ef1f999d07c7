"""AdaFace: a margin that changes its kind with the length of the embedding."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from rsbench import AngularLoss, Batch, Range, at_least_float32, move_target, register_loss

from ._options import MarginRad, NonNegative, Positive, Share


@register_loss(
    "adaface",
    summary="margin by the embedding's length, as a stand-in for quality: angular for short, additive for long",
    paper="Kim et al., CVPR 2022, arXiv:2204.00964",
)
class AdaFace(AngularLoss):
    """Cross-entropy with the target logit s·(cos(θ_y − m·k) − m − m·k).

    k = clip(h·(‖z‖ − μ)/(σ + 0.001), −1, 1) says how long an embedding is among those seen: μ and σ are moving averages
    of the batches' mean and standard deviation of ‖z‖, which is cut to [0.001, 100]. They begin at 20 and 100, as in
    the authors' code. A batch of one clip has no deviation and leaves σ alone. No gradient flows through k, and in eval
    mode μ and σ stand still. A long embedding need not be of a good recording: measure it before believing in it.

    Args:
        m_rad: m; in radians where it turns, in units of the cosine where it is taken away.
        concentration: h; at 0.333, k reaches ±1 three deviations from the mean.
        ema: the share of the newest batch in μ and σ.
        scale: s.
        **options: class_weights of `AngularLoss`.
    """

    compares = True

    # From no margin, so that the search may find none best, to half as much again as the paper's.
    search = {"m_rad": Range(0.0, 0.6), "concentration": Range(0.0, 1.0)}

    mean_norm: Tensor
    sd_norm: Tensor

    def __init__(
        self,
        *args: Any,
        m_rad: MarginRad = 0.4,
        concentration: NonNegative = 0.333,
        ema: Share = 0.01,
        scale: Positive = 64.0,
        **options: Any,
    ) -> None:
        super().__init__(*args, scale=scale, **options)
        self.m_rad = m_rad
        self.concentration = concentration
        self.ema = ema
        self.register_buffer("mean_norm", torch.tensor(20.0))
        self.register_buffer("sd_norm", torch.tensor(100.0))

    def margined(self, cosines: Tensor, norms: Tensor, batch: Batch) -> Tensor:
        norms = norms.detach().clamp(0.001, 100)
        if self.training:
            self.mean_norm = self.mean_norm.lerp(norms.mean().to(self.mean_norm), self.ema)
            if len(norms) > 1:
                self.sd_norm = self.sd_norm.lerp(norms.std().to(self.sd_norm), self.ema)
        turn = self.m_rad * self.standing(norms)
        return move_target(cosines, batch.labels, -turn, self.m_rad + turn)

    def standing(self, norms: Tensor) -> Tensor:
        """(B,) k in [−1, 1]: how long embeddings are among those seen."""
        return (self.concentration * (norms - self.mean_norm) / (self.sd_norm + 1e-3)).clamp(-1, 1)

    def margin_rad(self, embeddings: Tensor, batch: Batch) -> Tensor:
        return -self.m_rad * self.standing(at_least_float32(embeddings).norm(dim=1).clamp(0.001, 100))
