"""One run, from a spec to a run record: the only place where data, training and results meet."""

from __future__ import annotations

import contextlib
import functools
import math
import platform
import time
import traceback
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from ..core.display import Display
from ..core.errors import DataError, InstallationError, ResultsError, RsbenchError, RunFailed, StorageError
from ..core.fingerprint import training_sha256
from ..core.installation import libraries_blamed
from ..core.spec import RunSpec
from ..core.turns import in_step
from ..data.identity import mismatched
from ..evaluation.scoring import score_run, without_nan
from ..evaluation.selection import rule
from ..observers.of_run import RunObservers
from ..results import store
from ..results.environment import environment
from ..results.run import Run
from ..results.schema import ChosenEpoch, Cost, Environment, WeightsUsed
from ..results.store import RunFolder
from ..training.checkpoint import Checkpoints, TrainingState, weights_name
from ..training.clipset import ClipSet, SharedClips
from ..training.loop import Evaluation, TrainingSchedule
from ..training.predict import Model
from .build import build_model, clip_set, training_clips, with_parts
from .context import RunContext, gpu_facts
from .cross_validation import cross_validate
from .fit import announce_cost, fit
from .folds import run_folds
from .predict import evaluate, predict_chosen
from .prepare import Experiment
from .record import data_record

OnEpoch = Callable[[str, Mapping[str, Any]], None]
OnWarning = Callable[[str, str], None]

RECORD_EVERY_S = 1.0  # how old what others see of a run at work may be


def run_experiment(experiment: Experiment, context: RunContext) -> Run:
    """Do what is left to do of a prepared run, whatever state its folder is in."""
    ((_, run),) = run_together([experiment], context)
    if isinstance(run, RsbenchError):
        raise run
    return run


def run_together(
    experiments: Sequence[Experiment],
    context: RunContext,
    on_epoch: OnEpoch = lambda run_id, row: None,
    on_warning: OnWarning | None = None,
) -> Iterator[tuple[str, Run | RsbenchError]]:
    """Do what is left to do of prepared runs, step by step over the same batches: each ends as it would alone.

    Args:
        experiments: several differ in their losses alone, see `alike`.
        context: where they happen.
        on_epoch: called with a run's id and every row of its epochs.csv.
        on_warning: called with a run's id and what went wrong beside it; None says it on the display.

    Yields every run's id, as it ends, with the run or the error that ended it.
    """
    warn = on_warning or (lambda run_id, text: context.display.say(f"note: {run_id}: {text}"))
    shared = _Shared(experiments, context, on_epoch, warn)
    return in_step({experiment.run_id: _run(experiment, shared) for experiment in experiments}, RsbenchError)


def alike(specs: Sequence[RunSpec]) -> list[list[int]]:
    """Positions of those that can be run together: given embeddings, they differ in their losses alone.

    Any other is by itself: each model takes memory, and its sound is a small part of a step.
    """
    groups: dict[str, list[int]] = {}
    for number, spec in enumerate(specs):
        same = str(number) if spec.frontend else spec.model_dump_json(exclude={"loss"})
        groups.setdefault(same, []).append(number)
    return list(groups.values())


@dataclass
class _Shared:
    """What runs that are done together have in common."""

    experiments: Sequence[Experiment]
    context: RunContext
    on_epoch: OnEpoch
    on_warning: OnWarning
    announced: bool = False
    folds: dict[int, tuple[ClipSet, ClipSet]] = field(default_factory=dict)

    @functools.cached_property
    def clips(self) -> dict[str, ClipSet]:
        """By data set, made when the first run begins."""
        first = self.experiments[0]
        return {name: clip_set(dataset, first, self.context.device) for name, dataset in first.datasets.items()}

    @functools.cached_property
    def to_train_on(self) -> ClipSet:
        return training_clips(self.experiments[0], self.clips)

    @functools.cached_property
    def training_clips(self) -> ClipSet:
        """What is trained on, for the trainings alone: they draw the same."""
        return self._together(self.to_train_on)

    def of_fold(self, number: int, fold: Experiment) -> tuple[ClipSet, ClipSet]:
        """The clips of a fold that is tested, whose quality is its own, to predict and to train on."""
        if number not in self.folds:
            clips = with_parts(self.clips[fold.train.dataset], fold.train_data)
            self.folds[number] = clips, self._together(clips)
        return self.folds[number]

    def _together(self, clips: ClipSet) -> ClipSet:
        return clips if len(self.experiments) == 1 else SharedClips(clips.known, clips)

    def announce(self, model: Model) -> None:
        """Say once how long all of them will take, by the model of the first that begins."""
        if not self.announced:
            self.announced = True
            announce_cost(self.experiments, self.context, model, self.to_train_on)


