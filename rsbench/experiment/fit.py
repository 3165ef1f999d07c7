"""One training with a progress bar: of a run, or of a fold of its patients."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Generator, Sequence

import torch

from ..core.display import duration
from ..training.checkpoint import Checkpoints, Resumed, TrainingState
from ..training.clipset import ClipSet
from ..training.loop import Evaluation, TrainingHooks, TrainingSchedule, train, training_loss
from ..training.optim import make_optimiser
from ..training.predict import Model, predict
from ..training.solve import solve
from .build import training_rows
from .context import RunContext
from .predict import clips_at_once
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
) -> Generator[int, None, TrainingState]:
    """Train on the clips to fit, as far as planned, and show how far it has come. See `training.loop.train`.

    A loss that is solved is solved instead, see `training.solve.solve`. It may choose on the run's validation patients,
    and where it has none, on nobody: the folds of cv-refit are judged on those whom they hold out.
    """
    spec = experiment.spec
    rows = torch.as_tensor(training_rows(experiment, "fit"), device=context.device)
    steps = 1 if model.loss.solved else -(-len(rows) // spec.optim.batch_size)
    resumed = _resumed(checkpoints, context)
    done = resumed.progress.epochs_done
    if 0 < done < plan.until:
        context.display.say(f"going on after epoch {done} of {plan.until}")
    with context.display.track(f"training {spec.loss.name}", steps * plan.until, steps * done) as advance:
        watch = TrainingHooks(
            step=lambda epoch, step, loss: advance(1, f"epoch {epoch + 1}/{plan.until}  loss {loss:.3f}"),
            epoch=on_epoch,
        )
        if model.loss.solved:
            held_out = training_rows(experiment, "validation")[: None if spec.validation.fraction else 0]
            chosen_on = torch.as_tensor(held_out, device=context.device)
            at_once = clips_at_once(spec)
            return (
                yield from solve(
                    model, clips, rows, chosen_on, spec, plan, resumed, checkpoints, evaluate, watch, at_once=at_once
                )
            )
        return (yield from train(model, clips, rows, spec, plan, resumed, checkpoints, evaluate, watch))


def _resumed(checkpoints: Checkpoints, context: RunContext) -> Resumed:
    """What is on disk to go on from; says what is damaged there."""
    resumed = checkpoints.load()
    for path in resumed.damaged:
        context.display.say(f"note: {path}, or weights that go with it, were damaged; it is left out")
    if resumed.damaged and not resumed.progress.epochs_done:
        context.display.say("note: no earlier state is there; training begins anew")
    return resumed


LONG_ENOUGH_S = 0.05  # what takes less is not worth timing
SHORT_ENOUGH_S = 0.5  # what takes less may be timed over more clips
SLOW_S = 180.0  # a run that takes longer than this says how to make it smaller


def announce_cost(experiments: Sequence[Experiment], context: RunContext, model: Model, clips: ClipSet) -> None:
    """On a CPU, say before runs of the same kind how long they will take, and what would take less.

    model: of one of them; how long a loss takes that is solved, nobody knows before. clips: what they are trained on.
    """
    if context.device.type != "cpu" or context.display.quiet or model.loss.solved:
        return
    first = experiments[0]
    seconds = estimate_seconds(first, model, clips) * len(experiments)
    text = f"about {duration(seconds)} on this machine"
    if seconds > SLOW_S:
        smaller = f"--set {model.backbone.smaller}" if model.backbone.smaller else "fewer --epochs"
        text += f"; faster: {smaller}, or a GPU"
    context.display.say(text)


def estimate_seconds(experiment: Experiment, model: Model, clips: ClipSet) -> float:
    """The time training and prediction will take, from a few steps of a copy of the model."""
    model = copy.deepcopy(model).train()
    spec, to_fit = experiment.spec, training_rows(experiment, "fit")
    optimiser = make_optimiser(model, spec.optim)
    batch = torch.as_tensor(to_fit[: spec.optim.batch_size], device=clips.known.labels.device)

    def step(count: int) -> None:
        training_loss(model, clips, batch[:count], spec, 0, 0.0).backward()
        optimiser.step()
        optimiser.zero_grad()

    def judge(count: int) -> None:
        predict(model, clips, batch[:count], spec.optim.batch_size)

    fitted = len(to_fit) * spec.optim.epochs
    validated = sum(len(part.rows("validation")) for part in experiment.training.values()) * spec.optim.epochs
    predicted = sum(len(dataset.rows("validation", "test")) for dataset in experiment.datasets.values())
    # k folds of all but a k-th, and one more on everything; where each fold is tested, of what the first one trains on
    trainings = experiment.tested_folds or 1 + max(0, len(experiment.folds) - 1)
    judged = (validated + predicted * len(spec.select)) * max(1, experiment.tested_folds)
    return trainings * fitted * _seconds_a_clip(step, len(batch)) + judged * _seconds_a_clip(judge, len(batch))


def _seconds_a_clip(work: Callable[[int], None], most: int) -> float:
    """What `work` of so many clips takes for one: of a few of a large model, of many batches of a small one.

    A few clips bear alone what a batch shares, the optimiser's update say: they are for what would take long.
    """
    count = min(4, most)
    work(count)  # the first pays for memory and for kernels made for these shapes
    while (seconds := _timed(work, count)) < SHORT_ENOUGH_S and count < most:
        count = min(4 * count, most)
    done = 1
    while seconds < LONG_ENOUGH_S:
        seconds += _timed(work, count)
        done += 1
    return seconds / (done * count)


def _timed(work: Callable[[int], None], count: int) -> float:
    started = time.perf_counter()
    work(count)
    return time.perf_counter() - started
