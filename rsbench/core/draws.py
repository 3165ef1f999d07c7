"""Draws at random: made on the CPU, so that every device sees the same, and sent without waiting for the device."""

from __future__ import annotations

import torch
from torch import Tensor

from .seeds import derive


def generator(seed: int, axis: str, index: int) -> torch.Generator:
    """A CPU generator for the `index`-th draw of one purpose; see `derive`."""
    return torch.Generator().manual_seed(derive(seed, axis, index))


def sent(drawn: Tensor, device: torch.device) -> Tensor:
    """What was drawn on the CPU, on the device: from pinned memory, the host goes on while it is copied."""
    if device.type == "cuda":
        return drawn.pin_memory().to(device, non_blocking=True)
    return drawn.to(device)
