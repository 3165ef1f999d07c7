"""What survives a kill: the state after the last whole epoch, and the weights that each selection rule keeps.

Weights are named by their epoch and deleted only after two states that no longer refer to them are on disk, so that
every moment at which the process can die leaves a state whose files are all there. Both carry checksums: where the
last state or weights of it are damaged, the one before is gone on from.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import nn

from ..core.errors import WeightsError
from ..core.files import read_sealed, remove, write_bytes, write_sealed
from ..core.weights import load_tensors, save_tensors

STATE = "resume.pt"
STATE_BEFORE = f"previous-{STATE}"


@dataclass
class Kept:
    """The weights that a selection rule has chosen so far; the score is NaN where none decided."""

    score: float
    epoch: int
    filename: str


@dataclass
class TrainingState:
    """How far training has come, apart from the tensors."""

    epochs_done: int = 0
    epochs: list[dict[str, Any]] = field(default_factory=list)
    kept: dict[str, Kept] = field(default_factory=dict)


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
    """The folder `checkpoints/` of one run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._kept: set[str] = set()  # weights that the last state refers to

    def keep(self, selection: str, model: nn.Module, score: float, epoch: int) -> Kept:
        """Write the weights that `selection` now holds best."""
        filename = weights_name(selection, epoch)
        write_bytes(self.folder / filename, save_tensors(_tensors(model)))
        return Kept(score, epoch, filename)

    def save(self, progress: TrainingState, tensors: Mapping[str, Any]) -> None:
        """Write the state after a whole epoch, then drop weights that neither it nor the one before refers to."""
        kept = {name: vars(item) for name, item in progress.kept.items()}
        state = {
            "epochs_done": progress.epochs_done,
            "epochs": progress.epochs,
            "kept": kept,
            "tensors": dict(tensors),
        }
        written = io.BytesIO()  # torch.save calls every error of a disk a RuntimeError
        torch.save(state, written)
        with written.getbuffer() as content:  # released at once: what a full disk raises may live on with this frame
            write_sealed(self.folder / STATE, content, previous=self.folder / STATE_BEFORE)
        before, self._kept = self._kept, {item.filename for item in progress.kept.values()}
        self._keep_only(before | self._kept)

    def fold(self, number: int) -> Checkpoints:
        """Those of a training on part of the patients; they go when the run is finished."""
        return Checkpoints(self.folder / f"fold-{number}")

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


def _tensors(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