def _run(experiment: Experiment, shared: _Shared) -> Generator[int, None, Run]:
    """One run; yields before every step."""
    context = shared.context
    run = Run(context.out / "runs" / experiment.run_id)
    with run.folder.locked():
        checkpoints = Checkpoints(run.path / store.CHECKPOINTS, context.save_every_s)
        done = run.state == "done"
        if done or checkpoints.begun():
            _same_audio(run, experiment)
        if done:
            _clear(run, checkpoints)
            context.display.say(f"already done: {run.path}{_code_since(run)}")
            return run
        warn = functools.partial(shared.on_warning, run.run_id)
        observers = RunObservers(context.observers, context.out, warn)
        with _recorded(run.folder, observers):
            yield from _execute(experiment, shared, run.folder, checkpoints, observers)
        _clear(Run(run.path), checkpoints)
    return Run(run.path)


def clear_leftovers(run: Run) -> None:
    """Remove from a finished run's folder what training goes on from; there is none but after a kill at the very end.

    Nothing happens while another process is at work on it.
    """
    checkpoints = Checkpoints(run.path / store.CHECKPOINTS)
    if checkpoints.begun():
        with contextlib.suppress(ResultsError), run.folder.locked():
            _clear(run, checkpoints)


def _clear(run: Run, checkpoints: Checkpoints) -> None:
    checkpoints.finish({weights_name(name, chosen.epoch) for name, chosen in run.selection.items()})


def _same_audio(run: Run, experiment: Experiment) -> None:
    """Same labels and other sound is another run: it must neither pass for this one nor be gone on with."""
    for name, dataset in experiment.datasets.items():
        differing = mismatched(run.sketch(name), dataset.waveforms.sketch)
        if differing:
            raise DataError(
                f"{run.path} was made with other recordings: {differing[0]} and {len(differing) - 1} more of "
                f"'{name}' sound different now. Restore them, or keep the new runs apart with --results DIR."
            )


def _code_since(run: Run) -> str:
    """What to say of a run that was made when the code of training was not what it is now."""
    then = run.environment
    if then.training_code == training_sha256():
        return ""
    return (
        f" (made with rsbench {then.code_version}; the code of training or protocol has changed since, so that a run "
        "made now could end elsewhere. To make it again, delete that folder, or give another --results DIR)"
    )


@contextlib.contextmanager
def _recorded(folder: RunFolder, observers: RunObservers) -> Iterator[None]:
    """Leave a status behind whatever happens: done, interrupted or failed with the reason. Then tell the observers."""
    folder.set_status("running")
    for name in (store.ERROR, store.ORIGIN):  # of an earlier try, here or elsewhere
        (folder.path / name).unlink(missing_ok=True)
    try:
        with libraries_blamed():
            yield
    except (KeyboardInterrupt, GeneratorExit, StorageError, InstallationError):
        # On a full disk even this cannot be written; the error itself is what the user must see.
        with contextlib.suppress(StorageError):
            folder.set_status("interrupted")
        observers.end("interrupted")
        raise
    except BaseException as error:
        with contextlib.suppress(StorageError):
            folder.write_bytes(store.ERROR, traceback.format_exc().encode())
            folder.set_status("failed", message=f"{type(error).__name__}: {error}")
        observers.end("failed")
        if isinstance(error, RsbenchError):
            raise
        raise RunFailed(
            f"The run failed: {type(error).__name__}: {error}. Its traceback is in {folder.path / store.ERROR}."
        ) from error
    folder.set_status("done")
    observers.end("done")


