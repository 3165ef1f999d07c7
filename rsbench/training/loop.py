"""THE loop. One page, read from top to bottom: gather → features → augment → mix → backbone → loss → step.

There is no hidden randomness: every draw of step n comes from `derive(seed, axis, n)`, so a run that was killed and
goes on needs no generator's state, and no loss's name enters, so the runs of one seed are paired across losses.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

from ..errors import RunFailed
from ..evaluation.selection import better
from ..seeds import derive
from ..signal.augment import spec_augment
from ..spec import RunSpec
from .checkpoint import Checkpoints, Progress
from .optim import HalfStep, learning_rate, make_average, make_optimiser
from .predict import ClipSet, Model

AUTOCAST = {"bf16": torch.bfloat16, "fp16": torch.float16}
CHECK_EVERY = 50  # steps between looks at the loss on a GPU, where each look waits for the device


@dataclass(frozen=True)
class Evaluation:
    """A model after an epoch: the score that each selection rule judges by, and figures for the record."""

    scores: Mapping[str, float]
    figures: Mapping[str, float]


def train(
    model: Model,
    clips: ClipSet,
    rows: Tensor,
    spec: RunSpec,
    checkpoints: Checkpoints,
    evaluate: Callable[[Model], Evaluation],
    on_step: Callable[[int, int, float], None],
    on_epoch: Callable[[Progress], None],
) -> Progress:
    """Train to the last epoch, going on from the last whole one where a checkpoint stands.

    Args:
        model: on its device; ends with the weights of the last epoch.
        clips: the training data set.
        rows: (N,) the clips to fit, on the device.
        spec: the run.
        checkpoints: where state and chosen weights are kept.
        evaluate: called after every epoch with the model that would be kept.
        on_step: called with the epoch, the step in it and the loss.
        on_epoch: called when an epoch is whole and on disk.

    Raises RunFailed when the loss is no longer a number.
    """
    optim, seed = spec.optim, spec.seed
    optimiser = make_optimiser(model.parameters(), optim)
    average = make_average(model, optim)
    half_step = HalfStep(model.parameters()) if optim.half_step else None
    scaler = torch.amp.grad_scaler.GradScaler(rows.device.type, enabled=spec.precision == "fp16")
    stateful: dict[str, Any] = {"model": model, "optimiser": optimiser, "scaler": scaler}
    if average:
        stateful["average"] = average
    progress = Progress()
    if (resumed := checkpoints.load()) is not None:
        progress, tensors = resumed
        for name, holder in stateful.items():
            holder.load_state_dict(tensors[name])

    steps = -(-len(rows) // optim.batch_size)
    for epoch in range(progress.epochs_done, optim.epochs):
        started = time.perf_counter()
        model.train()
        order = torch.randperm(len(rows), generator=_generator(seed, "order", epoch)).to(rows.device)
        total = torch.zeros((), device=rows.device)
        # tensor_split makes batches of equal size (within one): no clip is dropped, no batch is a lone clip.
        for position, chosen in enumerate(rows[order].tensor_split(steps)):
            step = epoch * steps + position
            for group in optimiser.param_groups:
                group["lr"] = learning_rate(optim, step, steps)

            loss = training_loss(model, clips, chosen, spec, step, step / (steps * optim.epochs))

            optimiser.zero_grad(set_to_none=True)
            scaler.scale(loss).backward()
            scaler.unscale_(optimiser)
            if optim.clip_norm:
                nn.utils.clip_grad_norm_(model.parameters(), optim.clip_norm)
            if half_step:
                half_step.remember()
            scaler.step(optimiser)
            scaler.update()
            if half_step:
                half_step.go_back()
            if average:
                average.update_parameters(model)

            total += loss.detach() * len(chosen)
            if rows.device.type == "cpu" or position % CHECK_EVERY == 0 or position == steps - 1:
                on_step(epoch, position + 1, _finite(loss, epoch, position, spec))

        kept = cast(Model, average.module) if average else model
        evaluation = evaluate(kept)
        progress.epochs_done = epoch + 1
        progress.epochs.append(
            {
                "epoch": epoch + 1,
                "lr": optimiser.param_groups[0]["lr"],
                "train_loss": total.item() / len(rows),
                **evaluation.figures,
                "seconds": round(time.perf_counter() - started, 3),
            }
        )
        for selection, score in evaluation.scores.items():
            best = progress.kept.get(selection)
            if best is None or better(score, best.score):
                progress.kept[selection] = checkpoints.keep(selection, kept, score, epoch + 1)
        if epoch + 1 == optim.epochs and "last" in spec.select:
            progress.kept["last"] = checkpoints.keep("last", kept, math.nan, epoch + 1)
        checkpoints.save(progress, {name: holder.state_dict() for name, holder in stateful.items()})
        on_epoch(progress)
    return progress


def training_loss(model: Model, clips: ClipSet, rows: Tensor, spec: RunSpec, step: int, done: float) -> Tensor:
    """The scalar to minimise for one batch; all its draws follow from the spec's seed and the step."""
    with torch.no_grad():
        features = model.frontend(clips.gather(rows))
        draws = _generator(spec.seed, "augment", step)
        augment = spec.augment.model_dump()
        views = [spec_augment(features, draws, **augment) for _ in range(model.loss.views)]
        features, batch = model.loss.mix(torch.cat(views), clips.batch(rows, done), draws)
    torch.manual_seed(derive(spec.seed, "model", step))
    with autocast(rows.device, spec.precision):
        embeddings = model.backbone(features)
    torch.manual_seed(derive(spec.seed, "loss", step))
    loss: Tensor = model.loss(embeddings.float(), batch)
    return loss


def autocast(device: torch.device, precision: str) -> AbstractContextManager[None]:
    """Half precision where the spec asks for it, exact float32 elsewhere."""
    return torch.autocast(device.type, dtype=AUTOCAST.get(precision), enabled=precision in AUTOCAST)


def _generator(seed: int, axis: str, index: int) -> torch.Generator:
    """Draws are made on the CPU, so that a GPU sees the same order and the same masks."""
    return torch.Generator().manual_seed(derive(seed, axis, index))


def _finite(loss: Tensor, epoch: int, position: int, spec: RunSpec) -> float:
    value = loss.item()
    if not math.isfinite(value):
        raise RunFailed(
            f"The loss of '{spec.loss.name}' became {value} in epoch {epoch + 1}, step {position + 1}. "
            f"Lower optim.lr (now {spec.optim.lr:g}), or set optim.clip_norm=1."
        )
    return value
