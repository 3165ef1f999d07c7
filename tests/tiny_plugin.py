"""A plugin for the tests: a backbone that trains in milliseconds, and losses that misbehave on purpose."""

from __future__ import annotations

import os
import time
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rsbench import Backbone, Batch, Frontend, register_backbone, register_loss


@register_backbone("tiny", summary="one convolution, batch norm, dropout and a mean")
class Tiny(Backbone):
    frontend = Frontend("kaldi-fbank", {"hop_ms": 20.0})
    recipe = {"lr": 1e-2, "batch_size": 16, "epochs": 3}

    def __init__(self, n_mels: int, n_frames: int, *, width: int = 16) -> None:
        super().__init__(n_mels, n_frames)
        self.embedding_dim = width
        self.stem = nn.Sequential(
            nn.Conv1d(n_mels, width, 3, padding=1), nn.BatchNorm1d(width), nn.ReLU(), nn.Dropout(0.1)
        )

    def forward(self, features: Tensor) -> Tensor:
        return self.stem(features).mean(dim=2)


@register_backbone("tiny_masked", summary="the same, with a mean over the frames that hold sound of the clip")
class TinyMasked(Tiny):
    takes_mask = True

    def forward(self, features: Tensor, heard: Tensor) -> Tensor:
        assert (heard.dtype, heard.shape) == (torch.bool, features[:, 0].shape)
        weight = heard.float().unsqueeze(1)
        return (self.stem(features) * weight).sum(dim=2) / weight.sum(dim=2)


@register_loss("unhurried", summary="cross-entropy that takes the time it is told to, or goes half-way and waits there")
def unhurried(logits: Tensor, batch: Batch) -> Tensor:
    time.sleep(float(os.environ.get("UNHURRIED_S", "0")))
    awaited = os.environ.get("UNHURRIED_UNTIL")  # a file
    while awaited and batch.progress >= 0.5 and not Path(awaited).exists():
        time.sleep(0.05)
    return F.cross_entropy(logits, batch.labels)


@register_loss("breaks_down", summary="becomes NaN half-way")
def breaks_down(logits: Tensor, batch: Batch, *, after: float = 0.5) -> Tensor:
    loss = F.cross_entropy(logits, batch.labels)
    return loss if batch.progress < after else loss * torch.nan


@register_loss("stochastic", summary="cross-entropy with noise on the logits, to see whose draws it takes")
def stochastic(logits: Tensor, batch: Batch) -> Tensor:
    return F.cross_entropy(logits + torch.randn_like(logits), batch.labels)
