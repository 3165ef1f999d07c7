"""What to do when a GPU is too small for a step."""

from __future__ import annotations

import torch

from ..core.spec import OptimPart
from .predict import Model

GIB = 2**30


def out_of_memory(model: Model, optim: OptimPart, device: torch.device) -> str:
    """What took the memory, and settings that take less: those first that leave the result what it is."""
    _, total = torch.cuda.mem_get_info(device)
    return too_large(model, optim, total)


def too_large(model: Model, optim: OptimPart, total: int) -> str:
    """The same for a device of `total` bytes.

    An estimate: what weights, gradients and the optimiser's moments leave is less than the activations of a
    micro-batch need.
    """
    moments = 1 if optim.algorithm == "sgd" else 2
    learning = sum(weight.nbytes for weight in model.parameters() if weight.requires_grad)
    held = sum(weight.nbytes for weight in model.parameters()) + (1 + moments) * learning
    clips = -(-optim.batch_size // optim.accumulate)
    text = (
        f"The GPU's memory ({total / GIB:.1f} GiB) is too small: weights, gradients and the optimiser's state take "
        f"{held / GIB:.1f} GiB"
    )
    if held >= total or clips == 1:
        return f"{text}. Take a smaller backbone, or a larger GPU."
    remedies = []
    if not optim.checkpoint_activations:
        remedies.append("--set optim.checkpoint_activations=true (the same result, about a third slower)")
    remedies.append(f"--set optim.accumulate={min(2 * optim.accumulate, optim.batch_size)} (batches of {clips // 2})")
    remedies.append("a smaller optim.batch_size, which is another training")
    return (
        f"{text}, and {clips} clips need more than the other {(total - held) / GIB:.1f}. Try {'; or '.join(remedies)}."
    )
