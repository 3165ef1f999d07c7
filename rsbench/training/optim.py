"""Optimiser, learning-rate schedule and averaged weights, as the spec names them."""

from __future__ import annotations

import copy
import functools
import inspect
import itertools
import math
from collections.abc import Callable, Iterable, Iterator
from typing import Literal

import torch
from torch import Tensor, nn

from ..core.spec import OptimPart
from .finetune import layer_scales
from .predict import Model


def _uncompiled(kind: type[torch.optim.Optimizer]) -> Callable[..., torch.optim.Optimizer]:
    """The same optimiser, never part of a compiled graph.

    torch hides an optimiser's methods from its compiler by wrappers that import the compiler when they are first
    called, which takes a second; these are the methods within the wrappers.
    """
    wrapped = ("add_param_group", "zero_grad", "state_dict", "load_state_dict")
    methods = {name: inspect.unwrap(getattr(kind, name)) for name in wrapped}
    # The wrapper of `step` also says that no gradient is wanted of it.
    return type(kind.__name__, (kind,), methods | {"step": torch.no_grad()(inspect.unwrap(kind.step))})


# Fused: one pass over the memory of a tensor, where the default makes ten.
_ALGORITHMS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "adam": functools.partial(_uncompiled(torch.optim.Adam), fused=True),
    "adamw": functools.partial(_uncompiled(torch.optim.AdamW), fused=True),
    "sgd": functools.partial(_uncompiled(torch.optim.SGD), momentum=0.9, fused=True),
}


def make_optimiser(model: Model, optim: OptimPart) -> torch.optim.Optimizer:
    """The optimiser over all trainable parameters; SGD with momentum 0.9.

    Every group has a `scale`, the share of the scheduled learning rate that its parameters learn at: 1 for the loss,
    `backbone_lr_scale` times the layer's share for the backbone.
    """
    shares = layer_scales(model.backbone, optim.layer_decay)
    scaled = [(optim.backbone_lr_scale * shares[name], weight) for name, weight in model.backbone.named_parameters()]
    scaled += [(1.0, weight) for weight in model.loss.parameters()]
    groups: dict[float, list[nn.Parameter]] = {}
    for scale, weight in scaled:
        if weight.requires_grad:
            groups.setdefault(scale, []).append(weight)
    return _ALGORITHMS[optim.algorithm](
        [{"params": weights, "lr": optim.lr * scale, "scale": scale} for scale, weights in groups.items()],
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


def make_average(model: Model, optim: OptimPart) -> Model | None:
    """An average of weights and buffers, evaluated and kept in place of the model; None when off."""
    return copy.deepcopy(model) if optim.ema_decay or optim.swa_from else None


def averaged_before(optim: OptimPart, epoch: int) -> int:
    """How many ends of epochs are in the even average when epoch `epoch`, counted from 0, ends.

    Stochastic weight averaging (Izmailov et al., UAI 2018, equation 1). Before its first epoch it is 0 too: until then
    the average is the model.
    """
    return max(0, epoch - math.floor(optim.swa_from * optim.epochs))


@torch.no_grad()
def move_average(average: Model, model: Model, decay: float) -> None:
    """One step of the average, in place; between equals it is exact, so what is frozen keeps its values.

    decay: in [0, 1); with 0, as at the first step, the average becomes the model.
    """
    by_dtype: dict[torch.dtype, tuple[list[Tensor], list[Tensor]]] = {}
    for averaged, current in zip(_state(average), _state(model), strict=True):
        ours, theirs = by_dtype.setdefault(current.dtype, ([], []))
        ours.append(averaged)
        theirs.append(current)
    for dtype, (ours, theirs) in by_dtype.items():
        if dtype.is_floating_point:
            torch._foreach_lerp_(ours, theirs, 1 - decay)
        else:  # batch norm's counter: an average of integers would be cut off, and fall behind
            torch._foreach_copy_(ours, theirs)


def clip_order(labels: Tensor, sampling: Literal["shuffled", "balanced"], draws: torch.Generator) -> Tensor:
    """(N,) positions of the clips of an epoch, in the order in which they are fitted; on the CPU, as `draws` is.

    Balanced, each place is for any class with the same probability, and for any of its clips.

    Args:
        labels: (N,) classes of the clips to fit.
        sampling: see `OptimPart`.
        draws: of this epoch.
    """
    if sampling == "shuffled":
        return torch.randperm(len(labels), generator=draws)
    labels = labels.cpu()
    chances = 1 / labels.bincount().double()
    return torch.multinomial(chances[labels], len(labels), replacement=True, generator=draws)


def _state(model: Model) -> Iterator[Tensor]:
    return itertools.chain(model.parameters(), model.buffers())


class HalfStep:
    """The published 'moving average' with β = 0.5: after each update the weights go half-way back."""

    def __init__(self, parameters: Iterable[nn.Parameter]) -> None:
        self.parameters = [parameter for parameter in parameters if parameter.requires_grad]
        self.before: list[Tensor] = []

    def remember(self) -> None:
        self.before = [parameter.detach().clone() for parameter in self.parameters]

    @torch.no_grad()
    def go_back(self) -> None:
        torch._foreach_lerp_([parameter.data for parameter in self.parameters], self.before, 0.5)
