"""One training with a progress bar: of a run, or of a fold of its patients."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import numpy as np
import torch

from ..core.display import duration
from ..training.checkpoint import Checkpoints, Resumed, TrainingState
from ..training.clipset import ClipSet
from ..training.loop import Evaluation, TrainingHooks, TrainingSchedule, train
from ..training.predict import Model
from .context import RunContext
from .prepare import Experiment


def fit(
    experiment: Experiment,
    context: RunContext,
    model: Model,
    clips: ClipSet,
    plan: TrainingSchedule,
    checkpoints: Checkpoints,
    evaluate: Callable[[Model, int], Evaluation],
    on_epoch: Callable[[TrainingState], None],
) -> TrainingState:
    """Train on the clips to fit, as far as planned, and show how far it has come. See `training.loop.train`."""
    rows = torch.as_tensor(experiment.train_data.rows("fit"), device=context.device)
    steps = -(-len(rows) // experiment.spec.optim.batch_size)
    resumed = _resumed(checkpoints, context)
    done = resumed.progress.epochs_done
    if 0 < done < plan.until:
        context.display.say(f"going on after epoch {done} of {plan.until}")
    with context.display.track("training", steps * plan.until, steps * done) as advance:
        watch = TrainingHooks(
            step=lambda epoch, step, loss: advance(1, f"epoch {epoch + 1}/{plan.until}  loss {loss:.3f}"),
            epoch=on_epoch,
        )
        return train(model, clips, rows, experiment.spec, plan, resumed, checkpoints, evaluate, watch)


def _resumed(checkpoints: Checkpoints, context: RunContext) -> Resumed:
    """What is on disk to go on from; says what is damaged there."""
    resumed = checkpoints.load()
    for path in resumed.damaged:
        context.display.say(f"note: {path}, or weights that go with it, were damaged; it is left out")
    if resumed.damaged and not resumed.progress.epochs_done:
        context.display.say("note: no earlier state is there; training begins anew")
    return resumed


LONG_ENOUGH_S = 0.05  # a pass that takes less is not worth timing
SLOW_S = 180.0  # a run that takes longer than this says how to make it smaller


def announce_cost(experiment: Experiment, context: RunContext, model: Model, clips: Mapping[str, ClipSet]) -> None:
    """On a CPU, say before a long training how long it will take, and what would take less."""
    if context.device.type != "cpu":
        return
    seconds = estimate_seconds(experiment, model, clips[experiment.train.dataset])
    text = f"about {duration(seconds)} on this machine"
    if seconds > SLOW_S:
        smaller = f"--set {model.backbone.smaller}" if model.backbone.smaller else "fewer --epochs"
        text += f"; faster: {smaller}, or a GPU"
    context.display.say(text)


def estimate_seconds(experiment: Experiment, model: Model, clips: ClipSet) -> float:
    """The time training and prediction will take, from a few forward and backward passes.

    Nothing is left behind: the passes run in eval mode and their gradients are dropped.
    """
    model.eval()
    batch = experiment.train_data.rows("fit")[: experiment.spec.optim.batch_size]
    count = min(4, len(batch))
    _seconds_of_pass(model, clips, batch[:count])  # the first pays for memory and for kernels made for these shapes
    seconds = _seconds_of_pass(model, clips, batch[:count])
    while seconds < LONG_ENOUGH_S and count < len(batch):  # of a small model a few clips measure the overhead alone
        count = min(4 * count, len(batch))
        seconds = _seconds_of_pass(model, clips, batch[:count])
    model.zero_grad(set_to_none=True)
    model.train()
    fitted = len(experiment.train_data.rows("fit")) * experiment.spec.optim.epochs
    validated = len(experiment.train_data.rows("validation")) * experiment.spec.optim.epochs
    predicted = sum(len(dataset.rows("validation", "test")) for dataset in experiment.datasets.values())
    forward_share = 1 / 3  # of a training step's arithmetic; the backward pass is the other two
    trainings = 1 + max(0, len(experiment.folds) - 1)  # k folds of all but a k-th, and one more on everything
    clip_passes = trainings * fitted + forward_share * (validated + predicted * len(experiment.spec.select))
    return seconds / count * clip_passes


def _seconds_of_pass(model: Model, clips: ClipSet, rows: np.ndarray) -> float:
    chosen = torch.as_tensor(rows, device=clips.known.labels.device)
    started = time.perf_counter()
    logits = model.loss.logits(model.backbone(clips.features(chosen)))
    if logits.requires_grad:
        logits.sum().backward()
    return time.perf_counter() - started
