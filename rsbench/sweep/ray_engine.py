"""Ray Tune does the work: on the cores and GPUs of this machine, or of a cluster.

Tune hands out work and starts it again elsewhere when a worker or a machine is lost. What is done is decided by the
folders of runs and trials, never by what Tune remembers: a study that was stopped is begun anew, and finds its
finished work. Its own files are of no further use.
"""

from __future__ import annotations

import collections
import contextlib
import functools
import logging
import os
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import optuna
import ray
import torch
from optuna.exceptions import StorageInternalError
from optuna.trial import TrialState
from ray import tune
from ray.tune.experiment import Trial
from ray.tune.schedulers import ASHAScheduler, FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher
from ray.tune.search.optuna import OptunaSearch

from ..core.errors import SpecError
from .engines import Engine, RunTask, Stop, StudyHooks, WorkerConfig, checked_space, do_together, do_trial, in_groups
from .search import (
    REDUCTION,
    count_finished,
    describe,
    distributions,
    first_rung,
    make_sampler,
    open_storage,
    open_study,
)
from .spec import Cell, Resources, Search, SweepSpec
from .trials import TrialRecord, TrialStore

LOST_WORKERS = 3  # how often one run is begun again after its worker was lost
OBJECT_STORE_BYTES = 100 * 2**20  # nothing of size passes through it: workers read the recordings themselves

SCORE = "score"  # on validation, as reported after every epoch

SETTINGS = {
    "RAY_AIR_NEW_OUTPUT": "0",  # which says something even when it is told to be silent
    "RAY_USAGE_STATS_ENABLED": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # results are in our own folders
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # Ctrl-C ends the study, and the same command goes on
}


Work = Callable[[dict[str, Any]], dict[str, Any]]


class RayEngine(Engine):
    """Runs and trials as Tune's trials, as many at once as fit.

    Args:
        crew: what a worker needs; `out` must be a folder that all machines share.
        resources: what one run or trial takes.
        address: of a cluster; None starts Ray on this machine, unless it is already there.
        storage: where Tune keeps its own files; None: beside the sweeps.
    """

    def __init__(self, crew: WorkerConfig, resources: Resources, address: str | None, storage: Path | None) -> None:
        self.crew = crew
        self.resources = resources
        self.address = address
        self.storage = storage or Path(crew.out) / "sweeps" / "ray"

    @property
    def at_once(self) -> int:
        """As many as fit on the machines there are; on this one alone before Ray is started."""
        if self.address:
            self._connect()
        asked = self._needs().items()
        return sum(min(int(have.get(kind, 0) / count) for kind, count in asked) for have in self._machines())

    def _machines(self) -> list[dict[str, float]]:
        if ray.is_initialized():
            return [node["Resources"] for node in ray.nodes() if node["Alive"]]
        return [{"CPU": os.cpu_count() or 1, "GPU": torch.cuda.device_count()}]

    def _needs(self) -> dict[str, float]:
        """What one run takes; its share of a GPU only where there are any, so that a study runs on a laptop too."""
        needs = {"CPU": self.resources.cpus, "GPU": self.resources.gpus}
        kinds = {kind for machine in self._machines() for kind, count in machine.items() if count}
        return {kind: count for kind, count in needs.items() if count and (kind == "CPU" or kind in kinds)}

    def announce(self, tasks: Sequence[RunTask]) -> list[str]:
        share = self.resources.gpus
        if not tasks or not 0 < share < 1 or "GPU" not in self._needs():
            return []
        return [
            f"{int(1 / share)} runs share a GPU (resources.gpus: {share:g}), and its memory; they take turns unless "
            "NVIDIA's MPS is at work, see docs/sweeps.md"
        ]

    def runs(self, tasks: Sequence[RunTask], watch: StudyHooks, stop: Stop) -> None:
        self._start()
        groups = in_groups(tasks, self.crew, self.at_once)
        by_first, crew, home = {group[0].run_id: group for group in groups}, self.crew, _Home()

        def work(config: dict[str, Any]) -> dict[str, Any]:
            home.enter()
            for run_id, outcome in do_together(by_first[config["key"]], crew, _report, _warn):
                tune.report({"key": run_id, **asdict(outcome)})
            return {}

        self._tune(work, _GroupSearch(groups, stop), FIFOScheduler(), watch)

    def search(self, cells: Sequence[Cell], sweep: SweepSpec, watch: StudyHooks, stop: Stop) -> None:
        assert sweep.search is not None
        spaces = [checked_space(cell, sweep, self.crew) for cell in cells]
        by_name, crew, home = {cell.name: cell for cell in cells}, self.crew, _Home()

        def work(config: dict[str, Any]) -> dict[str, Any]:
            home.enter()
            report = functools.partial(_report, config["key"])
            _, outcome = do_trial(by_name[config["cell"]], config["params"], sweep, crew, report)
            return {"key": config["key"], **asdict(outcome)}

        storage, store = open_storage(crew.study_folder(sweep)), crew.trials(sweep)
        desks = []
        for cell, (space, _) in zip(cells, spaces, strict=True):
            study = open_study(storage, cell, space, sweep.search, store)
            sampler = make_sampler(sweep.search, cell, len(study.trials))
            searcher = OptunaSearch(
                distributions(space),
                metric=SCORE,
                mode="max",
                sampler=sampler,
                study_name=cell.name,
                storage=storage,
            )
            desks.append(_Desk(study, searcher, count_finished(study)))
        scheduler: TrialScheduler = FIFOScheduler()
        if sweep.search.scheduler == "asha":
            scheduler = _HalvingPerCell({cell.name: epochs for cell, (_, epochs) in zip(cells, spaces, strict=True)})
        self._tune(work, _CellSearch(desks, sweep.search, store, stop), scheduler, watch)

    def _tune(self, work: Work, searcher: Searcher, scheduler: TrialScheduler, watch: StudyHooks) -> None:
        """Let Tune hand out all that the searcher has."""
        self._start()
        tune.Tuner(
            tune.with_resources(work, {kind.lower(): count for kind, count in self._needs().items()}),
            tune_config=tune.TuneConfig(
                search_alg=searcher,
                scheduler=scheduler,
                num_samples=-1,  # until the searcher has no more
                reuse_actors=True,  # a worker keeps what it has imported and read
                trial_dirname_creator=lambda trial: trial.trial_id,
            ),
            run_config=tune.RunConfig(
                storage_path=str(self.storage.absolute()),
                failure_config=tune.FailureConfig(max_failures=LOST_WORKERS),
                callbacks=[_Watching(watch)],
                verbose=0,
            ),
        ).fit()

    def _start(self) -> None:
        """Be connected to Ray. Raises SpecError where a run would wait forever."""
        self._connect()
        if not self.at_once:
            needs = " and ".join(f"{count:g} {kind}s" for kind, count in self._needs().items())
            raise SpecError(f"resources: a run asks for {needs}, and no machine here has them. Ask for less.")

    def _connect(self) -> None:
        """Find Ray, or start it where it is not there. Raises SpecError where nobody answers."""
        os.environ.update(SETTINGS)
        own = self.address is None
        try:
            if not ray.is_initialized():
                _knock(self.address)
                ray.init(
                    address=self.address or "local",  # never a cluster that happens to run here
                    object_store_memory=OBJECT_STORE_BYTES if own else None,
                    include_dashboard=False if own else None,
                    log_to_driver=False,
                    logging_level=logging.ERROR,
                )
        except (ConnectionError, TimeoutError, socket.gaierror):
            raise SpecError(
                f"--address {self.address}: no Ray cluster answers there. Start one with: ray start --head."
            ) from None
        logging.getLogger("ray.tune").setLevel(logging.CRITICAL)  # who watches is told of what went wrong


