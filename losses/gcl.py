"""GCL: rarer classes in a wider Gaussian cloud."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from rsbench import AngularLoss, Batch, Range, register_loss

from ._margins import dynamic_range
from ._options import NonNegative


@register_loss(
    "gcl",
    summary="Gaussian noise taken from every cosine, wider for rarer classes",
    paper="Li et al., CVPR 2022, Gaussian clouded logit adjustment",
)
class Gcl(AngularLoss):
    """Cross-entropy of s·(cos θ_j − a·δ_j·|ε|), δ_j = (ln n_max − ln n_j)/(ln n_max − ln n_min), for all classes j.

    ε is drawn for every clip and class from N(0, 1/3), cut to [−1, 1], as in the authors' code. This is the first
    stage of the paper: its second, the classifier trained again on class-balanced draws, is no part of a loss.

    Args:
        amplitude: a, in units of the cosine; the authors' code has 0.5 for CIFAR and 1 for larger sets.
        **options: scale and class_weights of `AngularLoss`; 30 and "none" are the paper's.
    """

    stochastic = True

    # From no noise to the larger of the authors' two.
    search = {"amplitude": Range(0.0, 1.0)}

    cloud: Tensor

    def __init__(self, *args: Any, amplitude: NonNegative = 0.5, **options: Any) -> None:
        super().__init__(*args, **options)
        self.register_buffer("cloud", amplitude * dynamic_range(self.class_counts), persistent=False)

    def margined(self, cosines: Tensor, norms: Tensor, batch: Batch) -> Tensor:
        noise = (torch.randn_like(cosines) / 3).clamp(-1, 1).abs()
        return cosines - self.cloud.to(cosines.dtype) * noise
