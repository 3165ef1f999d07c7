"""Slurm does the work, by submitit: arrays of jobs, some runs in each.

What is done is told by the folders of runs. Beside them the study keeps which runs were handed to which job, so that a
run that waits in the queue, or is at work, is not submitted again by the same command later.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import logging
import math
import os
import shutil
import signal
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import submitit
from submitit.core.job_environment import JobEnvironment
from submitit.core.utils import FailedJobError, FailedSubmissionError, UncompletedJobError
from submitit.helpers import Checkpointable

from ..core.errors import SpecError
from ..core.files import read_json, write_json
from ..results.run import Run
from ..results.schema import Status
from .engines import Engine, Outcome, RunTask, Stop, StudyHooks, WorkerConfig, do_together, in_groups
from .slurm_settings import SlurmSettings
from .spec import Cell, Resources, SweepSpec

LOST_JOBS = 3  # how often a run is submitted again after its job ended without it
TIMEOUTS = 100  # how often a job that needs more time than it has is queued again
GRACE_S = 5.0  # in which jobs of this machine that are interrupted write their state
LOOK_EVERY_S = {"slurm": 5.0, "local": 0.2, "debug": 0.0}
JOBS = "jobs.json"

Say = Callable[[str], None]


@dataclass
class JobReport:
    """What a job came to: run id → how it ended, and what was warned of."""

    outcomes: dict[str, Outcome] = field(default_factory=dict)
    warnings: list[tuple[str, str]] = field(default_factory=list)


@dataclass
class StudyJob(Checkpointable):
    """What a job does: runs, one group after another. Queued again, it goes on with those that have not ended."""

    tasks: Sequence[RunTask]
    crew: WorkerConfig
    report: JobReport = field(default_factory=JobReport)

    def __call__(self) -> JobReport:
        """Do the runs.

        Slurm's signal before the end of the job's time, or before another job takes its place, ends them as Ctrl-C
        would: the last whole epoch is written. Then submitit queues the job again.
        """
        number = signal.Signals[f"SIG{JobEnvironment.USR_SIG}"]
        queue_again = signal.getsignal(number)
        must_stop = False

        def stop(number: int, frame: FrameType | None) -> None:
            nonlocal must_stop
            must_stop = True
            signal.default_int_handler(number, frame)

        signal.signal(number, stop)
        try:
            self._work()
        except KeyboardInterrupt:
            if must_stop and callable(queue_again):  # submitit's, which ends the process
                queue_again(number, None)
            raise
        finally:
            signal.signal(number, queue_again)
        return self.report

    def _work(self) -> None:
        left = [task for task in self.tasks if task.run_id not in self.report.outcomes]
        for together in in_groups(left, self.crew):
            for run_id, outcome in do_together(together, self.crew, _nobody_looks, self._warned):
                self.report.outcomes[run_id] = outcome

    def _warned(self, run_id: str, text: str) -> None:
        self.report.warnings.append((run_id, text))


def _nobody_looks(run_id: str, epoch: int, epochs: int, score: float | None) -> None:
    """Whoever watches reads the run's folder, on another machine."""


@dataclass
class _Queued:
    """A job that was submitted, and the ids of its runs."""

    job: Any
    runs: list[str]


@dataclass
class _Waiting:
    """A run that has not ended. before: its status when the command began. lost: jobs that ended without it."""

    task: RunTask
    before: Status
    started: bool = False
    epoch: int = 0
    lost: int = 0


