"""A loss that is solved: all embeddings at once, where `loop.py` would go down its slope step by step."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator

import torch
from torch import Tensor

from ..core.errors import RunFailed
from ..core.spec import RunSpec
from .checkpoint import Checkpoints, Resumed, TrainingState
from .clipset import ClipSet, why_no_numbers
from .loop import Evaluation, TrainingHooks, TrainingSchedule
from .predict import Model, predict


def solve(  # noqa: PLR0913 (as many as `train`, but for how clips are embedded)
    model: Model,
    clips: ClipSet,
    rows: Tensor,
    held_out: Tensor,
    spec: RunSpec,
    plan: TrainingSchedule,
    resumed: Resumed,
    checkpoints: Checkpoints,
    evaluate: Callable[[Model, int], Evaluation],
    watch: TrainingHooks,
    *,
    at_once: int,
) -> Generator[int, None, TrainingState]:
    """Solve the model's loss, as one epoch of one step; yields before it, and raises, as `train` does.

    Args:
        model: on its device; its backbone learns nothing.
        clips: the training data set; every clip is embedded as it is.
        rows: (N,) the clips to fit, on the device.
        held_out: (M,) those that the loss may choose its own settings on; M may be 0.
        spec: the run.
        plan: what to keep.
        resumed: what `checkpoints.load()` found.
        checkpoints: where state and chosen weights are kept.
        evaluate: called with the solved model and 1.
        watch: told of the step and the epoch.
        at_once: how many clips are embedded at a time.
    """
    progress = resumed.progress
    if progress.epochs_done:
        model.load_state_dict(resumed.tensors.pop("model"))
        return progress
    paused = time.perf_counter()
    yield 0
    started = time.perf_counter()
    progress.waited_s += started - paused
    embedded = [_embeddings(model, clips, part, spec, at_once) for part in (rows, held_out)]
    of_fitted, of_held_out = (clips.known.labels[part].cpu() for part in (rows, held_out))
    found = model.loss.solve(embedded[0], of_fitted, embedded[1], of_held_out)
    with torch.no_grad():
        loss = model.loss(embedded[0].to(rows.device), clips.batch(rows, 1.0)).item()
    watch.step(0, 1, loss)

    evaluation = evaluate(model, 1)
    seconds = round(time.perf_counter() - started, 3)
    progress.epochs_done = 1
    progress.epochs.append({"epoch": 1, "train_loss": loss, **found, **evaluation.figures, "seconds": seconds})
    for selection, score in {**evaluation.scores, **dict.fromkeys(plan.keep, math.nan)}.items():
        progress.kept[selection] = checkpoints.keep(selection, model, score, 1)
    checkpoints.save(progress, {"model": model.state_dict()})
    checkpoints.flush()
    watch.epoch(progress)
    return progress


def _embeddings(model: Model, clips: ClipSet, rows: Tensor, spec: RunSpec, at_once: int) -> Tensor:
    """(N, D) on the CPU. Raises RunFailed where they are no numbers."""
    embeddings = predict(model, clips, rows, at_once, keep_embeddings=True).embeddings if len(rows) else None
    if embeddings is None:
        return torch.empty(0, model.backbone.embedding_dim)
    if not embeddings.isfinite().all():
        raise RunFailed(f"The embeddings of '{spec.backbone.name}' are no numbers. {why_no_numbers(clips, rows, spec)}")
    return embeddings
