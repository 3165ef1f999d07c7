"""ResNets of timm with a one-channel stem."""

from __future__ import annotations

from typing import ClassVar, Literal

import timm
from torch import Tensor

from rsbench import Backbone, Frontend, register_backbone


@register_backbone(
    "resnet",
    summary="ResNet-18, -34 or -50 of timm on one channel, global average pooling",
    paper="He et al., Deep residual learning, CVPR 2016",
)
class ResNet(Backbone):
    """Embeddings are the pooled features: 512-d for sizes 18 and 34, 2048-d for 50."""

    frontend = Frontend("kaldi-fbank")
    recipe: ClassVar = {"lr": 1e-3, "batch_size": 64}

    def __init__(self, n_mels: int, n_frames: int, *, size: Literal[18, 34, 50] = 18) -> None:
        super().__init__(n_mels, n_frames)
        self.net = timm.create_model(f"resnet{size}", in_chans=1, num_classes=0)
        self.embedding_dim = 2048 if size == 50 else 512

    def forward(self, features: Tensor) -> Tensor:
        embeddings: Tensor = self.net(features.unsqueeze(1))
        return embeddings