class SlurmEngine(Engine):
    """Runs as jobs of an array.

    Args:
        crew: what a job needs; `out` must be a folder that all machines share.
        resources: what one run takes.
        settings: of the jobs.
        folder: of the study; submitit's files and the outputs of jobs go to its `slurm/`.
        say: told what becomes of the queue.

    Raises SpecError where there is no Slurm.
    """

    def __init__(
        self, crew: WorkerConfig, resources: Resources, settings: SlurmSettings, folder: Path, say: Say
    ) -> None:
        self.crew = crew
        self.settings = settings
        self.folder = folder / "slurm"
        self.say = say
        self.cpus = settings.cpus_per_task or math.ceil(resources.cpus)
        self.gpus = math.ceil(resources.gpus) if settings.gpus_per_node is None else settings.gpus_per_node
        missing = [tool for tool in ("sbatch", "srun") if shutil.which(tool) is None]
        if settings.cluster == "slurm" and missing:
            raise SpecError(
                f"--engine slurm: there is no {' and no '.join(missing)} here. Give the command on a machine of the "
                "cluster, or try it out with cluster: local in the file of --slurm."
            )

    @property
    def at_once(self) -> int:
        """As many jobs as may be at work at a time: on this machine alone no more than it has cores for."""
        if self.settings.cluster == "debug":
            return 1
        cores = (os.cpu_count() or 1) // self.cpus if self.settings.cluster == "local" else math.inf
        return int(max(1, min(self.settings.array_parallelism, cores)))

    def announce(self, tasks: Sequence[RunTask]) -> list[str]:
        asked = {task.run_id for task in tasks}
        queue = [item for item in self._in_queue() if asked & set(item.runs)]
        queued = asked & {run_id for item in queue for run_id in item.runs}
        size, left = self.settings.runs_per_job, len(asked - queued)
        lines = []
        if queued:
            lines.append(f"{len(queued)} runs are in the queue already, in jobs {_ids(queue)}")
        if left:
            jobs = math.ceil(left / size)
            lines.append(f"{left} runs to submit: {jobs} jobs of {size} runs at most, {self.at_once} at a time")
        return lines

    def runs(self, tasks: Sequence[RunTask], watch: StudyHooks, stop: Stop) -> None:
        waiting = {task.run_id: _Waiting(task, self._run(task.run_id).status) for task in tasks}
        asked = set(waiting)
        queue = self._in_queue()
        with self._interruptible(queue):
            while waiting or any(asked & set(item.runs) for item in queue):
                self._follow(waiting, watch)
                for item in [item for item in queue if item.job.done()]:
                    queue.remove(item)
                    self._collect(item, waiting, watch)
                handed = {run_id for item in queue for run_id in item.runs}
                to_submit = [item.task for run_id, item in waiting.items() if run_id not in handed]
                if stop():
                    for item in [item for item in queue if not self._begun(item)]:
                        item.job.cancel(check=False)
                        queue.remove(item)
                    if not any(asked & set(item.runs) for item in queue):
                        self._remember(queue)
                        return
                elif to_submit:
                    queue += self._submit(to_submit, len(queue))
                self._remember(queue)
                time.sleep(LOOK_EVERY_S[self.settings.cluster])

    def search(self, cells: Sequence[Cell], sweep: SweepSpec, watch: StudyHooks, stop: Stop) -> None:
        raise SpecError(
            f"study '{sweep.name}': a search chooses each trial by those before it, and all jobs of an array are known "
            "when it begins. Let Ray do the search (docs/slurm.md). The runs after it can be an array."
        )

    @functools.cached_property
    def _executor(self) -> Any:
        given, name = self.settings, f"rsbench-{self.folder.parent.name}"
        executor = submitit.AutoExecutor(str(self.folder), cluster=given.cluster, slurm_max_num_timeout=TIMEOUTS)
        logging.getLogger("submitit").setLevel(logging.ERROR)  # which warns whenever sacct does not answer
        alike = {"name": name, "timeout_min": given.timeout_min, "cpus_per_task": self.cpus, "mem_gb": given.mem_gb}
        own = ("array_parallelism", "partition", "account", "qos", "constraint", "gres")
        slurm = {f"slurm_{key}": getattr(given, key) for key in own}
        slurm |= {"slurm_setup": given.setup or None}
        slurm |= {"slurm_additional_parameters": dict(given.additional_parameters) or None}
        executor.update_parameters(**alike, gpus_per_node=self.gpus or None, **slurm)
        return executor

    def _run(self, run_id: str) -> Run:
        return Run(Path(self.crew.out) / "runs" / run_id)

    def _begun(self, item: _Queued) -> bool:
        return any(self._run(run_id).status.state in ("running", "done", "failed") for run_id in item.runs)

    def _submit(self, tasks: Sequence[RunTask], queued: int) -> list[_Queued]:
        """Hand over as many as may be queued. Raises SpecError where Slurm does not take them."""
        ordered = list(itertools.chain.from_iterable(in_groups(tasks, self.crew)))
        size = self.settings.runs_per_job
        parts = [ordered[first : first + size] for first in range(0, len(ordered), size)]
        if self.settings.cluster != "slurm":  # which itself begins no more at a time than it may
            parts = parts[: max(0, self.at_once - queued)]
        if not parts:
            return []
        try:
            with self._executor.batch():
                jobs = [self._executor.submit(StudyJob(part, self.crew)) for part in parts]
        except (FailedJobError, FailedSubmissionError) as error:
            why = " ".join(str(error).split())
            raise SpecError(f"--slurm: sbatch does not take the jobs: {why}. Mend the field that it names.") from error
        return [_Queued(job, [task.run_id for task in part]) for job, part in zip(jobs, parts, strict=True)]

    def _follow(self, waiting: dict[str, _Waiting], watch: StudyHooks) -> None:
        """Tell what the folders of runs say that is new; those that have ended wait no longer."""
        for run_id, item in list(waiting.items()):
            status = self._run(run_id).status
            if status == item.before:
                continue
            if not item.started:
                item.started = True
                watch.started(run_id, item.task.cell, item.task.settings.get("seed", 0))
            if status.epoch and status.epochs and status.epoch > item.epoch:
                item.epoch = status.epoch
                watch.epoch(run_id, status.epoch, status.epochs, None)
            if status.state == "done":
                watch.ended(run_id, "done", self._run(run_id).cost.seconds, "")
                del waiting[run_id]

    def _collect(self, over: _Queued, waiting: dict[str, _Waiting], watch: StudyHooks) -> None:
        """What a job that is over has to tell: its failures too, and the runs that it ended without."""
        report, why = report_of(over.job)
        for run_id, text in report.warnings:
            watch.warned(run_id, text)
        for run_id in (run_id for run_id in over.runs if run_id in waiting):
            outcome = report.outcomes.get(run_id)
            if outcome is None:
                waiting[run_id].lost += 1
                if waiting[run_id].lost <= LOST_JOBS:
                    continue
                outcome = Outcome("failed", 0.0, f"its job was lost too often ({LOST_JOBS + 1}×): {why}")
            watch.ended(run_id, outcome.state, outcome.seconds, outcome.error)
            del waiting[run_id]

    def _in_queue(self) -> list[_Queued]:
        """Jobs of Slurm that earlier commands have submitted and that are not over."""
        if self.settings.cluster != "slurm" or not (self.folder / JOBS).is_file():
            return []
        kept = read_json(self.folder / JOBS)
        known = [_Queued(submitit.SlurmJob(self.folder, job_id), list(runs)) for job_id, runs in kept.items()]
        return [item for item in known if not item.job.done()]

    def _remember(self, queue: Sequence[_Queued]) -> None:
        if self.settings.cluster == "slurm":
            write_json(self.folder / JOBS, {item.job.job_id: item.runs for item in queue})

    @contextlib.contextmanager
    def _interruptible(self, queue: Collection[_Queued]) -> Iterator[None]:
        """Ctrl-C leaves what waits in Slurm's queue; on this machine alone nothing stays at work."""
        try:
            yield
        except KeyboardInterrupt:
            if self.settings.cluster != "slurm":
                _await_end(queue)  # a terminal interrupts them as well
                for item in queue:
                    if not item.job.done():
                        item.job.cancel(check=False)
            elif queue:
                self.say(
                    f"{len(queue)} jobs stay in Slurm's queue, and go on without this command; given again, it watches "
                    f"them. To end them: scancel {_ids(queue)}"
                )
            raise


def _await_end(queue: Collection[_Queued]) -> None:
    until = time.monotonic() + GRACE_S
    while time.monotonic() < until and not all(item.job.done() for item in queue):
        time.sleep(0.1)


def _ids(queue: Collection[_Queued]) -> str:
    """Numbers of jobs, of an array that of the whole."""
    return " ".join(dict.fromkeys(item.job.job_id.partition("_")[0] for item in queue))


def report_of(job: Any) -> tuple[JobReport, str]:
    """What a job returned; where it did not return, nothing, and the reason."""
    report, why = JobReport(), f"state {job.state}"
    try:
        report = job.result()
    except FailedJobError as error:  # its message has the traceback between lines of dashes
        parts = str(error).split("-" * 22)
        why = parts[len(parts) // 2].strip().splitlines()[-1]
    except UncompletedJobError:
        pass  # it was killed, or its machine was lost
    return report, f"{why}; see {job.paths.stderr}"
