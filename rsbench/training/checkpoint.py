"""What survives a kill: the state after the last whole epoch, and the weights that each selection rule keeps.

Weights are named by their epoch and deleted only after a state that no longer refers to them is on disk, so that
every moment at which the process can die leaves a state whose files are all there.
"""

from __future__ import annotations

import io
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save
from torch import nn

from ..core.files import write_bytes

STATE = "resume.pt"


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


def weights_name(selection: str, epoch: int) -> str:
    """What the file is called that holds the weights of a selection's epoch."""
    return f"{selection.replace(':', '-')}-{epoch:03d}.safetensors"


class Checkpoints:
    """The folder `checkpoints/` of one run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def keep(self, selection: str, model: nn.Module, score: float, epoch: int) -> Kept:
        """Write the weights that `selection` now holds best."""
        filename = weights_name(selection, epoch)
        write_bytes(self.folder / filename, save(_tensors(model)))
        return Kept(score, epoch, filename)

    def save(self, progress: TrainingState, tensors: Mapping[str, Any]) -> None:
        """Write the state after a whole epoch, then drop weights that nothing refers to any more."""
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
            write_bytes(self.folder / STATE, content)
        self._drop_unreferenced(progress)

    def fold(self, number: int) -> Checkpoints:
        """Those of a training on part of the patients; they go when the run is finished."""
        return Checkpoints(self.folder / f"fold-{number}")

    def begun(self) -> bool:
        """Whether a whole epoch, of this training or of a fold, is on disk to go on from."""
        return any(self.folder.rglob(STATE))

    def epochs_done(self) -> int:
        """Epochs that are on disk to go on from."""
        path = self.folder / STATE
        if not path.is_file():
            return 0
        # Mapped into memory, so that the tensors stay on the disk.
        return int(torch.load(path, map_location="cpu", weights_only=True, mmap=True)["epochs_done"])

    def load(self) -> tuple[TrainingState, dict[str, Any]] | None:
        """The last whole state, or None where training has to start from the beginning."""
        if not (self.folder / STATE).is_file():
            return None
        state = torch.load(self.folder / STATE, map_location="cpu", weights_only=True)
        kept = {name: Kept(**item) for name, item in state["kept"].items()}
        return TrainingState(state["epochs_done"], state["epochs"], kept), state["tensors"]

    def restore(self, model: nn.Module, kept: Kept) -> None:
        """Load chosen weights into a model."""
        model.load_state_dict(load_file(self.folder / kept.filename))

    def finish(self) -> None:
        """Training is over and recorded: the optimiser's state and the folds are of no more use."""
        (self.folder / STATE).unlink(missing_ok=True)
        for fold in self.folder.glob("fold-*"):
            shutil.rmtree(fold)

    def _drop_unreferenced(self, progress: TrainingState) -> None:
        wanted = {item.filename for item in progress.kept.values()}
        for path in self.folder.glob("*.safetensors"):
            if path.name not in wanted:
                path.unlink()


def _tensors(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
