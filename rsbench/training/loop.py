"""THE loop. One page, read from top to bottom: gather → features → augment → mix → backbone → loss → step.

A training yields before every step, so that those of one seed can take turns over the same batches.

There is no hidden randomness: every draw of step n (of micro-batch n, where batches are split) comes from
`derive(seed, axis, n)`, so a run that was killed and goes on needs no generator's state, and no loss's name enters, so
the runs of one seed are paired across losses.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn
from torch.amp.grad_scaler import GradScaler

from ..core.backbone import embeddings_of
from ..core.draws import generator, sent
from ..core.errors import RunFailed
from ..core.loss import Batch
from ..core.seeds import derive
from ..core.spec import RunSpec
from ..evaluation.selection import better
from ..features.augment import mixup
from .checkpoint import Checkpoints, Resumed, TrainingState
from .clipset import ClipSet, why_no_numbers
from .memory import out_of_memory
from .optim import HalfStep, averaged_before, clip_order, learning_rate, make_average, make_optimiser, move_average
from .predict import Model, autocast, exact

CHECK_EVERY = 50  # steps between looks at the loss on a GPU, where each look waits for the device


@dataclass(frozen=True)
class Evaluation:
    """A model after an epoch: the score that each selection rule judges by, figures, and tables for the record."""

    scores: Mapping[str, float]
    figures: Mapping[str, float]
    tables: Mapping[str, pd.DataFrame] = field(default_factory=dict)


@dataclass(frozen=True)
class TrainingSchedule:
    """How many epochs of the schedule are trained, and which are kept whatever their score: selection → epoch."""

    until: int
    keep: Mapping[str, int]


@dataclass(frozen=True)
class TrainingHooks:
    """Who looks on. step: called with the epoch, the step in it and the loss. epoch: when one is whole."""

    step: Callable[[int, int, float], None]
    epoch: Callable[[TrainingState], None]


def train(  # noqa: PLR0913 (all that a training is made of)
    model: Model,
    clips: ClipSet,
    rows: Tensor,
    spec: RunSpec,
    plan: TrainingSchedule,
    resumed: Resumed,
    checkpoints: Checkpoints,
    evaluate: Callable[[Model, int], Evaluation],
    watch: TrainingHooks,
) -> Generator[int, None, TrainingState]:
    """Train as far as planned, going on from the last whole epoch; yields the number of each step before it is taken.

    When it ends, or an error or an interrupt ends it, the last whole epoch is on disk.

    Args:
        model: on its device; ends with the weights of the last epoch.
        clips: the training data set.
        rows: (N,) the clips to fit, on the device.
        spec: the run; its schedule is that of all its epochs, however few are planned.
        plan: where to stop and what to keep.
        resumed: what `checkpoints.load()` found; its tensors are taken out of it.
        checkpoints: where state and chosen weights are kept.
        evaluate: called after every epoch with the model that would be kept, and the epoch's number.
        watch: told of steps and epochs.

    Raises RunFailed when the loss is no longer a number.
    """
    optim, seed = spec.optim, spec.seed
    if optim.compile != "none":
        model.compile_backbone(optim.compile)
    optimiser = make_optimiser(model, optim)
    average = make_average(model, optim)
    half_step = HalfStep(model.parameters()) if optim.half_step else None
    scaler = GradScaler(rows.device.type, enabled=spec.precision == "fp16")
    stateful: dict[str, Any] = {"model": model, "optimiser": optimiser, "scaler": scaler}
    if average is not None:
        stateful["average"] = average
    progress = resumed.progress
    while resumed.tensors:  # emptied: a second copy would stay in memory as long as the training lasts
        name, state = resumed.tensors.popitem()
        stateful[name].load_state_dict(state)

    steps = -(-len(rows) // optim.batch_size)
    try:
        for epoch in range(progress.epochs_done, plan.until):
            started = time.perf_counter()
            model.train()
            order = clip_order(clips.known.labels[rows], optim.sampling, generator(seed, "order", epoch))
            total = torch.zeros((), device=rows.device)
            # tensor_split makes batches of equal size (within one): no clip is dropped, no batch is a lone clip.
            for position, chosen in enumerate(rows[sent(order, rows.device)].tensor_split(steps)):
                step = epoch * steps + position
                paused = time.perf_counter()
                yield step
                waited_s = time.perf_counter() - paused
                progress.waited_s += waited_s
                started += waited_s
                lr = learning_rate(optim, step, steps)
                for group in optimiser.param_groups:
                    group["lr"] = lr * group["scale"]

                optimiser.zero_grad(set_to_none=True)
                loss = accumulate_gradients(model, clips, chosen, spec, step, step / (steps * optim.epochs), scaler)
                scaler.unscale_(optimiser)
                if optim.clip_norm:
                    nn.utils.clip_grad_norm_(model.parameters(), optim.clip_norm)
                if half_step:
                    half_step.remember()
                scaler.step(optimiser)
                scaler.update()
                if half_step:
                    half_step.go_back()
                if average is not None and optim.ema_decay:
                    move_average(average, model, optim.ema_decay if step else 0.0)

                total += loss * len(chosen)
                if rows.device.type == "cpu" or position % CHECK_EVERY == 0 or position == steps - 1:
                    value = loss.item()
                    if not math.isfinite(value):
                        raise RunFailed(
                            f"The loss of '{spec.loss.name}' became {value} in epoch {epoch + 1}, step {position + 1}. "
                            f"{why_no_numbers(clips, rows, spec)}"
                        )
                    watch.step(epoch, position + 1, value)

            if average is not None and optim.swa_from:
                before = averaged_before(optim, epoch)
                move_average(average, model, before / (before + 1))
            kept = model if average is None else average
            evaluation = evaluate(kept, epoch + 1)
            progress.epochs_done = epoch + 1
            progress.epochs.append(
                {
                    "epoch": epoch + 1,
                    "lr": lr,
                    "train_loss": total.item() / len(rows),
                    **evaluation.figures,
                    "seconds": round(time.perf_counter() - started, 3),
                }
            )
            for selection, score in evaluation.scores.items():
                best = progress.kept.get(selection)
                if best is None or better(score, best.score):
                    progress.kept[selection] = checkpoints.keep(selection, kept, score, epoch + 1)
            for selection, wanted in plan.keep.items():
                if wanted == epoch + 1:
                    progress.kept[selection] = checkpoints.keep(selection, kept, math.nan, wanted)
            checkpoints.save(progress, {name: holder.state_dict() for name, holder in stateful.items()})
            watch.epoch(progress)
    except SystemExit:  # by which Tune ends a trial: nobody goes on with it
        raise
    except BaseException:
        checkpoints.flush()
        raise
    checkpoints.flush()
    return progress


def accumulate_gradients(
    model: Model, clips: ClipSet, rows: Tensor, spec: RunSpec, step: int, done: float, scaler: GradScaler
) -> Tensor:
    """Forward and backward over one batch, a micro-batch at a time; returns its loss, the mean over its clips.

    Raises RunFailed where the GPU's memory is too small.
    """
    total = torch.zeros((), device=rows.device)
    try:
        for micro, chosen in enumerate(rows.tensor_split(min(spec.optim.accumulate, len(rows)))):
            draw = step * spec.optim.accumulate + micro
            with exact(rows.device, benchmark=True):
                loss = training_loss(model, clips, chosen, spec, draw, done) * (len(chosen) / len(rows))
                scaler.scale(loss).backward()
            total += loss.detach()
    except torch.OutOfMemoryError as error:
        raise RunFailed(out_of_memory(model, spec.optim, rows.device)) from error
    return total


def training_loss(model: Model, clips: ClipSet, rows: Tensor, spec: RunSpec, draw: int, done: float) -> Tensor:
    """The scalar to minimise for one micro-batch, the `draw`-th of the run; all its draws follow from seed and number.

    Args:
        model: in train mode.
        clips: the training data set.
        rows: (B,) the clips, on the device.
        spec: the run.
        draw: counted from 0 over all epochs.
        done: the share of the whole training that is done, in [0, 1].
    """
    with torch.no_grad():
        draws = generator(spec.seed, "augment", draw)
        views = clips.views(rows, model.loss.views, draws)
        features, batch = model.loss.mix(views, clips.batch(rows, done), draws)
        mixed_with: Batch | None = None
        if spec.augment.mixup:
            features, partner, share = mixup(features, len(rows), draws, spec.augment.mixup)
            mixed_with = clips.batch(rows[partner], done)
    _seed(rows.device, derive(spec.seed, "model", draw))
    with autocast(rows.device, spec.precision):
        embeddings = embeddings_of(model.backbone, features, lambda n: clips.heard(rows.repeat(model.loss.views), n))
    _seed(rows.device, derive(spec.seed, "loss", draw))
    embeddings = embeddings.float()
    loss: Tensor = model.loss(embeddings, batch)
    return loss if mixed_with is None else share * loss + (1 - share) * model.loss(embeddings, mixed_with)


def _seed(device: torch.device, seed: int) -> None:
    """Seed the generators that dropout draws from. `torch.manual_seed` would do, and cost more than a small step."""
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.default_generators[
            torch.cuda.current_device() if device.index is None else device.index
        ].manual_seed(seed)
