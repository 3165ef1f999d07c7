"""SphereFace: a multiplicative angular margin, on embeddings that keep their length."""

from __future__ import annotations

from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor

from rsbench import AngularLoss, Batch, Range, at_least_float32, own_cosine, register_loss

from ._options import NonNegative, Positive


@register_loss(
    "sphereface",
    summary="multiplicative angular margin: ‖z‖·ψ(m·θ_y)",
    paper="Liu et al., CVPR 2017, arXiv:1704.08063",
)
class SphereFace(AngularLoss):
    """Cross-entropy of s·‖z‖·cos θ_j with the target's cosine at (λ·cos θ_y + ψ(θ_y))/(1 + λ).

    ψ(θ) = (−1)^k·cos(m·θ) − 2k for θ in [kπ/m, (k + 1)π/m] goes on falling where cos(m·θ) would rise. The published
    training lowers λ from 1000 to 5 in its first steps; here it is 5 from the start, as a number.

    Args:
        times: m, a whole number; 1 is no margin.
        plain_lambda: λ, the share of the plain cosine; 0 leaves ψ alone, which may not converge from scratch.
        scale: s; embeddings are not normalised, so 1 is the paper's.
        **options: class_weights of `AngularLoss`.
    """

    # From ψ alone to a margin that is hardly felt.
    search = {"plain_lambda": Range(0.0, 20.0)}

    def __init__(
        self,
        *args: Any,
        times: Annotated[int, Field(ge=1, le=8)] = 4,
        plain_lambda: NonNegative = 5.0,
        scale: Positive = 1.0,
        **options: Any,
    ) -> None:
        super().__init__(*args, scale=scale, **options)
        self.times = times
        self.plain_lambda = plain_lambda

    def psi(self, cosine: Tensor) -> Tensor:
        """ψ of cos θ, from 1 at θ = 0 to 1 − 2m at θ = π."""
        before, multiple = torch.ones_like(cosine), cosine  # Chebyshev: cos((n + 1)θ) = 2·cos θ·cos nθ − cos((n − 1)θ)
        for _ in range(self.times - 1):
            before, multiple = multiple, 2 * cosine * multiple - before
        k = (self.times * cosine.detach().acos() / torch.pi).floor().clamp(max=self.times - 1)
        return (1 - 2 * (k % 2)) * multiple - 2 * k

    def margined(self, cosines: Tensor, norms: Tensor, batch: Batch) -> Tensor:
        own = own_cosine(cosines, batch.labels)
        moved = (self.plain_lambda * own + self.psi(own)) / (1 + self.plain_lambda)
        return norms.unsqueeze(1) * cosines.scatter(1, batch.labels.unsqueeze(1), moved.unsqueeze(1))

    def logits(self, embeddings: Tensor) -> Tensor:
        return at_least_float32(embeddings).norm(dim=1, keepdim=True) * super().logits(embeddings)

    def margin_rad(self, embeddings: Tensor, batch: Batch) -> Tensor:
        return torch.full((len(embeddings),), torch.nan, device=embeddings.device)
