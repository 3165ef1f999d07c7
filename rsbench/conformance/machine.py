"""The machine as a report of a fault needs it: versions, threads, GPU, recordings, extras, broken plugins."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version

import torch

from ..core.cache import cache_dir
from ..core.errors import DataError
from ..core.plugins import broken_in_words
from ..data.sources import Roots
from ..results.environment import LIBRARIES, code_version

# What a plain install leaves out: extra → the packages it brings.
EXTRAS = {
    "sweep": ("ray", "optuna"),
    "export": ("onnx", "onnxruntime", "onnxscript"),
    "pml": ("pytorch-metric-learning",),
}


def machine() -> dict[str, str]:
    """What there is, by what it is of; nothing here raises, so that what is broken can be told."""
    return {
        "rsbench": code_version(),
        "python": f"{platform.python_version()} on {platform.platform()}",
        "libraries": ", ".join(f"{name} {_version(name)}" for name in LIBRARIES),
        "threads": f"{torch.get_num_threads()} of {os.cpu_count()} cores",
        "GPU": _gpus(),
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


def _recordings() -> str:
    given = os.environ.get("RSBENCH_DATA")
    if not given:
        return "RSBENCH_DATA is not set: pass --root, or set it to a folder that holds icbhi/ and sprsound/"
    try:
        return f"{given}: {', '.join(Roots.parse((), os.environ).present())}"
    except DataError as error:
        return str(error)
