"""A trial: a training with settings that are tried, and judged on validation patients alone.

It predicts no test clip and no external one, so whoever chooses among trials cannot have seen any. Its folder holds the
record, the traceback of a failure and, until it is finished, the checkpoints it goes on from after a kill.
"""

from __future__ import annotations

import math
import re
import shutil
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

from ..core.errors import ResultsError, RsbenchError, RunFailed, SpecError
from ..core.files import damaged, locked, write_bytes, write_json
from ..core.installation import raise_if_library
from ..core.spec import RunSpec
from ..core.turns import finished
from ..data.splits import split
from ..experiment.build import build_model, clip_set, training_clips
from ..experiment.context import DataCache, RunContext, make_spec
from ..experiment.cross_validation import cross_validate
from ..experiment.fit import fit
from ..experiment.predict import evaluate
from ..experiment.prepare import Experiment, prepare_experiment
from ..training.checkpoint import Checkpoints, TrainingState
from ..training.loop import Evaluation, TrainingSchedule
from ..training.predict import Model
from .spec import Cell, Search, SweepSpec

TrialState = Literal["running", "done", "stopped", "failed"]

RECORD = "trial.json"
CHECKPOINTS = "checkpoints"

ORPHAN_S = 30.0  # within which a worker is gone whose driver was killed; until then its folder is locked


class TrialStopped(Exception):
    """Raised by whoever looks on, to end a trial that is not worth going on with."""


@dataclass(frozen=True)
class TrialRecord:
    """What was tried, and what came of it.

    trial_id: names cell, settings and data; the same settings are the same trial. params: dotted spec key → value.
    state: "stopped" is by the scheduler, before the last epoch. scores: Score (argmax) on validation clips after each
    epoch, in percent; of folds one figure, over all clips held out. value: the best of them, None for a failure.
    seconds: of work, whatever lay between.
    """

    trial_id: str
    cell: str
    params: dict[str, Any]
    state: TrialState
    scores: tuple[float, ...]
    value: float | None
    seconds: float
    error: str = ""

    @property
    def finished(self) -> bool:
        return self.state != "running"


_RECORD = TypeAdapter(TrialRecord)


class TrialStore:
    """The trials of a study on disk: `<out>/sweeps/<name>/trials`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, trial_id: str) -> Path:
        return self.folder / trial_id

    def read(self, trial_id: str) -> TrialRecord | None:
        """None where it was never begun. Raises ResultsError when the record is damaged."""
        path = self.path(trial_id) / RECORD
        if not path.is_file():
            return None
        try:
            return _RECORD.validate_json(path.read_bytes())
        except (OSError, ValidationError) as error:
            raise damaged(path, str(error).splitlines()[-1].strip()) from error

    def records(self) -> list[TrialRecord]:
        """All of them, by id, whatever their state."""
        names = sorted(path.parent.name for path in self.folder.glob(f"*/{RECORD}"))
        return [record for record in map(self.read, names) if record]

    def find(self, cell: str, params: Mapping[str, Any]) -> TrialRecord | None:
        """The trial of these settings, if it was ever begun."""
        return next((record for record in self.records() if record.cell == cell and record.params == params), None)

    def best(self, cell: str) -> TrialRecord | None:
        """The finished trial of a cell with the highest Score; None where none has one."""
        of_cell = [record for record in self.records() if record.cell == cell and record.finished]
        scored = [record for record in of_cell if record.value is not None]
        return max(scored, key=lambda record: record.value or 0.0, default=None)

    def forget_failures(self) -> None:
        """Let trials that failed be tried again."""
        for record in self.records():
            if record.state == "failed":
                (self.path(record.trial_id) / RECORD).unlink()

    def write(self, record: TrialRecord) -> None:
        """Keep a record; with the end of a trial its checkpoints go."""
        write_json(self.path(record.trial_id) / RECORD, asdict(record))
        self._clear(record)

    def clear_leftovers(self) -> None:
        """Remove checkpoints of finished trials; there are none but after a kill at their very end."""
        for record in self.records():
            self._clear(record)

    def _clear(self, record: TrialRecord) -> None:
        if record.finished:
            shutil.rmtree(self.path(record.trial_id) / CHECKPOINTS, ignore_errors=True)


def trial_settings(cell: Cell, params: Mapping[str, Any], search: Search) -> dict[str, Any]:
    """The settings of a trial: the cell's, those that are tried, and how it is judged."""
    judged: dict[str, Any] = {"select": "val"}
    if search.folds > 1:
        judged = {"select": "cv-refit", "validation.folds": search.folds, "validation.fraction": 0.0}
    return {**cell.settings, **params, **judged, "seed": search.seed}


