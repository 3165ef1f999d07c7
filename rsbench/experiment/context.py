"""Where a run happens and what it may use; none of it decides the result."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ..core.display import Display
from ..core.errors import SpecError
from ..core.plugins import discover, load
from ..core.spec import RunSpec
from ..data.sources import Roots
from .resolve import resolve
from .shelf import Shelf

DEFAULT_THREADS = torch.get_num_threads()  # before any run changes it: the cores this process may use


@dataclass(frozen=True)
class Place:
    """Folders, device and display of a run."""

    roots: Roots
    out: Path
    device: torch.device
    threads: int
    partial: bool
    display: Display

    def shelf(self) -> Shelf:
        """An empty shelf for what runs here have in common."""
        return Shelf(self.roots, partial=self.partial, display=self.display)


def make_place(
    root: str | Path | Sequence[str | Path],
    out: str | Path,
    *,
    device: str = "auto",
    threads: int | None = None,
    partial: bool = False,
    quiet: bool = False,
) -> Place:
    """Check the device and set the threads. Raises SpecError where a GPU was asked for and there is none."""
    given = [root] if isinstance(root, str | Path) else list(root)
    roots = Roots.parse([str(folder) for folder in given], os.environ)
    threads = threads or DEFAULT_THREADS
    torch.set_num_threads(threads)
    return Place(roots, Path(out), device_named(device), threads, partial, Display(quiet=quiet))


def device_named(name: str) -> torch.device:
    """A device of this machine. Raises SpecError where there is none of this name."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise SpecError(f"--device {name}: there is no such kind of device. Known: auto, cpu, cuda, cuda:N.") from None
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise SpecError(
            f"--device {name}: torch {torch.__version__} sees {torch.cuda.device_count()} GPUs here. "
            "Use --device cpu, or check the driver with nvidia-smi."
        )
    return device


def make_spec(settings: Mapping[str, Any], place: Place, plugins: Sequence[str] = ()) -> RunSpec:
    """The resolved spec; half precision by default where the device is good at it."""
    discover()
    for plugin in plugins:
        load(plugin)
    halves = place.device.type == "cuda" and torch.cuda.is_bf16_supported()
    return resolve({"precision": "bf16" if halves else "fp32", **settings}, place.roots.own_datasets())