def _knock(address: str | None) -> None:
    """Raise OSError where nobody listens at HOST:PORT: Ray itself would try for many minutes."""
    host, _, port = (address or "").rpartition(":")
    if port.isdigit():
        socket.create_connection((host, int(port)), timeout=10).close()


@dataclass(frozen=True)
class _Home:
    """Where the driver is: workers do as if they were there too."""

    folder: str = field(default_factory=os.getcwd)
    environment: Mapping[str, str] = field(
        default_factory=lambda: {name: value for name, value in os.environ.items() if name.startswith("RSBENCH_")}
    )

    def enter(self) -> None:
        os.chdir(self.folder)
        os.environ.update(self.environment)


def _report(key: str, epoch: int, epochs: int, score: float | None) -> None:
    """Told to Tune after every epoch; Tune may end the process of a trial here."""
    tune.report({"key": key, "epoch": epoch, "epochs": epochs, SCORE: score})


def _warn(key: str, text: str) -> None:
    tune.report({"key": key, "warning": text})


class _NotKept:
    """Tune pickles what it is given, to go on from some day. We go on from our own folders, and need no copy."""

    def __getstate__(self) -> dict[str, Any]:
        return {}


class _GroupSearch(_NotKept, Searcher):
    """Hands out runs in their order, those together that can be done together."""

    def __init__(self, groups: Sequence[Sequence[RunTask]], stop: Stop) -> None:
        super().__init__()
        self._left = collections.deque(groups)
        self._stop = stop

    def suggest(self, trial_id: str) -> Any:
        if not self._left or self._stop():
            return self.FINISHED
        group = self._left.popleft()
        told = [(task.run_id, task.cell, task.settings.get("seed", 0)) for task in group]
        return {"key": group[0].run_id, "told": told}

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """What came of the runs lies in their folders."""