def trial_spec(cell: Cell, params: Mapping[str, Any], sweep: SweepSpec, context: RunContext) -> RunSpec:
    """The resolved spec of a trial. Raises SpecError where the settings are not possible."""
    assert sweep.search is not None
    spec = make_spec(trial_settings(cell, params, sweep.search), context, sweep.plugins)
    own = context.roots.own_datasets()
    if any(split(name, own).folds for name in spec.data.trains):
        raise SpecError(
            f"search: '{spec.data.train}' tests every patient, and nobody is left to choose settings by. Leave out the "
            "search, or tune on another split."
        )
    return spec


def run_trial(
    cell: Cell,
    params: Mapping[str, Any],
    sweep: SweepSpec,
    context: RunContext,
    data_cache: DataCache,
    store: TrialStore,
    report: Callable[[int, float], None],
) -> TrialRecord:
    """Do what is left to do of a trial, and return at once where nothing is.

    Args:
        cell: the point of the grid that is tuned.
        params: dotted spec key → value to try.
        sweep: the study; it has a search.
        context: where it happens.
        data_cache: what trials have in common.
        store: where the record is kept.
        report: told of the epoch, counted from 1, and its Score; raises TrialStopped to end the trial.

    A failure of the training is a record. Raises RsbenchError for what is no fault of the settings tried: recordings
    that cannot be read, a full disk, another process at work on the same trial.
    """
    spec = trial_spec(cell, params, sweep, context)
    experiment = prepare_experiment(spec, data_cache)
    trial_id = f"{re.sub(r'[^A-Za-z0-9_.-]+', '_', cell.name)}-{experiment.run_id.rpartition('-')[2]}"
    folder = store.path(trial_id)
    with locked(folder, ORPHAN_S):
        begun = store.read(trial_id) or TrialRecord(trial_id, cell.name, dict(params), "running", (), None, 0.0)
        if begun.finished:
            return begun
        started = time.monotonic() - begun.seconds

        def note(state: TrialState, scores: tuple[float, ...], error: str = "") -> TrialRecord:
            value = None if state == "failed" else max(scores, default=None)
            seconds = round(time.monotonic() - started, 3)
            record = replace(begun, state=state, scores=scores, value=value, seconds=seconds, error=error)
            store.write(record)
            return record

        def after_epoch(scores: tuple[float, ...]) -> None:
            nonlocal begun
            # The last epoch ends the trial, whatever the scheduler makes of it.
            begun = note("done" if len(scores) == spec.optim.epochs else "running", scores)
            report(len(scores), scores[-1])

        begun = note("running", begun.scores)
        try:
            train = _on_folds if experiment.folds else _on_validation
            return note(
                "done", train(experiment, context, Checkpoints(folder / CHECKPOINTS, context.save_every_s), after_epoch)
            )
        except TrialStopped:
            return note(begun.state if begun.finished else "stopped", begun.scores)
        except ResultsError:
            raise
        except Exception as error:  # whatever a loss or a library raises is what came of these settings
            raise_if_library(error)
            write_bytes(folder / "error.txt", traceback.format_exc().encode())
            reason = str(error) if isinstance(error, RsbenchError) else f"{type(error).__name__}: {error}"
            return note("failed", begun.scores, reason)


AfterEpoch = Callable[[tuple[float, ...]], None]


def _on_validation(
    experiment: Experiment, context: RunContext, checkpoints: Checkpoints, after_epoch: AfterEpoch
) -> tuple[float, ...]:
    """Train, and judge every epoch on the run's own validation patients."""
    model, _ = build_model(experiment)
    model.to(context.device)
    clips = {name: clip_set(of, experiment, context.device) for name, of in experiment.training.items()}

    def judge(kept: Model, epoch: int) -> Evaluation:
        evaluation = evaluate(kept, clips, experiment)
        _check_score(evaluation.scores["val"])
        return evaluation

    def tell(progress: TrainingState) -> None:
        after_epoch(_scores(progress))

    plan = TrainingSchedule(experiment.spec.optim.epochs, {})
    return _scores(
        finished(fit(experiment, context, model, training_clips(experiment, clips), plan, checkpoints, judge, tell))
    )


def _scores(progress: TrainingState) -> tuple[float, ...]:
    return tuple(row["val_score"] for row in progress.epochs)


def _on_folds(
    experiment: Experiment, context: RunContext, checkpoints: Checkpoints, after_epoch: AfterEpoch
) -> tuple[float, ...]:
    """Train every fold; the best epoch's Score over all clips held out is the trial's. Nothing is fitted again."""
    chosen = finished(cross_validate(experiment, context, checkpoints))
    _check_score(chosen.score)
    return (chosen.score,)


def _check_score(score: float) -> None:
    if math.isnan(score):
        raise RunFailed(
            "The Score on validation is not a number: its clips are all normal or all abnormal. "
            "Raise validation.fraction, or choose another seed for the search."
        )
