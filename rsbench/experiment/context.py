"""Where a run happens and what it may use; none of it decides the result."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ..core.display import Display
from ..core.errors import SpecError
from ..core.plugins import discover, load
from ..core.spec import RunSpec
from ..data.clips import ClipTable
from ..data.embeddings import EmbeddingFile, read_embeddings
from ..data.identity import labels_id
from ..data.levels import at_level
from ..data.sources import Roots, load_table
from ..data.tasks import Level
from ..data.waveforms import Waveforms, prepare
from ..training.checkpoint import SAVE_EVERY_S
from .resolve import resolve

DEFAULT_THREADS = torch.get_num_threads()  # before any run changes it: the cores this process may use
MOST_THREADS = max(64, 4 * DEFAULT_THREADS)  # a system gives a process so many; what asks for more is ended by it


@dataclass(frozen=True)
class RunContext:
    """Folders, device and display of a run, and the names of who observes it. save_every_s: see `Checkpoints`."""

    roots: Roots
    out: Path
    device: torch.device
    threads: int
    partial: bool
    display: Display
    save_every_s: float = SAVE_EVERY_S
    observers: tuple[str, ...] = ()

    def data_cache(self) -> DataCache:
        """An empty cache of what runs here have in common."""
        return DataCache(self.roots, partial=self.partial, display=self.display)


def make_context(
    root: str | Path | Sequence[str | Path],
    out: str | Path,
    *,
    device: str = "auto",
    threads: int | None = None,
    partial: bool = False,
    quiet: bool = False,
    save_every_s: float = SAVE_EVERY_S,
    observers: tuple[str, ...] = (),
) -> RunContext:
    """Check the device and set the threads. Raises SpecError where a GPU was asked for and there is none."""
    given = [root] if isinstance(root, str | Path) else list(root)
    roots = Roots.parse([str(folder) for folder in given], os.environ)
    threads = threads or DEFAULT_THREADS
    if threads > MOST_THREADS:
        raise SpecError(f"{threads} threads: this machine has {DEFAULT_THREADS} cores; ask for {MOST_THREADS} at most.")
    torch.set_num_threads(threads)
    return RunContext(
        roots, Path(out), device_named(device), threads, partial, Display(quiet=quiet), save_every_s, observers
    )


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


def gpu_facts(device: torch.device) -> dict[str, str]:
    """What a card computes with, its driver as nvidia-smi tells it; {} of a device that is none."""
    if device.type != "cuda":
        return {}
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    asked = shutil.which(command[0]) and subprocess.run(command, capture_output=True, text=True, check=False).stdout
    return {
        "cuda": torch.version.cuda or "unknown",
        "cudnn": str(torch.backends.cudnn.version()),
        "driver": asked.split()[0] if asked else "unknown",
        "memory": f"{torch.cuda.get_device_properties(device).total_memory / 2**30:.1f} GiB",
    }


def make_spec(settings: Mapping[str, Any], context: RunContext, plugins: Sequence[str] = ()) -> RunSpec:
    """The resolved spec; half precision by default where the device computes in it, and does not imitate it."""
    discover()
    for plugin in plugins:
        load(plugin)
    halves = context.device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    return resolve({"precision": "bf16" if halves else "fp32", **settings}, context.roots.own_datasets())


class DataCache:
    """Reads from the folders of recordings, and remembers. A file that changes meanwhile is not seen.

    Args:
        roots: where data sets lie.
        partial: accept incomplete ones.
        display: told of long work.
    """

    def __init__(self, roots: Roots, *, partial: bool, display: Display) -> None:
        self.roots = roots
        self.partial = partial
        self.display = display
        self._tables: dict[tuple[str, Level], ClipTable] = {}
        self._labels_ids: dict[tuple[str, Level], str] = {}
        self._waveforms: dict[tuple[str, int], Waveforms] = {}
        self._embeddings: dict[Path, EmbeddingFile] = {}

    def table(self, dataset: str, level: Level = "clip") -> ClipTable:
        """A data set as it lies there; above the level of clips, its recordings as clips, see `at_level`."""
        if (dataset, level) not in self._tables:
            as_read = load_table(dataset, self.roots, partial=self.partial) if level == "clip" else self.table(dataset)
            self._tables[dataset, level] = at_level(as_read, level)
        return self._tables[dataset, level]

    def labels_id(self, dataset: str, level: Level = "clip") -> str:
        if (dataset, level) not in self._labels_ids:
            self._labels_ids[dataset, level] = labels_id(self.table(dataset, level))
        return self._labels_ids[dataset, level]

    def waveforms(self, dataset: str, rate: int) -> Waveforms:
        """A data set's recordings at a rate in Hz, with a progress bar where they are not in the cache."""
        if (dataset, rate) not in self._waveforms:
            table = self.table(dataset)
            with self.display.track(f"decoding {dataset}", len(table.recordings)) as advance:
                self._waveforms[dataset, rate] = prepare(table, rate, lambda done, total: advance(1, ""))
        return self._waveforms[dataset, rate]

    def embeddings(self, path: Path) -> EmbeddingFile:
        if path not in self._embeddings:
            self._embeddings[path] = read_embeddings(path)
        return self._embeddings[path]
