"""One training with a progress bar: of a run, or of a fold of its patients."""

from __future__ import annotations

from collections.abc import Callable

import torch

from ..training.checkpoint import Checkpoints, Progress
from ..training.clipset import ClipSet
from ..training.loop import Evaluation, Plan, Watch, train
from ..training.predict import Model
from .context import Place
from .prepare import Experiment


def fit(
    experiment: Experiment,
    place: Place,
    model: Model,
    clips: ClipSet,
    plan: Plan,
    checkpoints: Checkpoints,
    evaluate: Callable[[Model, int], Evaluation],
    on_epoch: Callable[[Progress], None],
) -> Progress:
    """Train on the clips to fit, as far as planned, and show how far it has come. See `training.loop.train`."""
    rows = torch.as_tensor(experiment.fit.rows("fit"), device=place.device)
    steps = -(-len(rows) // experiment.spec.optim.batch_size)
    done = checkpoints.epochs_done()
    if 0 < done < plan.until:
        place.display.say(f"going on after epoch {done} of {plan.until}")
    with place.display.track("training", steps * plan.until, steps * done) as advance:
        watch = Watch(
            step=lambda epoch, step, loss: advance(1, f"epoch {epoch + 1}/{plan.until}  loss {loss:.3f}"),
            epoch=on_epoch,
        )
        return train(model, clips, rows, experiment.spec, plan, checkpoints, evaluate, watch)
