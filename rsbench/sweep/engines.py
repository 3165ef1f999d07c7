"""Who does the work of a study: runs of a list, trials of a search. Here in this process, one after another.

What came of each lies in its folder; an engine only says, to whoever watches, what is going on.
"""

from __future__ import annotations

import functools
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from ..core.errors import DataError, RsbenchError, StorageError
from ..core.files import locked
from ..core.plugins import load
from ..experiment.context import DataCache, RunContext, make_context, make_spec
from ..experiment.prepare import Experiment, prepare_experiment
from ..experiment.run import alike, run_together
from ..training.checkpoint import SAVE_EVERY_S
from .space import Space, ends, search_space
from .spec import Cell, SweepSpec
from .trials import ORPHAN_S, TrialRecord, TrialStopped, TrialStore, run_trial, trial_spec

if TYPE_CHECKING:
    import optuna

Stop = Callable[[], bool]
OnEpoch = Callable[[int, int, float | None], None]  # epoch, of how many, Score on validation where there is one


@dataclass(frozen=True)
class RunTask:
    """A run to be done. settings: its spec's keys, seed included, as `make_spec` takes them."""

    run_id: str
    cell: str
    settings: dict[str, Any]


@dataclass(frozen=True)
class WorkerConfig:
    """What every worker needs to make its own place; it travels to other processes and machines.

    observers: names of those who are told of runs; trials of a search are not observed.
    """

    roots: tuple[str, ...]
    out: str
    device: str
    threads: int
    partial: bool
    plugins: tuple[str, ...]
    save_every_s: float = SAVE_EVERY_S
    observers: tuple[str, ...] = ()

    def context(self, *, quiet: bool = True) -> RunContext:
        """The place of work here: threads are set, plugins loaded."""
        for plugin in self.plugins:
            load(plugin)
        return make_context(
            self.roots,
            self.out,
            device=self.device,
            threads=self.threads,
            partial=self.partial,
            save_every_s=self.save_every_s,
            observers=self.observers,
            quiet=quiet,
        )

    def study_folder(self, sweep: SweepSpec) -> Path:
        return Path(self.out) / "sweeps" / sweep.name

    def trials(self, sweep: SweepSpec) -> TrialStore:
        return TrialStore(self.study_folder(sweep) / "trials")


@functools.cache
def data_cache(crew: WorkerConfig) -> DataCache:
    """What the runs of this process have in common."""
    return crew.context().data_cache()


@dataclass(frozen=True)
class Outcome:
    """How a run or trial ended, for the display; its record is on disk.

    state: "interrupted" where results cannot be kept, which ends the study and is no fault of the run.
    """

    state: str
    seconds: float
    error: str = ""


class StudyHooks(Protocol):
    """Who looks on. A run that is begun again elsewhere, because its machine was lost, is started twice."""

    def started(self, key: str, cell: str, seed: int) -> None: ...

    def epoch(self, key: str, epoch: int, epochs: int, score: float | None) -> None: ...

    def warned(self, key: str, text: str) -> None: ...

    def ended(self, key: str, state: str, seconds: float, error: str) -> None: ...


class Engine(ABC):
    """Does the work of a study."""

    @property
    def at_once(self) -> int:
        """How many runs or trials are at work at a time."""
        return 1

    def announce(self, tasks: Sequence[RunTask]) -> list[str]:
        """What becomes of these runs beside being done, in lines."""
        return []

    @abstractmethod
    def runs(self, tasks: Sequence[RunTask], watch: StudyHooks, stop: Stop) -> None:
        """Do these runs. One that fails does not stop the others; `stop` is asked before each start."""

    @abstractmethod
    def search(self, cells: Sequence[Cell], sweep: SweepSpec, watch: StudyHooks, stop: Stop) -> None:
        """Bring every cell to as many finished trials as the study asks for. Raises SpecError before the first."""


