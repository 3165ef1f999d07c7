"""Where and with what a run was made: recorded with it, never part of its id."""

from __future__ import annotations

import functools
import platform
import subprocess
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from .. import __version__
from ..core.fingerprint import training_sha256

if TYPE_CHECKING:
    from .schema import Environment

LIBRARIES = ("torch", "torchaudio", "torchvision", "timm", "numpy", "pandas", "scikit-learn")


@functools.cache
def code_version() -> str:
    """rsbench's version, with the commit where it runs from a checkout, and '+' where that has local changes."""
    here = Path(__file__).resolve().parents[2]
    if not (here / ".git").exists():
        return __version__
    command = ["git", "-C", str(here), "describe", "--always", "--dirty=+", "--abbrev=10", "--exclude=*"]
    described = subprocess.run(command, capture_output=True, text=True, check=False)
    return f"{__version__} {described.stdout.strip()}".strip()


def environment(device: str, device_name: str, threads: int, gpu: Mapping[str, str]) -> Environment:
    """What env.json says of this machine and process; see `Environment`."""
    from .schema import Environment  # and pandas with it, which who asks for the version alone does without

    return Environment(
        code_version=code_version(),
        training_code=training_sha256(),
        python=platform.python_version(),
        platform=platform.platform(),
        libraries={name: version(name) for name in LIBRARIES},
        device=device,
        device_name=device_name,
        threads=threads,
        gpu=dict(gpu),
    )