def _execute(
    experiment: Experiment, shared: _Shared, folder: RunFolder, checkpoints: Checkpoints, observers: RunObservers
) -> Generator[int, None, None]:
    spec, context, device = experiment.spec, shared.context, shared.context.device
    started = time.monotonic()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    model, weights = build_model(experiment)
    model.to(device)
    _write_description(experiment, context, folder, weights)
    observers.begin(experiment.run_id, spec.model_dump(mode="json"))
    shared.announce(model)
    if experiment.tested_folds:
        result = yield from _train_folds(experiment, shared, folder, checkpoints)
    else:
        result = yield from _train_once(experiment, shared, folder, checkpoints, model, observers.epochs)
    folder.write_csv(store.EPOCHS, result.epochs)
    observers.epochs(result.epochs.to_dict("records"))
    for name, frame in result.predictions.items():
        folder.write_parquet(f"{store.PREDICTIONS}/{name}.parquet", frame)
    for name, places in result.axes.items():
        folder.write_array(f"{store.EMBEDDINGS}/{name}.npy", places)
    metrics = score_run(result.predictions, experiment.tests, spec.select, tuple(experiment.training), experiment.task)
    folder.write_json(store.METRICS, metrics)
    observers.figures = metrics
    folder.write_json(store.SELECTION, without_nan({name: epoch.document() for name, epoch in result.chosen.items()}))
    folder.write_json(store.COST, _cost(result, model, device, time.monotonic() - started - result.waited_s))


@dataclass(frozen=True)
class _Result:
    """What the training of a run came to, before it is scored.

    predictions, axes: by data set, see `Chosen`. chosen: by selection. epochs: epochs.csv. training_s, fitted: seconds
    of training, and the clips that were trained on in them. waited_s: see `TrainingState`.
    """

    predictions: dict[str, pd.DataFrame]
    axes: dict[str, NDArray[np.float16]]
    chosen: dict[str, ChosenEpoch]
    epochs: pd.DataFrame
    training_s: float
    fitted: int
    waited_s: float


def _train_folds(
    experiment: Experiment, shared: _Shared, folder: RunFolder, checkpoints: Checkpoints
) -> Generator[int, None, _Result]:
    """Train and test every fold of a split with folds."""
    written = -math.inf

    def record(number: int, progress: TrainingState) -> None:
        nonlocal written
        done = number * experiment.spec.optim.epochs + progress.epochs_done
        if time.monotonic() - written >= min(RECORD_EVERY_S, shared.context.save_every_s):
            written = time.monotonic()
            folder.set_status("running", epoch=done, epochs=experiment.epochs)
        shared.on_epoch(experiment.run_id, progress.epochs[-1] | {"epoch": done})

    tested = yield from run_folds(experiment, shared.context, checkpoints, shared.of_fold, record)
    folder.write_csv(store.FOLDS, tested.table)
    predictions = {experiment.train.dataset: tested.predictions}
    seconds = float(tested.table["seconds"].sum())
    return _Result(predictions, {}, tested.chosen, tested.epochs, seconds, tested.fitted, tested.waited_s)


