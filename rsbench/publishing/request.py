"""`rsbench publish`: runs as a bundle, and the pull request that brings it to a repository of results."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ..core.display import Display
from ..core.errors import FiguresDiffer, ResultsError, SpecError
from ..core.files import write_bytes
from ..core.text import in_markdown
from ..report.page.provenance import VERSION_HEADINGS, version_rows
from ..results.bundle import export
from ..results.collection import BundleFile, Collection, bundles_in, collect, list_bundles
from ..results.document import sort_out
from ..results.pseudonyms import Pseudonyms
from ..results.rescore import rescore
from ..results.run import Run
from .change import Change, change, counted, in_words, markdown_line
from .pages import ProtocolBoard, rows_of

NAMED = 5  # runs, where many could be named
TEXT = ".pull-request.md"  # ends the name of the text beside a bundle
MOST_IN_A_NAME = 3  # losses, or backbones


@dataclass(frozen=True)
class PullRequest:
    """What is handed in.

    bundle: the file to add. text: the file that holds its description. body: the description, Markdown. branch, title:
    of the request. title is also the message of the commit.
    """

    bundle: Path
    text: Path
    body: str
    branch: str
    title: str

    @property
    def commands(self) -> list[list[str]]:
        """What hands it in, from the root of a clone, in order."""
        return [
            ["git", "switch", "-c", self.branch],
            ["git", "add", "--", str(self.bundle)],
            ["git", "commit", "-m", self.title, "--", str(self.bundle)],
            ["git", "push", "-u", "origin", self.branch],
            ["gh", "pr", "create", "--title", self.title, "--body-file", str(self.text)],
        ]


def checked(runs: Sequence[Run], display: Display, *, synthetic: bool) -> list[Run]:
    """The runs, once they are found fit to be published.

    Raises:
        ResultsError: one is not finished or damaged, or of synthetic recordings where that was not said.
        FiguresDiffer: a stored figure does not follow from the predictions.
    """
    done, unfinished, damaged = sort_out(runs)
    if damaged:
        raise ResultsError("Damaged runs cannot be published.\n" + "\n".join(damaged.values()))
    if unfinished:
        raise ResultsError(
            f"{_named(unfinished)}: not finished. A board would not show that they are missing: finish them, or choose "
            "the runs to publish by name."
        )
    made_up = [run for run in done if run.data.synthetic]
    if made_up and not synthetic:
        raise ResultsError(
            f"{_named(made_up)}: of synthetic recordings, which say nothing about real lungs. Leave them out, or say "
            "--synthetic to publish them all the same."
        )
    found = rescore(done, display)
    if found.findings:
        raise FiguresDiffer("\n".join([*found.findings, "Make these runs again: they are not published so."]))
    return done


def _named(runs: Sequence[Run]) -> str:
    more = f" and {len(runs) - NAMED} more" if len(runs) > NAMED else ""
    return ", ".join(run.run_id for run in runs[:NAMED]) + more


def name_of(runs: Sequence[Run]) -> str:
    """A name for a bundle: its losses and backbones, or how many of them there are."""
    named = {
        "losses": dict.fromkeys(run.spec.loss.name for run in runs),
        "backbones": dict.fromkeys(run.data.backbone for run in runs),
    }
    parts = [
        "-".join(names) if len(names) <= MOST_IN_A_NAME else f"{len(names)}-{what}" for what, names in named.items()
    ]
    return re.sub(r"[^\w-]+", "-", "-".join(parts)).strip("-")


def prepare(
    runs: Sequence[Run],
    out: Path,
    made_by: str,
    pseudonyms: Pseudonyms | None,
    display: Display,
    *,
    write: bool = True,
) -> PullRequest:
    """Write the bundle of some runs, and the text of the request that brings it, beside the bundles of its folder.

    Args:
        runs: `checked` ones.
        out: the bundle; its folder holds those that are published already, if any.
        made_by: whose runs they are.
        pseudonyms: see `bundle.export`.
        display: told of progress.
        write: False tells what would be written, and leaves nothing behind.

    Raises ResultsError where `out` is there already, or a run of the same id is published with other predictions.
    """
    if out.exists():
        raise ResultsError(f"--out {out}: is there already. Name another bundle with --name, or delete it.")
    staged = out.with_name(f".{out.stem}.{os.getpid()}.zip")
    try:
        export(runs, staged, pseudonyms, display, made_by)
        fresh = BundleFile.of(staged, out.name)
        there = bundles_in(out.parent) if list_bundles(out.parent) else []
        before = collect(there, display) if there else None
        after = collect([*there, fresh], display)
        found = change(before, after, display)
        title = f"Results: {out.stem} by {made_by}"
        text = _description(fresh, after, found, anonymised=pseudonyms is not None)
        request = PullRequest(out, out.with_name(f"{out.stem}{TEXT}"), text, f"results/{out.stem}", title)
        if write:
            write_bytes(request.text, text.encode())
            staged.replace(out)
        return request
    finally:
        staged.unlink(missing_ok=True)


def _description(bundle: BundleFile, after: Collection, found: Change, *, anonymised: bool) -> str:
    """What the reviewer reads: what it is, what it changes, how it was made."""
    content = after.content_of(bundle)
    mine = [_of_runs(one, content.runs) for one in found.shown.every]
    rows = {(row.method, row.command.command): row for one in mine for row in rows_of(one, after)}
    environments = version_rows({run.run_id: run for run in after.runs if run.run_id in content.runs})
    lines = [
        f"{counted(content.runs)} by {in_markdown(content.made_by)}, in `{bundle.name}` ({bundle.size:,} bytes, sha256 "
        f"`{bundle.sha256}`).",
        *("", "## What it changes", "", in_words(found)),
        *("## Commands", ""),
    ]
    for row in rows.values():
        lines += [f"<details><summary>{in_markdown(row.method)}</summary>", ""]
        lines += ["```console", row.command.command, "```", "", f"{in_markdown(row.command.spec_file)}:", ""]
        lines += ["```json", row.command.spec, "```", "", "</details>", ""]
    lines += ["## Environment", "", markdown_line(VERSION_HEADINGS), markdown_line(["---"] * len(VERSION_HEADINGS))]
    lines += [*map(markdown_line, environments), "", "## Checklist", ""]
    lines += [
        "- [x] Every run is finished, and every figure follows from its predictions.",
        f"- [{'x' if anonymised else ' '}] Names of patients and recordings are replaced, or public already.",
        "- [ ] These are all runs that I made of these methods: none was left out for its Score.",
        "- [ ] What the weights were trained on is stated, as far as it is known.",
        "- [ ] The licence of the recordings allows their predictions to be published.",
    ]
    return "\n".join(lines) + "\n"


def _of_runs(one: ProtocolBoard, run_ids: Sequence[str]) -> ProtocolBoard:
    """The board, with none but these runs behind its rows."""
    runs = one.board.runs
    return replace(one, board=replace(one.board, runs=runs[runs["run_id"].isin(run_ids)]))


def check_can_open() -> None:
    """Raise SpecError where a request cannot be opened from here, before anything is computed."""
    for program, page in (("git", "https://git-scm.com"), ("gh", "https://cli.github.com")):
        if shutil.which(program) is None:
            raise SpecError(
                f"--open: there is no {program} here. Install it ({page}), or leave --open out and type the commands "
                "that are printed then."
            )
    if _told(["git", "rev-parse", "--show-toplevel"]).returncode:
        raise SpecError(f"--open: {Path.cwd()} is no clone of a repository. Go to the clone that shall get the bundle.")


def open_request(request: PullRequest) -> str:
    """Carry out the commands of a request. Returns what the last one printed, the address of the request.

    Raises ResultsError with the command that failed, why, and what is left to do.
    """
    for number, command in enumerate(request.commands):
        done = _told(command)
        if done.returncode:
            left = "\n".join(shlex.join(one) for one in request.commands[number:])
            why = (done.stderr or done.stdout).strip() or f"exit code {done.returncode}"
            raise ResultsError(f"{shlex.join(command)} failed: {why}\nMend that, and type what is left:\n{left}")
    return done.stdout.strip()


def _told(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False)


def own_name() -> str | None:
    """Who makes commits here, as git has it; None where it does not say."""
    if shutil.which("git") is None:
        return None
    return _told(["git", "config", "user.name"]).stdout.strip() or None
