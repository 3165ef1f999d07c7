"""`rsbench data`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..core.errors import SpecError, did_you_mean
from .options import DryRunOption, PartialOption, PluginOption, QuietOption, RootOption, standard_output

if TYPE_CHECKING:
    import pandas as pd

    from ..data.check import DataCheck
    from ..data.sources import Roots


app = typer.Typer(help="Fetch recordings, and look at them before training on them.", no_args_is_help=True)

EXAMPLES = """
[bold]Example[/bold]

rsbench data clips --root DATA --dataset icbhi,sprsound --out clips.parquet
"""

NAMES = """
[bold]Examples[/bold]

rsbench data names sprsound

rsbench data names sprsound --missing --root DATA
"""

GETS = """
[bold]Examples[/bold]

rsbench data get icbhi --root DATA --dry-run

rsbench data get icbhi sprsound --root DATA --yes
"""

CHECKS = """
[bold]Examples[/bold]

rsbench data check --root DATA --dataset sprsound

rsbench data check --root DATA --dataset icbhi --by device
"""


@app.command(epilog=GETS)
def get(
    datasets: Annotated[list[str], typer.Argument(metavar="NAME", help="Data sets; see: rsbench list datasets.")],
    root: Annotated[
        Path | None, typer.Option(help="Gets a folder per data set; made if need be. Default: RSBENCH_DATA.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask: I keep to the licences.")] = False,
    dry_run: DryRunOption = False,
    plugin: PluginOption = None,
    quiet: QuietOption = False,
) -> None:
    """Fetch published recordings: shows licence and citation, asks, downloads, unpacks and checks every recording.

    What was stopped goes on where it was. TLS is always checked. An archive that you put there by hand is used.
    Exit code 1 when what lies there is not all that was published; 2 when it cannot be fetched, with what to do.
    """
    import os

    from ..core.display import Display
    from ..core.plugins import discover_datasets
    from ..data.datasets import home
    from ..data.fetching import complete, fetch, publication_of
    from ..report.cite import reference
    from ..report.tables.data import render_fetched, render_publication

    discover_datasets()
    target = root or (Path(os.environ["RSBENCH_DATA"]) if os.environ.get("RSBENCH_DATA") else None)
    if target is None:
        raise SpecError("--root is missing: say where the recordings shall lie, or set RSBENCH_DATA.")
    folders = {name: target.expanduser() / home(name) for name in dict.fromkeys(datasets)}
    console = standard_output()
    for name, folder in folders.items():
        render_publication(name, publication_of(name), folder, reference("dataset", name, plugin or ()), console)
        console.print("It is there: nothing has to be fetched." if complete(name, folder) else "It is not there yet.")
    if dry_run:
        return
    if not (yes or all(complete(name, folder) for name, folder in folders.items())):
        _ask()
    whole = True
    for name, folder in folders.items():
        found = fetch(name, folder, Display(quiet=quiet))
        render_fetched(found, console)
        whole &= found.ok
    if not whole:
        raise typer.Exit(1)


def _ask() -> None:
    """Go on if the answer is yes. Raises SpecError where nobody can answer."""
    if not sys.stdin.isatty():
        raise SpecError(
            "data get asks before it fetches, and nobody can answer here. Say --yes if you keep to the licences."
        )
    typer.confirm("Fetch, and keep to these licences?", abort=True)


@app.command(epilog=CHECKS)
def check(
    root: RootOption = None,
    dataset: Annotated[list[str] | None, typer.Option(help="Only this data set; repeatable.")] = None,
    partial: PartialOption = False,
    by: Annotated[
        str | None,
        typer.Option(
            help="How much of a Score could it alone explain: device, site, patient, rate, length or level (RMS)?"
        ),
    ] = None,
    plugin: PluginOption = None,
) -> None:
    """Compare recordings and annotations with the official counts; exit with 1 when something is missing or broken."""
    from ..data.check import check as check_table
    from ..data.sources import load_table
    from ..evaluation.nuisance import NUISANCES, explained
    from ..report.tables.data import render, render_explained

    if by is not None and by not in NUISANCES:
        raise SpecError(f"--by {by}: there is no such nuisance.{did_you_mean(by, NUISANCES)}")
    roots = _roots(root, plugin)
    console = standard_output()
    sound = True
    for name in dataset or roots.present():
        found = check_table(load_table(name, roots, partial=True))
        render(found, console)
        if by:
            clips = _with_level(found) if by == "level" else found.clips
            render_explained(explained(clips, found.rules, by), by, console)
        sound &= not found.broken if partial else found.ok
    if not sound:
        raise typer.Exit(1)


@app.command(epilog=NAMES)
def names(
    dataset: Annotated[str, typer.Argument(metavar="NAME", help="Data set; see: rsbench list datasets.")],
    missing: Annotated[bool, typer.Option("--missing", help="Only those that your folder lacks.")] = False,
    root: RootOption = None,
    plugin: PluginOption = None,
) -> None:
    """List the recordings that were published, a name a line, or those that your folder lacks."""
    from ..data.catalogue import catalogue, catalogued
    from ..data.sources import load_table

    if missing:
        listed = load_table(dataset, _roots(root, plugin), partial=True).missing
    else:
        published = catalogue(dataset)
        if published is None:
            raise SpecError(
                f"{dataset}: the names of its recordings are not known here.{did_you_mean(dataset, catalogued())}"
            )
        listed = tuple(published.index)
    for name in listed:
        typer.echo(name)


@app.command(epilog=EXAMPLES)
def clips(
    dataset: Annotated[str, typer.Option(help="Data sets, with commas between; see: rsbench list datasets.")],
    out: Annotated[Path, typer.Option(help="Where the list goes: a .csv or a .parquet.")],
    task: Annotated[str, typer.Option(help="Whose classes are listed; see: rsbench list tasks.")] = "icbhi-4",
    root: RootOption = None,
    partial: PartialOption = False,
    plugin: PluginOption = None,
) -> None:
    """Write the list of clips for a program of your own: what to cut, from which file.

    A row per clip: dataset, clip_id, recording, path, start_s, end_s, label, class, patient, device, location, subset.
    """
    from ..core.display import Display
    from ..data.clip_list import check_ending, clip_list, write_list
    from ..data.levels import at_level
    from ..data.sources import load_table
    from ..data.tasks import task as task_named

    check_ending(out)
    roots = _roots(root, plugin)
    of = task_named(task)
    tables = [at_level(load_table(name.strip(), roots, partial=partial), of.level) for name in dataset.split(",")]
    found = clip_list(tables, Display(), of)
    write_list(out, found)
    typer.echo(f"{len(found)} clips in {out}")


def _with_level(found: DataCheck) -> pd.DataFrame:
    """The clips of a data set with level_db, the RMS of each one's own samples in dB of full scale."""
    from ..data.hashing import content_hashes
    from ..data.identity import bytes_id
    from ..quality.index import create_quality
    from ..quality.measuring import measure_clips

    recordings = found.clips.drop_duplicates("recording")
    hashes = content_hashes(found.table.dataset, map(Path, recordings["path"]))
    contents = dict(zip(recordings["recording"], hashes, strict=True))
    return found.clips.assign(level_db=measure_clips(create_quality("rms"), found.clips, bytes_id(contents))[:, 0])


def _roots(root: list[str] | None, plugin: list[str] | None) -> Roots:
    """Where recordings lie, once plugins have brought their data sets."""
    import os

    from ..data.sources import Roots

    return Roots.parse(root or (), os.environ)
