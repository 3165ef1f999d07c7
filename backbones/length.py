"""What hears nothing but how long a clip is: what any other backbone has to beat."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np
import torch
from torch import Tensor

from rsbench import Backbone, register_backbone

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

MIDDLE_S = 2.0  # of the lengths that events and breathing cycles have, from a fifth of a second to some twenty


@register_backbone("length", summary="no sound at all, the log of a clip's length alone: the floor of a data set")
class Length(Backbone):
    """Powers of the length in octaves from MIDDLE_S: 1, z, z² and z³, so that a line can cut out a middle range.

    (B, n_mels) to (B, 4 · n_mels), without anything to learn: all that is trained is the loss's classifier. The 1 keeps
    the length in the direction of the embedding, which is all that an angular loss sees.

    Args:
        n_mels: 1, the natural log of the length in seconds; what else is given is treated alike.
        n_frames: 1.
    """

    frontend = None
    recipe: ClassVar = {"lr": 1e-2, "batch_size": 64}
    nothing_to_learn: ClassVar = {}

    def __init__(self, n_mels: int, n_frames: int) -> None:
        super().__init__(n_mels, n_frames)
        self.embedding_dim = 4 * n_mels

    @classmethod
    def given(cls, clips: pd.DataFrame) -> NDArray[np.float32]:
        """(N, 1) log of each clip's length in seconds."""
        length_s = (clips["end_s"] - clips["start_s"]).to_numpy(np.float32)
        return np.log(length_s)[:, np.newaxis]

    def forward(self, features: Tensor) -> Tensor:
        octaves = (features - np.log(MIDDLE_S)) / np.log(2)
        return torch.cat([octaves**power for power in range(4)], dim=1)
