"""From clips to logits, without gradients and in full precision, the same on every device within rounding."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..core.backbone import Backbone, embeddings_of
from ..core.errors import SpecError
from ..core.loss import AngularLoss, Batch, Loss
from .clipset import ClipSet


class Model(nn.Module):
    """Backbone and loss: what a run trains and what its checkpoints hold.

    frozen: modules of the backbone that stay in eval mode while the rest trains, as `finetune.freeze` returns them.

    Raises SpecError when nothing is left to train, and for a loss that mixes clips on a backbone that takes a mask.
    """

    def __init__(self, backbone: Backbone, loss: Loss, frozen: tuple[nn.Module, ...] = ()) -> None:
        super().__init__()
        self.backbone = backbone
        self.loss = loss
        self.frozen = frozen
        self.compiled = False
        if not any(parameter.requires_grad for parameter in self.parameters()):
            raise SpecError("optim.freeze leaves nothing to train: the loss has no parameters of its own.")
        if backbone.takes_mask and type(loss).mix is not Loss.mix:
            raise SpecError(
                f"{type(loss).__name__} mixes clips, and {type(backbone).__name__} is told which frames of a clip hold "
                "its sound, which nobody can say of a mixture. Choose another loss, or a backbone without a mask."
            )

    def compile_backbone(self, backend: str) -> None:
        """Compile what the backbone does in training; weights keep their names."""
        self.backbone.compile(backend=backend)
        self.compiled = True

    def sizes(self) -> tuple[int, int]:
        """How many numbers its parameters are, and how many of them learn."""
        weights = list(self.parameters())
        return sum(w.numel() for w in weights), sum(w.numel() for w in weights if w.requires_grad)

    def train(self, mode: bool = True) -> Model:
        super().train(mode)
        for module in self.frozen:
            module.eval()
        return self


@dataclass(frozen=True)
class ModelOutputs:
    """On the host, in the order of the rows asked for.

    logits: (N, C). margin_rad: (N,), NaN where a loss has no angle. embeddings: (N, D), None where nobody asked.
    """

    logits: Tensor
    margin_rad: Tensor
    embeddings: Tensor | None


AUTOCAST = {"bf16": torch.bfloat16, "fp16": torch.float16}


def autocast(device: torch.device, precision: str) -> AbstractContextManager[None]:
    """Half precision where the spec asks for it, float32 elsewhere."""
    return torch.autocast(device.type, dtype=AUTOCAST.get(precision), enabled=precision in AUTOCAST)


def exact(device: torch.device, *, benchmark: bool = False) -> AbstractContextManager[None]:
    """Tensor cores round convolutions to ten bits by default: float32 keeps all 24, in training as in predictions.

    benchmark: let cuDNN time its algorithms and take the fastest, which may round in other places the next time. Of
    training on a GPU no bits are promised; what is kept of a model is computed by rule.
    """
    if device.type != "cuda":  # a step of a small model is short, and setting the flags a part of it
        return contextlib.nullcontext()
    flags: AbstractContextManager[None] = torch.backends.cudnn.flags(
        enabled=True, benchmark=benchmark, allow_tf32=False
    )
    return flags


@torch.no_grad()
def predict(
    model: Model,
    clips: ClipSet,
    rows: Tensor,
    batch_size: int,
    advance: Callable[[int], None] | None = None,
    *,
    precision: str = "fp32",
    keep_embeddings: bool = False,
) -> ModelOutputs:
    """Logits, and the angular margin training would give each clip. Leaves the model in the mode it was in.

    Args:
        model: evaluated in eval mode.
        clips: the data set's clips.
        rows: (N,) which of them, on the device.
        batch_size: clips at a time; sums depend on it in the last bits, so it follows from the spec alone.
        advance: called with the number of clips done, for a progress bar.
        precision: of the backbone; what is kept with a run is made in float32.
        keep_embeddings: give them too; what is judged after every epoch has no use for them.
    """
    was_training = model.training
    model.eval()
    logits, margins, seen = [], [], []
    with exact(rows.device), _as_written(model):
        for chosen in rows.split(batch_size):
            with autocast(rows.device, precision):
                heard = functools.partial(clips.heard, chosen)
                embeddings = embeddings_of(model.backbone, clips.features(chosen), heard)
            embeddings = embeddings.float()
            logits.append(model.loss.logits(embeddings).float())
            margins.append(_margin(model.loss, embeddings, clips.batch(chosen, 1.0)))
            if keep_embeddings:
                seen.append(embeddings)
            if advance:
                advance(len(chosen))
    model.train(was_training)
    # Moved at the end, all at once: to move every batch would let the device wait for the host in between.
    return ModelOutputs(torch.cat(logits).cpu(), torch.cat(margins).cpu(), torch.cat(seen).cpu() if seen else None)


def _as_written(model: Model) -> AbstractContextManager[Any]:
    """A backbone whose training is compiled is put before clips uncompiled."""
    return torch.compiler.set_stance("force_eager") if model.compiled else contextlib.nullcontext()


def _margin(loss: Loss, embeddings: Tensor, batch: Batch) -> Tensor:
    if not isinstance(loss, AngularLoss):
        return embeddings.new_full((len(embeddings),), torch.nan)
    return loss.margin_rad(embeddings, batch).float()