@dataclass
class _Desk:
    """Where the trials of a cell are handed out: by whom, and how many have been."""

    study: optuna.Study
    searcher: OptunaSearch
    given: int

    @property
    def cell(self) -> str:
        return self.study.study_name

    def describe(self, record: TrialRecord) -> None:
        """Say in Optuna's trial what was trained; it has the record's settings, and has not ended."""
        running = self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        for trial in running:
            if trial.params == record.params:
                describe(self.study, trial.number, record)


class _CellSearch(_NotKept, Searcher):
    """Hands out trials of all cells in turns, each as its own Optuna study suggests."""

    def __init__(self, desks: Sequence[_Desk], search: Search, store: TrialStore, stop: Stop) -> None:
        super().__init__()
        self._desks = desks
        self._search = search
        self._store = store
        self._stop = stop
        self._given: dict[str, tuple[_Desk, dict[str, Any]]] = {}

    def suggest(self, trial_id: str) -> Any:
        desk = min(self._desks, key=lambda desk: desk.given)
        if desk.given >= self._search.trials or self._stop():
            return self.FINISHED
        desk.given += 1
        params = desk.searcher.suggest(trial_id)
        assert params is not None
        self._given[trial_id] = desk, params
        key = f"{desk.cell} #{desk.given}"
        return {"key": key, "cell": desk.cell, "params": params, "told": [(key, desk.cell, self._search.seed)]}

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Tell Optuna what the record says; one that the scheduler stopped is closed here, for nobody is left there."""
        desk, params = self._given.pop(trial_id)
        record = self._store.find(desk.cell, params)
        if record and not record.finished and result and "state" not in result:
            record = replace(record, state="stopped")
            self._store.write(record)
        if record:
            with contextlib.suppress(StorageInternalError):  # a full disk, say, of which OptunaSearch tells below
                desk.describe(record)
        if record is None or not record.finished or record.value is None:
            desk.searcher.on_trial_complete(trial_id, error=True)
        else:
            desk.searcher.on_trial_complete(trial_id, {SCORE: record.value})


class _HalvingPerCell(FIFOScheduler):
    """Asynchronous successive halving within every cell: losses are not measured against each other."""

    def __init__(self, epochs: Mapping[str, int]) -> None:
        super().__init__()
        self._of_cell = {cell: _halving(count) for cell, count in epochs.items()}
        self._best: dict[str, float] = {}  # Tune's id of a trial → its best Score

    def on_trial_add(self, tune_controller: Any, trial: Trial) -> None:
        self._of_cell[trial.config["cell"]].on_trial_add(tune_controller, trial)

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> str:
        if SCORE not in result or result["epoch"] == result["epochs"]:  # it ends of itself
            return self.CONTINUE
        # The best so far is what the search maximises; a Score on few patients goes up and down.
        best = self._best[trial.trial_id] = max(self._best.get(trial.trial_id, 0.0), result[SCORE])
        scheduler = self._of_cell[trial.config["cell"]]
        decision: str = scheduler.on_trial_result(tune_controller, trial, {**result, SCORE: best})
        return decision

    def on_trial_complete(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> None:
        self._of_cell[trial.config["cell"]].on_trial_complete(tune_controller, trial, result)

    def on_trial_remove(self, tune_controller: Any, trial: Trial) -> None:
        self._of_cell[trial.config["cell"]].on_trial_remove(tune_controller, trial)


def _halving(epochs: int) -> ASHAScheduler:
    first = first_rung(epochs)
    return ASHAScheduler(
        "epoch", SCORE, "max", max_t=max(epochs, first), grace_period=first, reduction_factor=REDUCTION
    )


class _Watching(_NotKept, tune.Callback):
    """Passes on what Tune is told."""

    def __init__(self, watch: StudyHooks) -> None:
        self._watch = watch
        self._ended: set[str] = set()

    def on_trial_start(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        for key, cell, seed in trial.config["told"]:
            if key not in self._ended:
                self._watch.started(key, cell, seed)

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: dict[str, Any], **info: Any
    ) -> None:
        if "state" in result:
            self._end(result["key"], result["state"], result["seconds"], result["error"])
        elif "warning" in result:
            self._watch.warned(result["key"], result["warning"])
        elif "epoch" in result:
            self._watch.epoch(result["key"], result["epoch"], result["epochs"], result[SCORE])

    def on_trial_complete(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        self._end_all(trial, "stopped", "")  # of what has not told its end, a scheduler made one

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        reason = f"its worker or its machine was lost too often ({LOST_WORKERS + 1}×); see {trial.error_file}"
        self._end_all(trial, "failed", reason)

    def _end_all(self, trial: Trial, state: str, reason: str) -> None:
        for key, _, _ in trial.config["told"]:
            self._end(key, state, trial.last_result.get("time_total_s", 0.0), reason)

    def _end(self, key: str, state: str, seconds: float, reason: str) -> None:
        if key not in self._ended:
            self._ended.add(key)
            self._watch.ended(key, state, seconds, reason)