def _train_once(
    experiment: Experiment,
    shared: _Shared,
    folder: RunFolder,
    checkpoints: Checkpoints,
    model: Model,
    on_epochs: Callable[[Sequence[Mapping[str, Any]]], None],
) -> Generator[int, None, _Result]:
    """Train one model, under cv-refit after the folds that choose its epoch, and predict with it.

    on_epochs is called with all rows of epochs.csv whenever there is one more.
    """
    spec, context, clips = experiment.spec, shared.context, shared.clips
    last = spec.optim.epochs
    plan, folds = TrainingSchedule(last, {name: last for name in spec.select if rule(name).judged_on is None}), None
    if experiment.folds:
        folds = yield from cross_validate(experiment, context, checkpoints)
        folder.write_csv(store.FOLDS, folds.table)
        plan = TrainingSchedule(folds.epoch, {folds.selection: folds.epoch})

    written = -math.inf

    def record(progress: TrainingState) -> None:
        nonlocal written
        if time.monotonic() - written >= min(RECORD_EVERY_S, context.save_every_s):
            written = time.monotonic()
            folder.write_csv(store.EPOCHS, pd.DataFrame(progress.epochs))
            folder.set_status("running", epoch=progress.epochs_done, epochs=plan.until)
        shared.on_epoch(experiment.run_id, progress.epochs[-1])
        on_epochs(progress.epochs)

    def judged(kept: Model, epoch: int) -> Evaluation:
        found = evaluate(kept, clips, experiment)
        for name, hits in found.tables.items():
            _track(folder, f"{store.TRACKED}/{name}.parquet", epoch, hits)
        return found

    progress = yield from fit(
        experiment,
        context,
        model,
        shared.training_clips,
        plan,
        checkpoints,
        evaluate=judged,
        on_epoch=record,
    )
    seen = predict_chosen(model, clips, experiment, checkpoints, progress, context.display)
    predictions = seen.predictions
    chosen = {name: ChosenEpoch(epoch=kept.epoch, score=kept.score) for name, kept in progress.kept.items()}
    if folds:
        name = experiment.train.dataset
        others = [predictions[name]] if name in predictions else []
        predictions[name] = pd.concat([folds.predictions, *others])
        chosen[folds.selection] = ChosenEpoch(epoch=folds.epoch, score=folds.score)
    epochs = pd.DataFrame(progress.epochs)
    waited_s = progress.waited_s + (folds.waited_s if folds else 0)
    fitted = len(experiment.fitted) * len(epochs)
    return _Result(predictions, seen.axes, chosen, epochs, float(epochs["seconds"].sum()), fitted, waited_s)


def _track(folder: RunFolder, name: str, epoch: int, hits: pd.DataFrame) -> None:
    """Add an epoch to a table; what an earlier try wrote of this epoch and later ones goes."""
    before = [folder.read_parquet(name).query("epoch < @epoch")] if epoch > 1 else []
    folder.write_parquet(name, pd.concat([*before, hits.assign(epoch=epoch)], ignore_index=True))


def _write_description(experiment: Experiment, context: RunContext, folder: RunFolder, weights: WeightsUsed) -> None:
    name = torch.cuda.get_device_name(context.device) if context.device.type == "cuda" else platform.processor()
    now = environment(str(context.device), name, context.threads, gpu_facts(context.device))
    if folder.has(store.ENVIRONMENT):
        _note_changes(folder.read(store.ENVIRONMENT), now, context.display)
    folder.write_json(store.SPEC, experiment.spec.model_dump(mode="json"))
    folder.write_json(store.ENVIRONMENT, now)
    folder.write_json(store.DATA, data_record(experiment, weights))
    for dataset_name, dataset in experiment.datasets.items():
        folder.write_parquet(f"{store.SKETCH}/{dataset_name}.parquet", dataset.waveforms.sketch.reset_index())


def _note_changes(before: Environment, now: Environment, display: Display) -> None:
    """A run that goes on elsewhere, or with other code, is no longer the same to the bit: say so."""
    was, told = before.document(), now.document()
    changed = [f"{name} was {was[name]}, is {value}" for name, value in told.items() if was[name] != value]
    if changed:
        display.say(f"note: begun under other conditions: {'; '.join(changed)}")


def _cost(result: _Result, model: Model, device: torch.device, seconds: float) -> Cost:
    parameters, learning = model.sizes()
    peak = torch.cuda.max_memory_allocated(device) / 2**20 if device.type == "cuda" else None
    return Cost(
        seconds=round(seconds, 1),
        training_seconds=round(result.training_s, 1),
        training_clips_per_s=round(result.fitted / result.training_s, 1),
        peak_gpu_mib=peak,
        parameters=parameters,
        learning=learning,
    )
