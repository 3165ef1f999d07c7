"""Runs of several people or machines in one results folder, with where each of them came from.

Everything is looked at before anything is copied: one conflict, and nothing is. A run is copied beside its place and
then renamed, so that a merge which is stopped is finished by the same command.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from functools import cached_property
from pathlib import Path

from ..core.display import Display
from ..core.errors import ResultsError, RsbenchError, StorageError
from ..core.files import explain_os_error
from .agreement import disagreement
from .bundle import opened
from .document import read_whole
from .rescore import rescore_run
from .run import HERE, Run, as_written, load_runs
from .schema import Origin, State, Status
from .store import ERROR, ORIGIN, SPEC, STATUS, RunFolder


class MergeOutcome(StrEnum):
    """What becomes of a run that somebody brings, in words that follow its number."""

    BROUGHT = "brought in"
    SAME = "here already, with the same predictions"
    CONFIRMED = "made again by somebody else with the same result: confirmed"
    UNFINISHED = "unfinished, and here already: left where they are"


@dataclass(frozen=True)
class Standing:
    """A run as it will stand after the merge: whose files, and where it came from (None: it was made here)."""

    run: Run
    origin: Origin | None

    @cached_property
    def status(self) -> Status:
        return self.run.status

    @property
    def state(self) -> State:
        return self.status.state


@dataclass(frozen=True)
class MergePlan:
    """What becomes of the runs that were brought: ids by outcome; those that change, as they will stand.

    damaged: a line for each that is left out because its record is damaged.
    """

    outcomes: dict[MergeOutcome, list[str]]
    changed: dict[str, Standing]
    damaged: tuple[str, ...] = ()


def merge(sources: Sequence[Path], out: Path, name: str | None, display: Display) -> MergePlan:
    """Bring the runs of results folders and bundles into a results folder; returns what became of each.

    A finished run replaces an unfinished one; an unfinished one only comes where there is none of its id. One run id
    with the same predictions is one run; with other predictions it is a conflict. Every finished run that comes in is
    scored again: its figures must follow from its predictions.

    Args:
        sources: results folders and bundles.
        out: the results folder to bring them to; made where it is not there.
        name: who they are from; default: the name of each folder or bundle.
        display: told of progress.

    A damaged run is left out and named in the plan.

    Raises ResultsError for a damaged bundle, for conflicts and false figures, all of them named, and where every run is
    damaged; nothing is copied then.
    """
    with contextlib.ExitStack() as stack:
        arrivals: list[Standing] = []
        damaged: list[str] = []
        for source in sources:
            results, manifest = stack.enter_context(opened(source))
            brought_by = name or (source.stem if source.is_file() else source.resolve().name)
            for run in load_runs(results):
                try:
                    arrival = _arrival(run, brought_by, manifest)
                except ResultsError as error:
                    damaged.append(str(error).replace(str(results), str(source)))  # a zip lies unpacked elsewhere
                    continue
                if arrival.state == "absent":
                    display.say(f"note: {run.path} has no {STATUS}, so it is no run: left out")
                else:
                    arrivals.append(arrival)
        if damaged and not arrivals:
            raise ResultsError("No run can be brought in.\n" + "\n".join(damaged))
        plan = _plan(arrivals, out, display)
        _carry_out(plan, out, display)
    return replace(plan, damaged=(*damaged, *plan.damaged))


def _arrival(run: Run, brought_by: str, manifest: str | None) -> Standing:
    """A run that `brought_by` brings, with what origin.json will say. Raises ResultsError for a damaged one."""
    if run.state == "done":
        read_whole(run)
    elif run.state != "absent":
        _ = run.folder.has(SPEC) and run.spec, run.begun and run.data
    before = run.origin
    origin = Origin(
        brought_by=before.brought_by if before else brought_by,
        via=(*before.via, brought_by) if before else (),
        status="self-reported",
        confirmed_by=None,
        merged_at=datetime.now(UTC).isoformat(timespec="seconds"),
        manifest_sha256=manifest,
    )
    return Standing(run, origin)


def _plan(arrivals: Sequence[Standing], out: Path, display: Display) -> MergePlan:
    """What will become of each arrival. Raises ResultsError naming every conflict."""
    plan, conflicts, false = MergePlan({outcome: [] for outcome in MergeOutcome}, {}), [], []
    damaged: list[str] = []
    with display.track("scoring again", len(arrivals)) as advance:
        for arrival in arrivals:
            run_id = arrival.run.run_id
            advance(1, run_id)
            try:
                standing = plan.changed.get(run_id) or _here(out, run_id)
                differences = _differences(standing, arrival)
                outcome, after = _settle(standing, arrival)
                comes = after is arrival and arrival.state == "done" and not differences
                false += _false_figures(arrival.run, display) if comes else []
            except RsbenchError as error:
                damaged.append(f"{run_id}: {error}")
                continue
            if differences:
                who = " and ".join(one.origin.brought_by if one.origin else HERE for one in (standing, arrival))
                conflicts.append(f"{run_id} ({who}): {'; '.join(differences)}")
                continue
            plan.outcomes[outcome].append(run_id)
            if after is not standing:
                plan.changed[run_id] = after
    if conflicts:
        raise ResultsError(
            f"{len(conflicts)} runs have the same id and other predictions; nothing was copied.\n"
            + "\n".join(conflicts)
            + "\nKeep them in separate results folders, or move away those that shall not count. "
            "(A deep network that is trained again on other hardware, or on a GPU, ends elsewhere too.)"
        )
    if false:
        raise ResultsError(
            f"{len(false)} runs have figures that do not follow from their predictions; nothing was copied.\n"
            + "\n".join(false)
            + "\nAsk for them again. rsbench rescore --results DIR|BUNDLE.zip names every figure."
        )
    return replace(plan, damaged=tuple(damaged))


def _here(out: Path, run_id: str) -> Standing:
    here = Run(out / "runs" / run_id)
    return Standing(here, here.origin)


def _differences(standing: Standing, arrival: Standing) -> list[str]:
    """In what two finished runs differ; [] where they agree, or one is not finished. Raises ResultsError for damage."""
    if not standing.state == arrival.state == "done":
        return []
    with as_written(standing.run, arrival.run):
        return disagreement(standing.run, arrival.run)


def _false_figures(run: Run, display: Display) -> list[str]:
    """A line where figures of a finished run are not what its predictions give. Raises ResultsError for damage."""
    with as_written(run):
        found = rescore_run(run)
    for line in found.not_compared:
        display.say(f"note: {run.run_id}: {line}")
    more = f" and {len(found.differing) - 1} more" if len(found.differing) > 1 else ""
    return [f"{run.run_id}: {found.differing[0]}{more}"] if found.differing else []


def _settle(standing: Standing, arrival: Standing) -> tuple[MergeOutcome, Standing]:
    """Which of two runs of one id stays, where they are not in conflict."""
    if standing.state == "absent" or (arrival.state == "done" and standing.state != "done"):
        return MergeOutcome.BROUGHT, arrival
    if arrival.state != "done":
        return MergeOutcome.UNFINISHED, standing
    # Time and process of its end tell; predictions made elsewhere are read again, not made again.
    made_again = standing.status != arrival.status and not (standing.run.begun and standing.run.data.elsewhere)
    if made_again and standing.origin and arrival.origin and _confirms(standing.origin, arrival.origin):
        confirmed = {"status": "re-run", "confirmed_by": arrival.origin.brought_by}
        return MergeOutcome.CONFIRMED, replace(standing, origin=standing.origin.model_copy(update=confirmed))
    return MergeOutcome.SAME, standing


def _confirms(standing: Origin, arrival: Origin) -> bool:
    """Whether somebody else brings a self-reported run that they made themselves: it is not second-hand."""
    return standing.status != "re-run" and not arrival.via and arrival.brought_by != standing.brought_by


def _carry_out(plan: MergePlan, out: Path, display: Display) -> None:
    """Copy what comes, and note what was confirmed."""
    if not plan.changed:
        return
    staging = RunFolder(out / ".merging")
    with staging.locked(), display.track("copying", len(plan.changed)) as advance:
        for run_id, standing in plan.changed.items():
            here = RunFolder(out / "runs" / run_id)
            if standing.run.path == here.path:
                here.write_json(ORIGIN, standing.origin)
            else:
                _copy(standing, here, staging.path)
            advance(1, run_id)
        shutil.rmtree(staging.path)


def _copy(standing: Standing, here: RunFolder, staging: Path) -> None:
    """Put a run in its place, where an unfinished one may stand, in one step."""
    fresh, replaced = RunFolder(staging / "fresh"), staging / "replaced"
    try:
        for leftover in (fresh.path, replaced):  # of a merge that was stopped
            shutil.rmtree(leftover, ignore_errors=True)
        brought = standing.run.folder
        for name in [*brought.files(), ERROR]:
            if brought.has(name):
                fresh.write_bytes(name, brought.read_bytes(name))
        fresh.write_json(ORIGIN, standing.origin)
        here.path.parent.mkdir(parents=True, exist_ok=True)
        if here.path.exists():
            with here.locked():
                if here.status().state == "done":
                    raise ResultsError(f"{here.path}: was finished meanwhile. Give the same command again.")
                here.path.rename(replaced)
        fresh.path.rename(here.path)
    except OSError as error:
        raise StorageError(explain_os_error(error, here.path)) from error
