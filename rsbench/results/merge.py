"""Runs of several people or machines in one results folder, with where each of them came from.

Everything is looked at before anything is copied: one conflict, and nothing is. A run is copied beside its place and
then renamed, so that a merge which is stopped is finished by the same command.

`origin.json` of a run that was brought in:

    from               who brought it in first
    via                who passed it on since then, in order
    status             "self-reported", or "re-run" once somebody else made the run again and came to the same
    confirmed_by       who that was, or null
    merged_at          when it was brought in here
    manifest_sha256    of the bundle it came in, or null

A run that was made here has none. `status` and `confirmed_by` are what the keeper of this very folder has seen: they
are not taken over from a folder or bundle that is brought in, which anybody may have written by hand.
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
from typing import Any

from ..core.display import Display
from ..core.errors import ResultsError, StorageError
from ..core.files import explain_os_error, write_bytes, write_json
from .agreement import disagreement
from .bundle import check_whole, opened, record_files, whole_status
from .store import ORIGIN, STATUS, RunFolder, run_folders


class MergeOutcome(StrEnum):
    """What becomes of a run that somebody brings, in words that follow its number."""

    BROUGHT = "brought in"
    SAME = "here already, with the same predictions"
    CONFIRMED = "made again by somebody else, who came to the same: confirmed"
    UNFINISHED = "unfinished, and here already: left where they are"


def origin(folder: RunFolder) -> str:
    """Where a run came from, for a row of a board: "here", "self-reported by …" or "re-run by …".

    Raises ResultsError where its origin.json is damaged.
    """
    record = _origin_record(folder)
    if not record:
        return "here"
    if record["status"] == "re-run":
        return f"re-run by {record['confirmed_by']}"
    return " via ".join([f"self-reported by {record['from']}", *record["via"]])


def _origin_record(folder: RunFolder) -> dict[str, Any]:
    """What origin.json says; {} where there is none."""
    if not (folder.path / ORIGIN).is_file():
        return {}
    record = folder.read_json(ORIGIN)
    if not isinstance(record, dict) or not {"from", "via", "status", "confirmed_by"} <= record.keys():
        raise ResultsError(f"{folder.path / ORIGIN}: does not say where the run came from. Merge it again.")
    return record


@dataclass(frozen=True)
class Standing:
    """A run as it will stand after the merge: whose files, and what its origin.json says ({}: it was made here)."""

    folder: RunFolder
    origin: dict[str, Any]

    @cached_property
    def status(self) -> dict[str, Any]:
        return whole_status(self.folder)

    @property
    def state(self) -> str:
        return str(self.status["state"])


@dataclass(frozen=True)
class MergePlan:
    """What becomes of the runs that were brought: ids by outcome; those that change, as they will stand."""

    outcomes: dict[MergeOutcome, list[str]]
    changed: dict[str, Standing]


def merge(sources: Sequence[Path], out: Path, name: str | None, display: Display) -> dict[MergeOutcome, list[str]]:
    """Bring the runs of results folders and bundles into a results folder; returns the run ids by outcome.

    A finished run replaces an unfinished one; an unfinished one only comes where there is none of its id. One run id
    with the same predictions is one run; with other predictions it is a conflict.

    Args:
        sources: results folders and bundles.
        out: the results folder to bring them to; made where it is not there.
        name: who they are from; default: the name of each folder or bundle.
        display: told of progress.

    Raises ResultsError for a damaged run or bundle, and for conflicts, all of them named; nothing is copied then.
    """
    with contextlib.ExitStack() as stack:
        arrivals: list[Standing] = []
        for source in sources:
            results, manifest = stack.enter_context(opened(source))
            brought_by = name or (source.stem if source.is_file() else source.resolve().name)
            for folder in run_folders(results):
                arrival = Standing(folder, _arrival(folder, brought_by, manifest))
                if arrival.state == "absent":
                    display.say(f"note: {folder.path} has no {STATUS}, so it is no run: left out")
                else:
                    arrivals.append(arrival)
        plan = _plan(arrivals, out, display)
        _carry_out(plan, out, display)
    return plan.outcomes


def _arrival(folder: RunFolder, brought_by: str, manifest: str | None) -> dict[str, Any]:
    """What origin.json will say of a run that `brought_by` brings."""
    before = _origin_record(folder)
    return {
        "from": before["from"] if before else brought_by,
        "via": [*before["via"], brought_by] if before else [],
        "status": "self-reported",
        "confirmed_by": None,
        "merged_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "manifest_sha256": manifest,
    }


def _plan(arrivals: Sequence[Standing], out: Path, display: Display) -> MergePlan:
    """What will become of each arrival. Raises ResultsError naming every conflict, and for a damaged run."""
    plan, conflicts = MergePlan({outcome: [] for outcome in MergeOutcome}, {}), []
    with display.track("comparing", len(arrivals)) as advance:
        for arrival in arrivals:
            run_id = arrival.folder.run_id
            if arrival.state == "done":
                check_whole(arrival.folder)
            here = RunFolder(out / "runs" / run_id)
            standing = plan.changed.get(run_id) or Standing(here, _origin_record(here))
            both_done = standing.state == arrival.state == "done"
            differences = disagreement(standing.folder, arrival.folder) if both_done else []
            if differences:
                who = f"{standing.origin.get('from', 'here')} and {arrival.origin['from']}"
                conflicts.append(f"{run_id} ({who}): {'; '.join(differences)}")
            else:
                outcome, after = _settle(standing, arrival)
                plan.outcomes[outcome].append(run_id)
                if after is not standing:
                    plan.changed[run_id] = after
            advance(1, run_id)
    if conflicts:
        raise ResultsError(
            f"{len(conflicts)} runs have the same id and other predictions; nothing was copied.\n"
            + "\n".join(conflicts)
            + "\nKeep them in separate results folders, or move away those that shall not count. "
            "(A deep network that is trained again on other hardware, or on a GPU, ends elsewhere too.)"
        )
    return plan


def _settle(standing: Standing, arrival: Standing) -> tuple[MergeOutcome, Standing]:
    """Which of two runs of one id stays, where they are not in conflict."""
    if standing.state == "absent" or (arrival.state == "done" and standing.state != "done"):
        return MergeOutcome.BROUGHT, arrival
    if arrival.state != "done":
        return MergeOutcome.UNFINISHED, standing
    if _confirms(standing, arrival):
        confirmed = {"status": "re-run", "confirmed_by": arrival.origin["from"]}
        return MergeOutcome.CONFIRMED, replace(standing, origin=standing.origin | confirmed)
    return MergeOutcome.SAME, standing


def _confirms(standing: Standing, arrival: Standing) -> bool:
    """Whether somebody else made a self-reported run again: not a copy of it, and not second-hand."""
    if not standing.origin or standing.origin["status"] == "re-run":
        return False
    made_again = standing.status != arrival.status  # time and process of its end
    return made_again and not arrival.origin["via"] and arrival.origin["from"] != standing.origin["from"]


def _carry_out(plan: MergePlan, out: Path, display: Display) -> None:
    """Copy what comes, and note what was confirmed."""
    if not plan.changed:
        return
    staging = RunFolder(out / ".merging")
    with staging.locked(), display.track("copying", len(plan.changed)) as advance:
        for run_id, standing in plan.changed.items():
            here = RunFolder(out / "runs" / run_id)
            if standing.folder.path == here.path:
                write_json(here.path / ORIGIN, standing.origin)
            else:
                _copy(standing, here, staging.path)
            advance(1, run_id)
        shutil.rmtree(staging.path)


def _copy(standing: Standing, here: RunFolder, staging: Path) -> None:
    """Put a run in its place, where an unfinished one may stand, in one step."""
    fresh, replaced = staging / "fresh", staging / "replaced"
    try:
        for leftover in (fresh, replaced):  # of a merge that was stopped
            shutil.rmtree(leftover, ignore_errors=True)
        for name in [*record_files(standing.folder), "error.txt"]:
            if (standing.folder.path / name).is_file():
                write_bytes(fresh / name, (standing.folder.path / name).read_bytes())
        write_json(fresh / ORIGIN, standing.origin)
        here.path.parent.mkdir(parents=True, exist_ok=True)
        if here.path.exists():
            with here.locked():
                if whole_status(here)["state"] == "done":
                    raise ResultsError(f"{here.path}: was finished meanwhile. Give the same command again.")
                here.path.rename(replaced)
        fresh.rename(here.path)
    except OSError as error:
        raise StorageError(explain_os_error(error, here.path)) from error
