"""Sub-centre ArcFace: several centres a class, of which the nearest counts."""

from __future__ import annotations

from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor, nn

from rsbench import register_loss

from .arcface import ArcFace


@register_loss(
    "subcenter_arcface",
    summary="ArcFace with several centres a class, of which the nearest counts",
    paper="Deng et al., ECCV 2020, Sub-center ArcFace",
)
class SubCenterArcFace(ArcFace):
    """ArcFace on c_j = max_k cos θ_jk over K centres a class.

    The first centre of each class begins where the other angular losses' class weight does.

    Args:
        *args: embedding_dim and class_counts.
        centres: K; 1 is ArcFace.
        **options: those of `ArcFace`.
    """

    def __init__(self, *args: Any, centres: Annotated[int, Field(ge=1)] = 3, **options: Any) -> None:
        super().__init__(*args, **options)
        self.centres = centres
        more = [nn.init.xavier_uniform_(torch.empty_like(self.weight)) for _ in range(centres - 1)]
        self.weight = nn.Parameter(torch.cat([self.weight.detach(), *more]))

    def cosines(self, embeddings: Tensor) -> Tensor:
        return super().cosines(embeddings).unflatten(1, (self.centres, self.num_classes)).amax(dim=1)
