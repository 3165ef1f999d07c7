"""Fine-tuning as the field does it: parts that stay frozen, layers that learn slower, activations computed twice.

All of it works on the names that `Backbone.stages()` gives, so a backbone needs no code of its own for it.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager
from typing import Any

from torch import nn
from torch.utils.checkpoint import checkpoint

from ..core.backbone import Backbone
from ..core.errors import PluginError, SpecError, did_you_mean

WHOLE = "all"  # what `optim.freeze` calls the whole backbone


def freeze(backbone: Backbone, names: Collection[str]) -> tuple[nn.Module, ...]:
    """Let the named modules and parameters learn no more.

    Returns the modules among them: they must stay in eval mode, or batch norm's running statistics would move on.
    Raises SpecError for a name that the backbone does not have.
    """
    parts = _parts(backbone) | {WHOLE: backbone}
    frozen = []
    for name in names:
        if name not in parts:
            known = [WHOLE, *itertools.chain.from_iterable(backbone.stages())]
            raise SpecError(f"optim.freeze={name}: the backbone has no such part.{did_you_mean(name, known)}")
        frozen.append(parts[name].requires_grad_(False))
    return tuple(part for part in frozen if isinstance(part, nn.Module))


def layer_scales(backbone: Backbone, decay: float) -> dict[str, float]:
    """Parameter name → its share of the backbone's learning rate: decay to the power of the stages after its own.

    With stage i of n that is decay^(n − 1 − i), as in BEiT (Bao et al., ICLR 2022), where the last norm is the last
    stage. Only stages that have parameters count, so an activation is no layer.

    Args:
        backbone: its `stages()` must hold every parameter exactly once; PluginError otherwise.
        decay: in (0, 1]; 1 asks nothing of the stages.
    """
    if decay == 1:
        return {name: 1.0 for name, _ in backbone.named_parameters()}
    stage_of = _stage_numbers(backbone)
    learning = set(stage_of.values())
    return {name: decay ** sum(later > stage for later in learning) for name, stage in stage_of.items()}


def checkpoint_activations(backbone: Backbone) -> None:
    """Drop the activations inside every stage after the forward pass, and compute them again in the backward pass.

    Chen et al., Training deep nets with sublinear memory cost, 2016. Loss, gradients, draws of dropout and running
    statistics are what they are without. Stages without parameters are left alone: an activation saves no memory of
    its own, and one that works in place would overwrite the input it is to be computed from.

    Raises PluginError when `stages()` names something that the backbone does not have.
    """
    parts = _parts(backbone)
    for name in itertools.chain.from_iterable(backbone.stages()):
        if name not in parts:
            raise PluginError(f"stages() of backbone {type(backbone).__name__} names '{name}', which it does not have.")
        stage = parts[name]
        if isinstance(stage, nn.Module) and next(stage.parameters(), None) is not None:
            # A partial, not a closure: a copy of the model (averaged weights) must call its own parts.
            stage.forward = functools.partial(_recomputed, stage, stage.forward)


def _parts(backbone: Backbone) -> dict[str, nn.Module | nn.Parameter]:
    """Modules and parameters by name, apart from the backbone itself."""
    named = itertools.chain(backbone.named_modules(), backbone.named_parameters())
    return {name: part for name, part in named if name}


def _stage_numbers(backbone: Backbone) -> dict[str, int]:
    """Parameter name → its stage, counted from the input."""
    stages, numbers = backbone.stages(), {}
    for parameter, _ in backbone.named_parameters():
        within = [
            number
            for number, stage in enumerate(stages)
            if any(parameter == name or parameter.startswith(f"{name}.") for name in stage)
        ]
        if len(within) != 1:
            raise PluginError(
                f"optim.layer_decay: parameter '{parameter}' of backbone {type(backbone).__name__} is in {len(within)} "
                "of its stages, and must be in exactly one. Mend its stages(), or leave optim.layer_decay at 1."
            )
        numbers[parameter] = within[0]
    return numbers


def _recomputed(stage: nn.Module, forward: Callable[..., Any], *inputs: Any, **options: Any) -> Any:
    """What the stage's own forward gives, without keeping what is inside."""

    def contexts() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        return contextlib.nullcontext(), _state_held(stage)  # of the first pass, and of the second

    # DenseNet's layers are given a list that grows afterwards: the second pass must see what the first one saw.
    seen = [list(given) if isinstance(given, list) else given for given in inputs]
    return checkpoint(forward, *seen, use_reentrant=False, context_fn=contexts, **options)


@contextlib.contextmanager
def _state_held(stage: nn.Module) -> Iterator[None]:
    """Let a forward pass update copies of the buffers: its batch was already counted in the running statistics."""
    held = [(part, name, buffer) for part in stage.modules() for name, buffer in part.named_buffers(recurse=False)]
    for part, name, buffer in held:
        setattr(part, name, buffer.clone())
    try:
        yield
    finally:
        for part, name, buffer in held:
            setattr(part, name, buffer)
