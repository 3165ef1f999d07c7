"""CNN6 of PANNs: four 5×5 convolutions. Small enough to train on two cores."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rsbench import Backbone, Frontend, RsbenchError, register_backbone

CHANNELS = (64, 128, 256, 512)
SHORTEST = 2 ** len(CHANNELS)  # every block halves bins and frames


class Block(nn.Module):
    """(B, in, T, F) to (B, out, T // 2, F // 2): 5×5 convolution, batch norm, ReLU, 2×2 average."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, kernel_size=5, padding=2, bias=False)
        self.bn1 = nn.BatchNorm2d(out_channels)
        nn.init.xavier_uniform_(self.conv1.weight)

    def forward(self, maps: Tensor) -> Tensor:
        return F.avg_pool2d(F.relu_(self.bn1(self.conv1(maps))), 2)


@register_backbone(
    "cnn6",
    summary="PANNs' CNN6, 4.6 M parameters: four 5×5 convolutions, mean over frequency, max + mean over time",
    paper="Kong et al., PANNs, IEEE/ACM TASLP 2020",
)
class Cnn6(Backbone):
    """Layers, names and initialisation are those of PANNs' `Cnn6`, up to its 512-d embedding (`fc1`).

    Features are (B, n_mels, n_frames) with at least 16 of each; RsbenchError otherwise.
    """

    frontend = Frontend("panns-log-mel")
    recipe: ClassVar = {"lr": 1e-3, "batch_size": 64}
    embedding_dim = CHANNELS[-1]

    def __init__(self, n_mels: int, n_frames: int) -> None:
        super().__init__(n_mels, n_frames)
        if min(n_mels, n_frames) < SHORTEST:
            raise RsbenchError(
                f"cnn6 needs at least {SHORTEST} mel bins and {SHORTEST} frames, and was given {n_mels} × "
                f"{n_frames}. Use longer clips (data.clip_s) or a shorter hop (frontend.hop_ms)."
            )
        self.bn0 = nn.BatchNorm1d(n_mels)
        self.conv_block1, self.conv_block2, self.conv_block3, self.conv_block4 = (
            Block(before, after) for before, after in zip((1, *CHANNELS), CHANNELS, strict=False)
        )
        self.fc1 = nn.Linear(CHANNELS[-1], CHANNELS[-1])
        nn.init.xavier_uniform_(self.fc1.weight)
        nn.init.zeros_(self.fc1.bias)

    def forward(self, features: Tensor) -> Tensor:
        # PANNs' maps are (B, channels, time, frequency). Channels last gives the same, faster on a CPU.
        maps = self.bn0(features).transpose(1, 2).unsqueeze(1)
        maps = maps.contiguous(memory_format=torch.channels_last)
        for block in (self.conv_block1, self.conv_block2, self.conv_block3, self.conv_block4):
            maps = F.dropout(block(maps), 0.2, self.training)
        over_time = maps.mean(dim=3)
        pooled = over_time.amax(dim=2) + over_time.mean(dim=2)
        return F.relu(self.fc1(F.dropout(pooled, 0.5, self.training)))
