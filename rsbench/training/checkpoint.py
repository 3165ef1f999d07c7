"""What survives a kill: the state after a whole epoch, and the weights that each selection rule keeps.

After every epoch both are copied in memory, where training cannot change them any more; they are written once in a
while, when training is interrupted, and at its end, in the background. Weights are named by their epoch and deleted
only after two states that no longer refer to them are on disk, so that every moment at which the process can die
leaves a state whose files are all there. Both carry checksums: where the last state or weights of it are damaged, the
one before is gone on from.
"""

from __future__ import annotations

import io
import time
from collections.abc import Mapping, Set
from concurrent import futures
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from ..core.errors import WeightsError
from ..core.files import read_sealed, remove, write_bytes, write_sealed
from ..core.weights import load_tensors, save_tensors

STATE = "resume.pt"
STATE_BEFORE = f"previous-{STATE}"
SAVE_EVERY_S = 60.0  # what a kill costs at most, apart from the epoch that it falls into


@dataclass
class Kept:
    """The weights that a selection rule has chosen so far; the score is NaN where none decided."""

    score: float
    epoch: int
    filename: str


@dataclass
class TrainingState:
    """How far training has come, apart from the tensors.

    waited_s: how long it has stood still here while others that go on in step with it had their turns.
    """

    epochs_done: int = 0
    epochs: list[dict[str, Any]] = field(default_factory=list)
    kept: dict[str, Kept] = field(default_factory=dict)
    waited_s: float = 0.0


@dataclass
class Resumed:
    """What is gone on from. tensors: state dicts by their holders' names, none at the beginning of a training.

    damaged: states that were left out, because they, or weights that they refer to, are not as they were written.
    """

    progress: TrainingState
    tensors: dict[str, Any]
    damaged: tuple[Path, ...] = ()


def weights_name(selection: str, epoch: int) -> str:
    """What the file is called that holds the weights of a selection's epoch."""
    return f"{selection.replace(':', '-')}-{epoch:03d}.safetensors"


