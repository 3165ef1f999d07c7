"""A GPU that is not there: tensors with shapes and devices but no values, and a watch over what would wait for it.

torch's fake tensors are private API, and tried with the versions in TRIED alone.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

TRIED = ("2.11", "2.14")
CUDA = torch.device("cuda", 0)
COPIES = ("aten::_to_copy", "aten::copy_", "aten::_copy_from")
NEEDS_VALUES = ("aten::_local_scalar_dense", "aten::nonzero", "aten::masked_select", "aten::unique", "aten::equal")


class Waits(TorchDispatchMode):
    """Names every operation for which the host would wait: copies from one device to the other, and looks at values."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = func._schema.name
        if name in NEEDS_VALUES:
            self.found.append(name)
        result = func(*args, **kwargs)
        if name in COPIES:
            source = args[1] if name == "aten::copy_" else args[0]
            waits = not (kwargs.get("non_blocking") or (name == "aten::copy_" and len(args) > 2 and args[2]))
            if source.device != result.device and waits:
                self.found.append(f"{name} {source.device} -> {result.device}")
        return result


@contextlib.contextmanager
def pretended_gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Within it, tensors can be made on CUDA; mixing devices is an error, as on a real one."""
    if not torch.__version__.startswith(TRIED):
        pytest.skip(f"torch {torch.__version__}: fake tensors were tried with {', '.join(TRIED)}")
    monkeypatch.setattr(torch.cuda, "default_generators", (torch.Generator(),))
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr("torch.cuda.amp.common.amp_definitely_not_available", lambda: False)  # autocast asks
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: True)
    monkeypatch.setattr(Tensor, "pin_memory", lambda tensor: tensor)  # which fake tensors lack
    with FakeTensorMode(allow_non_fake_inputs=True):
        yield


def moved(module: nn.Module) -> nn.Module:
    """The module with its parameters and buffers on the pretended GPU."""
    for part in module.modules():
        for name, parameter in part._parameters.items():
            if parameter is not None:
                part._parameters[name] = nn.Parameter(pretended(parameter), parameter.requires_grad)
        for name, buffer in part._buffers.items():
            if buffer is not None:
                part._buffers[name] = pretended(buffer)
    return module


def pretended(tensor: Tensor) -> Tensor:
    """A tensor of this shape and type, on the pretended GPU."""
    return torch.empty(tensor.shape, dtype=tensor.dtype, device=CUDA)
