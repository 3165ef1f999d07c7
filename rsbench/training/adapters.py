"""Low-rank adapters: the backbone stays as it is, and learns by small matrices beside its layers.

Hu et al., LoRA, ICLR 2022: a layer's W x becomes W x + B A x, with A of `rank` rows and B of `rank` columns, B = 0 at
first. The scale of the sum, which LoRA calls α / r, is 1.
"""

from __future__ import annotations

import functools
import importlib
import re
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from ..core.backbone import Backbone, embeddings_of
from ..core.errors import SpecError, did_you_mean
from ..core.spec import OptimPart


def add_adapters(backbone: Backbone, optim: OptimPart) -> None:
    """Put adapters beside the layers that `optim.adapter_targets` names, in place; nothing where there are to be none.

    Adapters alone learn afterwards. They are drawn from torch's global generator. Raises SpecError where peft is not
    installed, and for a target that the backbone does not have or that no adapter can stand beside.
    """
    if optim.adapter == "none":
        return
    peft = _peft()
    names = _targets(backbone, optim.adapter_targets)
    # A text is a pattern for whole names; a list would be one of their ends.
    pattern = "|".join(map(re.escape, names))
    config = peft.LoraConfig(r=optim.adapter_rank, lora_alpha=optim.adapter_rank, target_modules=pattern)
    try:
        peft.inject_adapter_in_model(config, backbone)
    except ValueError as error:  # of a layer of another kind
        raise SpecError(f"optim.adapter_targets: {str(error).partition('. ')[0]}. Name linear layers.") from None


def merge_adapters(backbone: Backbone) -> None:
    """Add what adapters have learnt to the layers that they stand beside, in place; layers have their own names again.

    Embeddings stay what they were, within rounding.
    """
    for name, module in list(backbone.named_modules()):
        if hasattr(module, "lora_A"):
            layer: Any = module
            layer.merge()
            backbone.set_submodule(name, layer.get_base_layer())


def _peft() -> Any:
    try:
        return importlib.import_module("peft")
    except ModuleNotFoundError:
        raise SpecError("optim.adapter=lora needs peft, which is not installed: pip install 'rsbench[lora]'.") from None


def _targets(backbone: Backbone, wanted: Sequence[str]) -> list[str]:
    """The modules that get an adapter: those of these names, or whose names end so; by default all linear layers."""
    modules = {name: module for name, module in backbone.named_modules() if name}
    linear = [name for name, module in modules.items() if isinstance(module, nn.Linear)]
    called = _called(backbone, modules)
    if not wanted:
        found = [name for name in linear if name in called]
        if not found:
            raise SpecError(
                f"optim.adapter=lora: {type(backbone).__name__} has no linear layer. Name its convolutions with "
                "optim.adapter_targets, or leave optim.adapter out."
            )
        return found
    found = []
    for target in wanted:
        named = [name for name in modules if name == target or name.endswith(f".{target}")]
        if not named:
            known = dict.fromkeys(name.rpartition(".")[2] for name in linear)
            raise SpecError(
                f"optim.adapter_targets={target}: the backbone has no such module.{did_you_mean(target, known)}"
            )
        unused = next((name for name in named if name not in called), None)
        if unused:
            raise SpecError(
                f"optim.adapter_targets={target}: the backbone takes the weights of '{unused}' and never calls it, so "
                "that an adapter beside it would do nothing. Name other modules, or none for all that can have one."
            )
        found += named
    return list(dict.fromkeys(found))


@torch.no_grad()
def _called(backbone: Backbone, modules: dict[str, nn.Module]) -> set[str]:
    """Names of the modules that are called to embed a clip. Attention may take a layer's weights and pass it by."""
    called: set[str] = set()
    hooks = [
        module.register_forward_hook(functools.partial(lambda name, *_: called.add(name), name))
        for name, module in modules.items()
    ]
    training = backbone.training
    features = torch.zeros(1, backbone.n_mels, backbone.n_frames)
    embeddings_of(backbone.eval(), features, lambda frames: torch.ones(1, frames, dtype=torch.bool))
    backbone.train(training)
    for hook in hooks:
        hook.remove()
    return called
