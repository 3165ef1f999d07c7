"""The machine as a report of a fault needs it: versions, threads, GPU, recordings, extras, broken plugins."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable
from functools import partial
from importlib.metadata import PackageNotFoundError, version

import torch
from torch import Tensor
from torch.nn import functional as F

from ..core.cache import cache_dir
from ..core.errors import DataError
from ..core.plugins import broken_in_words
from ..data.sources import Roots
from ..results.environment import LIBRARIES, code_version

# What a plain install leaves out: extra → the packages it brings.
EXTRAS = {
    "sweep": ("ray", "optuna"),
    "export": ("onnx", "onnxruntime", "onnxscript"),
    "hf": ("transformers",),
    "lora": ("peft",),
    "pml": ("pytorch-metric-learning",),
    "slurm": ("submitit",),
    "tensorboard": ("tensorboard",),
    "wandb": ("wandb",),
    "mlflow": ("mlflow-skinny",),
}

# What bfloat16 on a CPU rests on: in words, the operator, and the shapes of its two operands.
OPERATORS: tuple[tuple[str, Callable[[Tensor, Tensor], Tensor], tuple[int, ...], tuple[int, ...]], ...] = (
    ("a matrix product", F.linear, (17, 33), (16, 33)),
    ("a convolution", partial(F.conv2d, padding=1), (2, 32, 16, 9), (64, 32, 3, 3)),
    ("a convolution of stride 2", partial(F.conv2d, padding=1, stride=2), (2, 32, 16, 9), (64, 32, 3, 3)),
    ("a convolution to one column", partial(F.conv2d, padding=1, stride=2), (2, 32, 16, 2), (64, 32, 3, 3)),
)
ROUNDING = 0.02  # of the largest value; bfloat16 rounds to 0.004 of each


def machine() -> dict[str, str]:
    """What there is, by what it is of; nothing here raises, so that what is broken can be told."""
    return {
        "rsbench": code_version(),
        "python": f"{platform.python_version()} on {platform.platform()}",
        "libraries": ", ".join(f"{name} {_version(name)}" for name in LIBRARIES),
        "threads": f"{torch.get_num_threads()} of {os.cpu_count()} cores",
        "GPU": _gpus(),
        "bfloat16": _bfloat16(),
        "recordings": _recordings(),
        "cache": str(cache_dir()),
        "extras": "; ".join(f"{extra}: {_extra(packages)}" for extra, packages in EXTRAS.items()),
        "plugins": "; ".join(broken_in_words()) or "none broken",
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "missing"


def _extra(packages: tuple[str, ...]) -> str:
    missing = [package for package in packages if _version(package) == "missing"]
    return f"without {', '.join(missing)}" if missing else ", ".join(f"{name} {_version(name)}" for name in packages)


def _gpus() -> str:
    if not torch.cuda.is_available():
        return "none"
    names = [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]
    return f"{', '.join(names)} (CUDA {torch.version.cuda})"


def bfloat16_faults() -> list[str]:
    """The OPERATORS that this processor's kernels, which torch has from oneDNN, do not compute as in float32."""
    return [words for words, operator, *shapes in OPERATORS if not _is_exact(operator, *shapes)]


def _is_exact(operator: Callable[[Tensor, Tensor], Tensor], *shapes: tuple[int, ...]) -> bool:
    generator = torch.Generator().manual_seed(0)
    operands = [torch.randn(shape, generator=generator).bfloat16() for shape in shapes]
    wanted = operator(*(operand.float() for operand in operands))
    error = (operator(*operands).float() - wanted).abs().max()  # NaN is no number, and below none
    return bool(error < ROUNDING * wanted.abs().max())


def _bfloat16() -> str:
    faults = bfloat16_faults()
    if not faults:
        return "as float32 within rounding, on the CPU"
    return (
        f"torch {torch.__version__} computes {' and '.join(faults)} wrongly on this CPU, whatever the backbone. "
        "Train with precision=fp32 on it"
    )


def _recordings() -> str:
    given = os.environ.get("RSBENCH_DATA")
    if not given:
        return "RSBENCH_DATA is not set: pass --root, or set it to a folder that holds icbhi/ and sprsound/"
    try:
        return f"{given}: {', '.join(Roots.parse((), os.environ).present())}"
    except DataError as error:
        return str(error)