class Checkpoints:
    """The folder `checkpoints/` of one run.

    Args:
        folder: made when the first state is written.
        every_s: seconds between two states on disk; 0 writes every one, before the next epoch begins.
    """

    def __init__(self, folder: Path, every_s: float = SAVE_EVERY_S) -> None:
        self.folder = folder
        self.every_s = every_s
        self._kept: set[str] = set()  # weights that the last state on disk refers to
        self._state: dict[str, Any] | None = None  # of the last whole epoch, while it is not on disk
        self._weights: dict[str, dict[str, Tensor]] = {}  # file name → chosen weights that are not on disk
        self._last = time.monotonic()
        self._writing: futures.Future[None] | None = None

    def keep(self, selection: str, model: nn.Module, score: float, epoch: int) -> Kept:
        """Copy the weights that `selection` now holds best."""
        filename = weights_name(selection, epoch)
        self._weights[filename] = _host_copy(model.state_dict())
        return Kept(score, epoch, filename)

    def save(self, progress: TrainingState, tensors: Mapping[str, Any]) -> None:
        """Copy the state after a whole epoch, and begin to write it where the last one was long ago.

        Raises StorageError where that one could not be written.
        """
        kept = {name: vars(item).copy() for name, item in progress.kept.items()}
        chosen = {item["filename"] for item in kept.values()}
        self._weights = {name: weights for name, weights in self._weights.items() if name in chosen}
        self._state = {
            "epochs_done": progress.epochs_done,
            "epochs": list(progress.epochs),
            "kept": kept,
            "tensors": _host_copy(tensors),
        }
        if time.monotonic() - self._last >= self.every_s:
            self._begin_to_write()
            if not self.every_s:
                self._wait()

    def flush(self) -> None:
        """Have the last whole epoch on disk. Raises StorageError where it cannot be written."""
        self._begin_to_write()
        self._wait()

    def _wait(self) -> None:
        """Until what is being written is on disk. Raises StorageError where it cannot be."""
        if self._writing is not None:
            futures.wait([self._writing])  # Ctrl-C may end this: what is being written is then waited for again
            writing, self._writing = self._writing, None
            writing.result()

    def _begin_to_write(self) -> None:
        """Hand the copies over to a thread; what was handed over before is on disk then."""
        self._wait()
        if self._state is None:
            return
        with_one_thread = futures.ThreadPoolExecutor(1)
        self._writing = with_one_thread.submit(self._write, self._state, self._weights)
        with_one_thread.shutdown(wait=False)  # it ends with its work
        self._state, self._weights = None, {}
        self._last = time.monotonic()

    def _write(self, state: Mapping[str, Any], weights: Mapping[str, Mapping[str, Tensor]]) -> None:
        """Weights, the state that refers to them, and then away with weights that it and the one before do not need."""
        for filename, tensors in weights.items():
            contiguous = {name: tensor.contiguous() for name, tensor in tensors.items()}
            write_bytes(self.folder / filename, save_tensors(contiguous))
        written = io.BytesIO()  # torch.save calls every error of a disk a RuntimeError
        torch.save(state, written)
        with written.getbuffer() as content:  # released at once: what a full disk raises may live on with this frame
            write_sealed(self.folder / STATE, content, previous=self.folder / STATE_BEFORE)
        before, self._kept = self._kept, {item["filename"] for item in state["kept"].values()}
        self._keep_only(before | self._kept)

    def fold(self, number: int) -> Checkpoints:
        """Those of a training on part of the patients; they go when the run is finished."""
        return Checkpoints(self.folder / f"fold-{number}", self.every_s)

    def begun(self) -> bool:
        """Whether a whole epoch, of this training or of a fold, is on disk to go on from."""
        return any(self.folder.rglob(f"*{STATE}"))

    def load(self) -> Resumed:
        """The last whole state whose weights are whole too, or the beginning. Damaged states are removed."""
        damaged: list[Path] = []
        for path in (self.folder / STATE, self.folder / STATE_BEFORE):
            if path.exists():
                state = self._read(path)
                if state is not None:
                    self._kept = {item.filename for item in state[0].kept.values()}
                    return Resumed(*state, tuple(damaged))
                damaged.append(path)
                remove(path)
        return Resumed(TrainingState(), {}, tuple(damaged))

    def _read(self, path: Path) -> tuple[TrainingState, dict[str, Any]] | None:
        content = read_sealed(path)
        if content is None:
            return None
        state = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
        kept = {name: Kept(**item) for name, item in state["kept"].items()}
        if not all(_is_whole(self.folder / item.filename) for item in kept.values()):
            return None
        return TrainingState(state["epochs_done"], state["epochs"], kept), state["tensors"]

    def restore(self, model: nn.Module, kept: Kept) -> None:
        """Load chosen weights into a model."""
        model.load_state_dict(load_tensors(self.folder / kept.filename))

    def finish(self, kept: Set[str]) -> None:
        """Training is over and recorded: all but these weights is of no more use."""
        self._keep_only(kept)
        for name in (STATE_BEFORE, STATE):
            remove(self.folder / name)
        for fold in self.folder.glob("fold-*"):
            remove(fold)

    def _keep_only(self, filenames: Set[str]) -> None:
        for path in self.folder.glob("*.safetensors"):
            if path.name not in filenames:
                path.unlink()


def _is_whole(path: Path) -> bool:
    """Whether weights can be read, and are as they were written."""
    try:
        load_tensors(path)
    except (OSError, SafetensorError, WeightsError):
        return False
    return True


def _host_copy(state: Mapping[str, Any]) -> dict[str, Any]:
    """A state dict whose tensors are copies on the CPU: from a GPU into pinned memory, waiting once for all of them."""
    copies = {name: _copied(value) for name, value in state.items()}
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()
    return copies


def _copied(value: Any) -> Any:
    if isinstance(value, Tensor):
        pinned = value.device.type == "cuda"
        copy = torch.empty_like(value, device="cpu", pin_memory=pinned)
        return copy.copy_(value.detach(), non_blocking=pinned)
    if isinstance(value, Mapping):
        return {key: _copied(item) for key, item in value.items()}
    return [_copied(item) for item in value] if isinstance(value, list) else value
