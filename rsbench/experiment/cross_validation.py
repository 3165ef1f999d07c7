"""cv-refit: patient-grouped folds choose the epoch and the operating point; then one fit is on all patients.

Every training patient is predicted once by a model that has not seen them. The epoch with the best Score over all of
these predictions together is chosen; the offset on the normal logit is fitted on them, as it is on validation clips.
"""

from __future__ import annotations

import io
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from ..core.errors import StorageError
from ..core.files import read_sealed, remove, write_sealed
from ..data.tasks import Task
from ..evaluation.metrics import at_operating_point
from ..evaluation.scoring import HEADLINE
from ..evaluation.selection import better, rule
from ..training.checkpoint import Checkpoints
from ..training.loop import Evaluation, TrainingSchedule
from ..training.predict import Model
from .build import build_model, clip_set
from .context import RunContext
from .fit import fit
from .predict import predict_rows, prediction_frame
from .prepare import Experiment, hold_out


@dataclass(frozen=True)
class Folds:
    """What the folds chose.

    epoch, score: the chosen epoch, and its Score over all patients held out. predictions: `prediction_columns` of
    them at that epoch, part "validation". table: a row per fold and epoch. waited_s: see `TrainingState`.
    """

    selection: str
    epoch: int
    score: float
    predictions: pd.DataFrame
    table: pd.DataFrame
    waited_s: float


@dataclass(frozen=True)
class HeldOut:
    """A fold after its training: its clips, and their logits (E, N, C) and margins (E, N) after every epoch."""

    task: Task
    clips: pd.DataFrame
    logits: np.ndarray
    margin_rad: np.ndarray
    train_loss: np.ndarray
    waited_s: float

    def figures(self, epoch: int) -> dict[str, float]:
        """Sp, Se and Score after an epoch, counted from 0."""
        result = _result([self], epoch)
        return {name: result[name] for name in HEADLINE}

    def predictions(self, epoch: int, selection: str) -> pd.DataFrame:
        """`prediction_columns` after an epoch, counted from 0."""
        return prediction_frame(self.clips, self.logits[epoch], self.margin_rad[epoch], selection, self.task)


def cross_validate(
    experiment: Experiment, context: RunContext, checkpoints: Checkpoints
) -> Generator[int, None, Folds]:
    """Train every fold, going on where it was stopped, and choose. Yields and raises what training does."""
    selection = next(name for name in experiment.spec.select if rule(name).judged_on == "folds")
    folds = []
    for number, patients in enumerate(experiment.folds):
        context.display.say(f"fold {number + 1} of {len(experiment.folds)}: {len(patients)} patients held out")
        folds.append((yield from _train_fold(hold_out(experiment, patients), context, checkpoints.fold(number))))
    epoch, score = _best_epoch(folds)
    each = ", ".join(f"{fold.figures(epoch)['score']:.1f}" for fold in folds)
    context.display.say(
        f"chosen by the folds: epoch {epoch + 1}, Score {score:.1f} over all patients held out ({each})"
    )
    predictions = pd.concat([fold.predictions(epoch, selection) for fold in folds])
    waited_s = sum(fold.waited_s for fold in folds)
    return Folds(selection, epoch + 1, score, predictions, _table(folds, epoch), waited_s)


def _train_fold(fold: Experiment, context: RunContext, checkpoints: Checkpoints) -> Generator[int, None, HeldOut]:
    """Train a fold, once more where what it kept was damaged since. Raises StorageError when it is damaged again."""
    for _ in range(2):
        held_out = yield from _held_out(fold, context, checkpoints)
        if held_out is not None:
            return held_out
        context.display.say(f"note: predictions in {checkpoints.folder} were damaged; this fold is trained anew")
        remove(checkpoints.folder)
    raise StorageError(f"{checkpoints.folder}: what is written there cannot be read again. Give another --results DIR.")


def _held_out(fold: Experiment, context: RunContext, checkpoints: Checkpoints) -> Generator[int, None, HeldOut | None]:
    """Do what is left to do of a fold's training; None where the predictions of an earlier epoch are damaged."""
    model, _ = build_model(fold)
    clips = clip_set(fold.train_data, fold, context.device)
    rows = fold.train_data.rows("validation")

    def keep(kept: Model, epoch: int) -> Evaluation:
        predicted = predict_rows(kept, clips, rows, fold.spec)
        buffer = io.BytesIO()
        np.savez(buffer, logits=predicted.logits.numpy(), margin_rad=predicted.margin_rad.numpy())
        write_sealed(_kept(checkpoints, epoch), buffer.getvalue())
        return Evaluation({}, {})

    plan = TrainingSchedule(fold.spec.optim.epochs, {})
    progress = yield from fit(
        fold, context, model.to(context.device), clips, plan, checkpoints, keep, on_epoch=lambda _: None
    )
    contents = [read_sealed(_kept(checkpoints, epoch)) for epoch in range(1, plan.until + 1)]
    epochs = [np.load(io.BytesIO(content)) for content in contents if content is not None]
    if len(epochs) < plan.until:
        return None
    return HeldOut(
        fold.task,
        fold.train_data.clips.iloc[rows],
        np.stack([kept["logits"] for kept in epochs]),
        np.stack([kept["margin_rad"] for kept in epochs]),
        np.array([row["train_loss"] for row in progress.epochs]),
        progress.waited_s,
    )


def _kept(checkpoints: Checkpoints, epoch: int) -> Path:
    return checkpoints.folder / f"held-out-{epoch:03d}.npz"


def _best_epoch(folds: Sequence[HeldOut]) -> tuple[int, float]:
    """The epoch, counted from 0, with the best Score over the clips of all folds; the first one of several."""
    best, best_score = 0, float("nan")
    for epoch in range(len(folds[0].logits)):
        score = _result(folds, epoch)["score"]
        if better(score, best_score):
            best, best_score = epoch, score
    return best, best_score


def _result(folds: Sequence[HeldOut], epoch: int) -> dict[str, float]:
    """The figures of some folds together, at argmax after an epoch, counted from 0."""
    rows, task = pd.concat([fold.predictions(epoch, "") for fold in folds]), folds[0].task
    return at_operating_point(rows["label"], rows[list(task.logit_columns)].to_numpy(dtype=np.float64), task=task)


def _table(folds: Sequence[HeldOut], chosen: int) -> pd.DataFrame:
    rows = [
        {
            "fold": number,
            "patients": fold.clips["patient"].nunique(),
            "clips": len(fold.clips),
            "epoch": epoch + 1,
            "chosen": epoch == chosen,
            "train_loss": fold.train_loss[epoch],
            **fold.figures(epoch),
        }
        for number, fold in enumerate(folds)
        for epoch in range(len(fold.logits))
    ]
    return pd.DataFrame(rows)
