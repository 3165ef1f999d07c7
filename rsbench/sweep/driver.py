"""A study from its file to its boards: plan, search, repeat the best, rank. Only what is missing is done."""

from __future__ import annotations

import json
import statistics
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from ..boards.leaderboard import Board, leaderboard
from ..core.display import duration
from ..core.errors import ResultsError, RunFailed, SpecError, did_you_mean
from ..core.files import json_bytes, locked, write_json
from ..experiment.context import DataCache, RunContext
from ..experiment.run import clear_leftovers
from ..observers.observer import observers_named
from ..results.run import Run
from .engines import Engine, RunTask, WorkerConfig
from .plan import PlannedRun, StudyPlan, plan_runs, runs_folder
from .progress import StudyDisplay
from .spec import Cell, Search, SweepSpec, cells, parse_sweep
from .trials import TrialRecord, TrialStore

STUDY = "study.json"


@dataclass(frozen=True)
class Study:
    """A study at a place: everything the commands need to know of it."""

    sweep: SweepSpec
    crew: WorkerConfig
    context: RunContext
    data_cache: DataCache

    @property
    def folder(self) -> Path:
        return self.crew.study_folder(self.sweep)

    @property
    def store(self) -> TrialStore:
        return self.crew.trials(self.sweep)

    def cells(self) -> list[Cell]:
        return cells(self.sweep)

    def trials(self) -> dict[str, Counter[str]]:
        """Cell → how many of its trials are in which state."""
        found = {cell.name: Counter[str]() for cell in self.cells()}
        for record in self.store.records():
            if record.cell in found:
                found[record.cell][record.state] += 1
        return found

    def planned(self) -> StudyPlan:
        """The grid's runs, or, of a study that tunes, those of the cells whose best settings are known."""
        if self.sweep.search is None or self.sweep.confirm is None:
            return plan_runs(self.sweep, self.cells(), self.sweep.seeds, self.context, self.data_cache)
        found = ((cell, self.store.best(cell.name)) for cell in self.cells())
        tuned = [_tuned(cell, trial, self.sweep.search.trials) for cell, trial in found if trial is not None]
        return plan_runs(self.sweep, tuned, self.sweep.confirm.seeds, self.context, self.data_cache)


def _tuned(cell: Cell, trial: TrialRecord, trials: int) -> Cell:
    """A cell with the settings that its search found, and how many trials that took."""
    return Cell(cell.name, {**cell.settings, **trial.params, "tuning_trials": trials})


def place_study(
    sweep: SweepSpec,
    roots: Sequence[str],
    out: Path,
    *,
    device: str,
    partial: bool,
    plugins: Sequence[str],
    log: str | Sequence[str] = (),
    quiet: bool,
) -> Study:
    """A study at a place that means the same in every process: folders and files of plugins become absolute."""
    loaded = tuple(str(Path(name).absolute()) if name.endswith(".py") else name for name in (*sweep.plugins, *plugins))
    sweep = sweep.model_copy(update={"plugins": loaded})
    takes, folders = sweep.resources, tuple(map(_absolute, roots))
    crew = WorkerConfig(
        folders,
        str(out.absolute()),
        device,
        takes.threads,
        partial or sweep.partial,
        loaded,
        takes.save_every_s,
        observers_named(log, loaded),
    )
    return make_study(sweep, crew, quiet=quiet)


def _absolute(root: str) -> str:
    """A root that means the same in every process: `NAME=DIR` or `DIR` with its folder absolute."""
    name, equals, folder = root.rpartition("=")
    return f"{name}{equals}{Path(folder).expanduser().absolute()}"


def make_study(sweep: SweepSpec, crew: WorkerConfig, *, quiet: bool) -> Study:
    """A study at a place. Raises RsbenchError where the place is wrong."""
    context = crew.context(quiet=quiet)
    return Study(sweep, crew, context, context.data_cache())


def open_study(out: Path, name: str) -> Study:
    """A study that was begun here, by its name. Raises ResultsError where there is none."""
    kept = out / "sweeps" / name / STUDY
    if not kept.is_file():
        begun = sorted(path.parent.name for path in out.glob(f"sweeps/*/{STUDY}"))
        raise ResultsError(f"{kept}: no study '{name}' was begun here.{did_you_mean(name, begun)}")
    try:
        content = json.loads(kept.read_bytes())
        crew = TypeAdapter(WorkerConfig).validate_python(content["crew"] | {"out": str(out)})
        sweep = parse_sweep(content["sweep"], str(kept))
    except (OSError, ValueError, LookupError, TypeError, SpecError) as error:
        reason = str(error).splitlines()[0]
        raise ResultsError(
            f"{kept}: cannot be read ({reason}). Give the command that began the study again: it writes the file anew, "
            "and goes on."
        ) from error
    return make_study(sweep, crew, quiet=False)


def describe(study: Study, engine: Engine, *, retry_failed: bool) -> list[str]:
    """What is done, what is to do, how long it takes and what it can show, in lines."""
    lines = []
    if study.sweep.search is not None and study.sweep.confirm is not None:
        lines.append(_search_in_words(study, study.sweep.search, engine.at_once))
        count = len(study.sweep.confirm.seeds)
        lines.append(f"then the best settings of each of {len(study.cells())} cells on {count} fresh seeds")
    plan = study.planned()
    if plan.runs:
        tasks = _tasks(plan, retry_failed=retry_failed)
        lines += [plan.in_words(engine.at_once, retry_failed=retry_failed), *plan.power_in_words()]
        lines += engine.announce(tasks)
    return lines


def _tasks(plan: StudyPlan, *, retry_failed: bool) -> list[RunTask]:
    """What is left to do of a plan."""
    return [RunTask(run.run_id, run.cell, run.settings) for run in plan.to_go(retry_failed=retry_failed)]


