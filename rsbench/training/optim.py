"""Optimiser, learning-rate schedule and averaged weights, as the spec names them."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from ..spec import OptimPart

_ALGORITHMS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "sgd": functools.partial(torch.optim.SGD, momentum=0.9),
}


def make_optimiser(parameters: Iterable[nn.Parameter], optim: OptimPart) -> torch.optim.Optimizer:
    """The optimiser over all trainable parameters; SGD with momentum 0.9."""
    return _ALGORITHMS[optim.algorithm](
        [parameter for parameter in parameters if parameter.requires_grad],
        lr=optim.lr,
        weight_decay=optim.weight_decay,
    )


def learning_rate(optim: OptimPart, step: int, steps_per_epoch: int) -> float:
    """Linear warm-up, then a cosine from `lr` to `lr · final_lr_share` over the remaining steps."""
    warmup = optim.warmup_epochs * steps_per_epoch
    if step < warmup:
        return optim.lr * (step + 1) / warmup
    done = (step - warmup) / max(1.0, optim.epochs * steps_per_epoch - warmup)
    floor = optim.lr * optim.final_lr_share
    return floor + (optim.lr - floor) * (1 + math.cos(math.pi * min(1.0, done))) / 2


def make_average(model: nn.Module, optim: OptimPart) -> AveragedModel | None:
    """An exponential moving average of weights and buffers, evaluated and kept in place of the model; None when off."""
    if optim.ema_decay == 0:
        return None
    return AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(optim.ema_decay), use_buffers=True)


class HalfStep:
    """The published 'moving average' with β = 0.5: after each update the weights go half-way back."""

    def __init__(self, parameters: Iterable[nn.Parameter]) -> None:
        self.parameters = list(parameters)
        self.before: list[Tensor] = []

    def remember(self) -> None:
        self.before = [parameter.detach().clone() for parameter in self.parameters]

    @torch.no_grad()
    def go_back(self) -> None:
        torch._foreach_lerp_([parameter.data for parameter in self.parameters], self.before, 0.5)