def in_groups(tasks: Sequence[RunTask], crew: WorkerConfig, workers: int = 1) -> list[list[RunTask]]:
    """The tasks in groups that can be done together, in parts small enough that every worker has one."""
    context = crew.context()
    groups = alike([make_spec(task.settings, context) for task in tasks])
    parts = -(-workers // len(groups)) if groups else 1
    return [
        [tasks[number] for number in part] for group in groups for part in np.array_split(group, min(parts, len(group)))
    ]


def do_together(
    tasks: Sequence[RunTask],
    crew: WorkerConfig,
    on_epoch: Callable[[str, int, int, float | None], None],
    on_warning: Callable[[str, str], None],
) -> Iterator[tuple[str, Outcome]]:
    """Runs that can be done together, here; yields the id of each as it ends, and how."""
    started = time.monotonic()
    context = crew.context()
    experiments: dict[str, Experiment] = {}
    for task in tasks:
        try:
            experiments[task.run_id] = _as_planned(task, context, data_cache(crew))
        except RsbenchError as error:
            yield task.run_id, Outcome(_state_after(error), time.monotonic() - started, str(error))

    def tell(run_id: str, row: Mapping[str, Any]) -> None:
        on_epoch(run_id, row["epoch"], experiments[run_id].epochs, row.get("val_score"))

    if not experiments:
        return
    for run_id, run in run_together(list(experiments.values()), context, tell, on_warning):
        state, reason = (_state_after(run), str(run)) if isinstance(run, RsbenchError) else ("done", "")
        yield run_id, Outcome(state, time.monotonic() - started, reason)


def _as_planned(task: RunTask, context: RunContext, cache: DataCache) -> Experiment:
    experiment = prepare_experiment(make_spec(task.settings, context), cache)
    if experiment.run_id != task.run_id:
        raise DataError(
            f"{task.run_id} was planned, but would be {experiment.run_id} here: recordings, weights, plugins or "
            "kind of device are not those of the machine that planned it. Mend that, or see resources.gpus."
        )
    with locked(context.out / "runs" / task.run_id, ORPHAN_S):
        pass  # whoever was left there by a killed driver is gone now
    return experiment


def do_trial(
    cell: Cell, params: dict[str, Any], sweep: SweepSpec, crew: WorkerConfig, on_epoch: OnEpoch
) -> tuple[TrialRecord | None, Outcome]:
    """One trial, here. There is no record of what was no fault of its settings: it is tried again another time."""
    started = time.monotonic()
    try:
        context = crew.context()
        epochs = trial_spec(cell, params, sweep, context).optim.epochs
        store = crew.trials(sweep)

        def report(epoch: int, score: float) -> None:
            on_epoch(epoch, epochs, score)

        record = run_trial(cell, params, sweep, context, data_cache(crew), store, report)
    except RsbenchError as error:
        return None, Outcome(_state_after(error), time.monotonic() - started, str(error))
    return record, Outcome(record.state, record.seconds, record.error)


def _state_after(error: RsbenchError) -> str:
    return "interrupted" if isinstance(error, StorageError) else "failed"


def checked_space(cell: Cell, sweep: SweepSpec, crew: WorkerConfig) -> tuple[Space, int]:
    """The space of a cell, both ends of which make a possible run, and the epochs of one at its low end."""
    context = crew.context()
    make_spec(cell.settings, context)  # which discovers, and blames the grid for what is the grid's
    space = search_space(cell, sweep)
    low, _ = (trial_spec(cell, params, sweep, context) for params in ends(space))
    return space, low.optim.epochs


class SerialEngine(Engine):
    """One after another in this process, without Ray. The same ids, and at the same threads the same predictions."""

    def __init__(self, crew: WorkerConfig) -> None:
        self.crew = crew

    def runs(self, tasks: Sequence[RunTask], watch: StudyHooks, stop: Stop) -> None:
        for together in in_groups(tasks, self.crew):
            if stop():
                return
            for task in together:
                watch.started(task.run_id, task.cell, task.settings.get("seed", 0))
            for run_id, outcome in do_together(together, self.crew, watch.epoch, watch.warned):
                watch.ended(run_id, outcome.state, outcome.seconds, outcome.error)

    def search(self, cells: Sequence[Cell], sweep: SweepSpec, watch: StudyHooks, stop: Stop) -> None:
        from . import search

        assert sweep.search is not None
        spaces = [checked_space(cell, sweep, self.crew) for cell in cells]
        storage = search.open_storage(self.crew.study_folder(sweep))
        studies = []
        for cell, (space, epochs) in zip(cells, spaces, strict=True):
            study = search.open_study(storage, cell, space, sweep.search, self.crew.trials(sweep))
            study.pruner = search.make_pruner(sweep.search, epochs)
            studies.append((cell, study, search.distributions(space), search.count_finished(study)))
        # In turns, so that a study that is stopped early has given every cell the same.
        for number in range(sweep.search.trials):
            for cell, study, space_of_cell, finished in studies:
                if number < finished:
                    continue
                if stop():
                    return
                asked = study.ask(space_of_cell)
                record = self._try(cell, sweep, asked, f"{cell.name} #{number + 1}", watch)
                search.tell(study, asked.number, record)

    def _try(
        self, cell: Cell, sweep: SweepSpec, asked: optuna.Trial, key: str, watch: StudyHooks
    ) -> TrialRecord | None:
        from .search import database_in

        best = 0.0

        def on_epoch(epoch: int, epochs: int, score: float | None) -> None:
            nonlocal best
            assert score is not None
            watch.epoch(key, epoch, epochs, score)
            best = max(best, score)
            with database_in(self.crew.study_folder(sweep)):
                asked.report(best, epoch)
                stop = asked.should_prune()
            if stop:
                raise TrialStopped

        assert sweep.search is not None
        watch.started(key, cell.name, sweep.search.seed)
        record, outcome = do_trial(cell, asked.params, sweep, self.crew, on_epoch)
        watch.ended(key, outcome.state, outcome.seconds, outcome.error)
        return record