def _search_in_words(study: Study, search: Search, at_once: int) -> str:
    """`search: 180 trials: 35 done, 2 failed, 143 to go; at most about 2 h on this machine`."""
    of_cells = study.trials()
    left = {cell: max(0, search.trials - _over(counts)) for cell, counts in of_cells.items()}
    states = sum(of_cells.values(), Counter[str]())
    done = states["done"] + states["stopped"]
    failed = f", {states['failed']} failed" if states["failed"] else ""
    text = f"search: {search.trials * len(of_cells)} trials: {done} done{failed}, {sum(left.values())} to go"
    if not any(left.values()):
        return text
    cells_left = [cell for cell in study.cells() if left[cell.name]]
    whole = plan_runs(study.sweep, cells_left, [search.seed], study.context, study.data_cache).seconds
    trained = [record.seconds for record in study.store.records() if record.state == "done"]
    seconds = sum(
        count * (statistics.median(trained) if trained else whole[cell]) for cell, count in left.items() if count
    )
    return f"{text}; at most about {duration(seconds * search.folds / at_once)} on this machine ({at_once} at a time)"


def _over(states: Counter[str]) -> int:
    """Trials that have had their chance."""
    return states.total() - states["running"]


def carry_out(study: Study, engine: Engine, *, retry_failed: bool) -> list[Board]:
    """Do what is missing of a study and rank its runs, a board per test split.

    Raises RunFailed when runs are still missing at the end; what was done is kept.
    """
    with locked(study.folder):
        _remember(study)
        study.store.clear_leftovers()
        if retry_failed:
            study.store.forget_failures()
        stop = Stop(study.sweep)
        if study.sweep.search is not None:
            to_do = study.sweep.search.trials * len(study.cells())
            to_do -= sum(_over(counts) for counts in study.trials().values())
            if to_do > 0:
                from .search import database_in

                with (
                    database_in(study.folder),
                    StudyDisplay(study.context.display, "trials", to_do, stop.note) as display,
                ):
                    engine.search(study.cells(), study.sweep, display, stop)
        tasks = _tasks(study.planned(), retry_failed=retry_failed)
        if tasks:
            with StudyDisplay(study.context.display, "runs", len(tasks), stop.note) as display:
                engine.runs(tasks, display, stop)
    runs = study.planned().runs
    for run in runs:
        if run.state == "done":
            clear_leftovers(Run(runs_folder(study.context) / run.run_id))
    missing = [run for run in runs if run.state != "done"]
    boards = _boards(study, runs)
    if missing or not runs:
        why = f" ({stop.reason})" if stop.reason else ""
        raise StudyUnfinished(
            f"{len(missing)} of {len(runs)} runs of '{study.sweep.name}' are not done{why}. The same command "
            "continues; runs that failed are tried again with --retry-failed.",
            boards,
        )
    return boards


class StudyUnfinished(RunFailed):
    """Some runs are missing; `boards` rank those that are done."""

    def __init__(self, message: str, boards: list[Board]) -> None:
        super().__init__(message)
        self.boards = boards


class Stop:
    """The limits of a study: asked before every start. `reason` says which one was reached."""

    def __init__(self, sweep: SweepSpec) -> None:
        self.limits = sweep.limits
        self.started = time.monotonic()
        self.failures = 0
        self.reason = ""

    def __call__(self) -> bool:
        hours = (time.monotonic() - self.started) / 3600
        if self.limits.hours and hours >= self.limits.hours:
            self.reason = f"limits.hours: {self.limits.hours:g} are over"
        if self.limits.failures and self.failures >= self.limits.failures:
            self.reason = f"limits.failures: {self.failures} failed"
        return bool(self.reason)

    def note(self, state: str, error: str) -> None:
        """How a run or a trial ended: failures count, and where results cannot be kept the study stops."""
        self.failures += state == "failed"
        if state == "interrupted":
            self.reason = error.rstrip(".")


def _remember(study: Study) -> None:
    """Keep what the study is, so that `status` and `results` need its name alone."""
    crew = {key: value for key, value in asdict(study.crew).items() if key != "observers"}  # who change nothing
    now = {"sweep": study.sweep.model_dump(mode="json"), "crew": crew}
    kept = study.folder / STUDY
    if kept.is_file() and kept.read_bytes() != json_bytes(now):
        study.context.display.say(f"note: {_changes_in_words(kept, now)}; what still fits is kept")
    write_json(kept, now)


def _changes_in_words(kept: Path, now: Mapping[str, Any]) -> str:
    """With which other settings a study was begun, as far as its file can tell."""
    try:
        before, after = (dict(_written_out(json.loads(content))) for content in (kept.read_bytes(), json_bytes(now)))
    except (ValueError, AttributeError):
        return f"{kept} could not be read, and is written anew"
    changed = [
        f"{key} was {before.get(key, 'not given')}, is {after.get(key, 'not given')}"
        for key in dict.fromkeys([*before, *after])
        if before.get(key) != after.get(key)
    ]
    return f"this study was begun with other settings ({'; '.join(changed)})"


def _written_out(settings: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What a study's file says, as keys of its YAML and options, each with its value in JSON."""
    for part in settings.values():
        for key, value in part.items():
            if isinstance(value, dict):
                yield from ((f"{key}.{name}", json.dumps(inner)) for name, inner in value.items())
            else:
                yield key, json.dumps(value)


def _boards(study: Study, runs: Sequence[PlannedRun]) -> list[Board]:
    done = [Run(runs_folder(study.context) / run.run_id) for run in runs if run.state == "done"]
    if not done:
        return []
    spec = done[0].spec
    return [leaderboard(done, split, spec.select[0], {}) for split in spec.data.test]
