"""Embeddings that some model made beforehand, and what is trained on them: a weighting of layers, a projection."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from rsbench import Backbone, RsbenchError, register_backbone
from rsbench.core.errors import DataError
from rsbench.data.embeddings import read_provenance


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
    nothing_to_learn: ClassVar[Mapping[str, Any] | None] = {"width": 0, "hidden": 0}

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
        return self._projected(self.standardise(features))

    def _projected(self, values: Tensor) -> Tensor:
        hidden = self.hidden(values)
        return self.project(dropped(hidden, self.dropout) if self.training else hidden)


@register_backbone(
    "layers",
    summary="layers:FILE, embeddings of all layers of a model (rsbench embed --layers): a weighting of them is trained",
    paper="Yang et al., SUPERB, Interspeech 2021",
)
class Layers(Embeddings):
    """The sum of the layers' embeddings, weighted by a softmax that is trained, then projected as in `embeddings`.

    All layers weigh the same at first. Each number is standardised over the batch before that, so that weights compare.

    Args:
        n_mels: the width of the embeddings in the file, those of all layers one after the other.
        n_frames: 1.
        count: layers in the file; where nobody says, the file does.
        width: of the projection; 0 is none.
        hidden: width of a layer of ReLUs before it; 0 is none.
        dropout: share of the projection's inputs that are dropped in training.

    Raises RsbenchError where the file's width is no multiple of the count.
    """

    nothing_to_learn = None

    def __init__(
        self, n_mels: int, n_frames: int, *, count: Annotated[int, Field(ge=2, le=1000)] = 2, **options: Any
    ) -> None:
        if n_mels % count:
            raise RsbenchError(
                f"backbone.count={count}: embeddings of {n_mels} numbers are not of so many layers. Say how many "
                "stand in the file."
            )
        super().__init__(n_mels // count, n_frames, **options)
        self.n_mels = n_mels
        self.standardise = nn.BatchNorm1d(n_mels, affine=False)
        self.weighting = nn.Parameter(torch.zeros(count))

    @classmethod
    def settled(cls, given: Mapping[str, Any]) -> Mapping[str, Any]:
        """With the number of layers that the file says it has. Raises DataError for a file without any."""
        if "count" in given or "weights" not in given:
            return given
        file = Path(str(given["weights"]))
        layers = read_provenance(file).layers
        if layers == 1:
            raise DataError(
                f"{file} does not say that it holds embeddings of several layers. Make one that does, rsbench embed "
                "--layers, or say how many they are, --set backbone.count=13; or take --backbone embeddings:FILE."
            )
        return {**given, "count": layers}

    def forward(self, features: Tensor) -> Tensor:
        layers = self.standardise(features).unflatten(1, (len(self.weighting), -1))
        weighted = (layers * self.weighting.softmax(dim=0).unsqueeze(1)).sum(dim=1)
        return self._projected(weighted)

    def stages(self) -> list[list[str]]:
        return [["weighting"], *super().stages()]


def dropped(values: Tensor, share: float) -> Tensor:
    """Dropout of `share` of the values, to 1/65536: each is zero or scaled so that its expectation stays.

    A mask costs torch's own dropout a double a value, on a CPU more time than the projection; 16 bits are enough.
    """
    threshold = round(share * 2**16)
    words = torch.empty(-(-values.numel() // 4), dtype=torch.int64, device=values.device).random_(-(2**63), None)
    kept = words.view(torch.int16)[: values.numel()].view_as(values) >= threshold - 2**15
    return values * kept * (2**16 / (2**16 - threshold)) if threshold else values
