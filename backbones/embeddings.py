"""Embeddings that some model made beforehand, and what is trained on them: a projection."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from rsbench import Backbone, register_backbone


@register_backbone(
    "embeddings",
    summary="embeddings:FILE, made beforehand (rsbench embed, or any other model): a projection is trained on them",
)
class Embeddings(Backbone):
    """Each number of the embedding is standardised over the batch, then projected: (B, D) to (B, width).

    Under a loss that is solved nothing is projected, and nothing standardised: batch norm stays as it is made.

    Args:
        n_mels: D, the width of the embeddings in the file.
        n_frames: 1.
        width: of the projection; 0 is none, (B, D) to (B, D) or (B, hidden), where the classifier alone learns.
        hidden: width of a layer of ReLUs before it; 0 is none.
        dropout: share of the projection's inputs that are dropped in training.
    """

    frontend = None
    recipe: ClassVar = {"lr": 1e-3, "batch_size": 64}
    after_colon = "weights"
    nothing_to_learn: ClassVar = {"width": 0, "hidden": 0}

    def __init__(
        self,
        n_mels: int,
        n_frames: int,
        *,
        width: Literal[0] | Annotated[int, Field(ge=2)] = 128,
        hidden: Annotated[int, Field(ge=0)] = 0,
        dropout: Annotated[float, Field(ge=0, lt=1)] = 0.2,
    ) -> None:
        super().__init__(n_mels, n_frames)
        self.embedding_dim = width or hidden or n_mels
        self.dropout = dropout
        self.standardise = nn.BatchNorm1d(n_mels, affine=False)
        self.hidden = nn.Sequential(nn.Linear(n_mels, hidden), nn.ReLU()) if hidden else nn.Identity()
        self.project = nn.Linear(hidden or n_mels, width) if width else nn.Identity()

    def forward(self, features: Tensor) -> Tensor:
        hidden = self.hidden(self.standardise(features))
        return self.project(dropped(hidden, self.dropout) if self.training else hidden)


def dropped(values: Tensor, share: float) -> Tensor:
    """Dropout of `share` of the values, to 1/65536: each is zero or scaled so that its expectation stays.

    A mask costs torch's own dropout a double a value, on a CPU more time than the projection; 16 bits are enough.
    """
    threshold = round(share * 2**16)
    words = torch.empty(-(-values.numel() // 4), dtype=torch.int64, device=values.device).random_(-(2**63), None)
    kept = words.view(torch.int16)[: values.numel()].view_as(values) >= threshold - 2**15
    return values * kept * (2**16 / (2**16 - threshold)) if threshold else values
