"""Every patient tested once: each fold of `<data set>-cvK` is predicted by a model that was trained on the others.

Whatever a fold chooses or fits (epoch, classifier, quality's normaliser, operating point) is of its own training
patients. Its state lies in a folder of its own, so that a fold that is trained is not trained again.
"""

from __future__ import annotations

import contextlib
import functools
import statistics
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ..evaluation.selection import rule
from ..results.schema import ChosenEpoch
from ..training.checkpoint import Checkpoints, Kept, TrainingState
from ..training.clipset import ClipSet
from ..training.loop import Evaluation, TrainingSchedule
from ..training.predict import Model
from .build import build_model
from .context import RunContext
from .fit import fit
from .predict import evaluate, predict_chosen
from .prepare import Experiment, tested_fold

# Of a fold's number and what it is: its clips to predict, and the same to train on, which other runs may share.
ClipsOf = Callable[[int, Experiment], tuple[ClipSet, ClipSet]]


@dataclass(frozen=True)
class Tested:
    """What all folds came to.

    predictions: `prediction_columns` of every clip as test, once per selection, and of those that validated each fold.
    epochs: means over folds, a row per epoch. table: a row per fold and epoch. chosen: selection → its epochs.
    fitted: clips that were trained on, in all folds and epochs. waited_s: see `TrainingState`.
    """

    predictions: pd.DataFrame
    epochs: pd.DataFrame
    table: pd.DataFrame
    chosen: dict[str, ChosenEpoch]
    fitted: int
    waited_s: float


def run_folds(
    experiment: Experiment,
    context: RunContext,
    checkpoints: Checkpoints,
    clips_of: ClipsOf,
    on_epoch: Callable[[int, TrainingState], None],
) -> Generator[int, None, Tested]:
    """Train every fold, going on where it was stopped, and predict its patients.

    Yields and raises what training does; steps are counted over all folds, so that runs in step train the same fold.
    on_epoch is called with the fold's number.
    """
    name, last = experiment.train.dataset, experiment.spec.optim.epochs
    keep = {one: last for one in experiment.spec.select if rule(one).judged_on is None}
    steps, fitted = 0, 0
    predictions: list[pd.DataFrame] = []
    states: list[TrainingState] = []
    for number, patients in enumerate(experiment.folds):
        which = f"{experiment.spec.loss.name}, fold {number + 1} of {len(experiment.folds)}"
        context.display.say(f"{which}: {len(patients)} patients to test")
        fold, of_fold = tested_fold(experiment, number), checkpoints.fold(number)
        model = build_model(fold)[0].to(context.device)
        clips, training_clips = clips_of(number, fold)

        def judged(kept: Model, _: int, clips: ClipSet = clips, fold: Experiment = fold) -> Evaluation:
            return evaluate(kept, {name: clips}, fold)

        training = fit(
            fold,
            context,
            model,
            training_clips,
            TrainingSchedule(last, keep),
            of_fold,
            evaluate=judged,
            on_epoch=functools.partial(on_epoch, number),
        )
        progress = yield from _counted_from(steps, training)
        predictions.append(
            predict_chosen(model, {name: clips}, fold, of_fold, progress, context.display).predictions[name]
        )
        states.append(progress)
        count = len(fold.train_data.rows("fit"))
        fitted += count * last
        steps += last * -(-count // experiment.spec.optim.batch_size)
    table = _table(experiment, states)
    return Tested(
        pd.concat(predictions),
        _means(table),
        table,
        {selection: _chosen([state.kept[selection] for state in states]) for selection in states[0].kept},
        fitted,
        sum(state.waited_s for state in states),
    )


def _counted_from(first: int, training: Generator[int, None, TrainingState]) -> Generator[int, None, TrainingState]:
    """The same training, whose steps are counted on."""
    with contextlib.closing(training):
        while True:
            try:
                step = next(training)
            except StopIteration as end:
                progress: TrainingState = end.value
                return progress
            yield first + step


def _table(experiment: Experiment, states: Sequence[TrainingState]) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"fold": number, "patients": len(patients), **row}
            for number, (patients, state) in enumerate(zip(experiment.folds, states, strict=True))
            for row in state.epochs
        ]
    )


def _means(table: pd.DataFrame) -> pd.DataFrame:
    """A row per epoch; seconds are those of all folds."""
    of_epochs = table.drop(columns=["fold", "patients"]).groupby("epoch")
    return of_epochs.mean().assign(seconds=of_epochs["seconds"].sum()).reset_index()


def _chosen(kept: Sequence[Kept]) -> ChosenEpoch:
    epochs = tuple(one.epoch for one in kept)
    score = float(np.mean([one.score for one in kept]))
    return ChosenEpoch(epoch=round(statistics.median(epochs)), score=score, folds=epochs)
