"""`rsbench data`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..core.errors import SpecError, did_you_mean
from .help import HelpfulCommand, HelpfulGroup, examples
from .options import (
    DatasetOption,
    DryRunOption,
    FontOption,
    NoProvenanceOption,
    PartialOption,
    PluginOption,
    QuietOption,
    RootOption,
    WidthOption,
    figure_style,
    option,
    standard_output,
)

if TYPE_CHECKING:
    import pandas as pd

    from ..core.display import Display
    from ..data.check import DataCheck
    from ..data.sources import Roots
    from ..report.figures.figure import FigureStyle


app = typer.Typer(
    cls=HelpfulGroup, help="Fetch recordings, and look at them before training on them.", no_args_is_help=True
)

EXAMPLES = """
rsbench data clips --root DATA --dataset icbhi,sprsound --out clips.parquet
"""

NAMES = """
rsbench data names sprsound
rsbench data names sprsound --missing --root DATA
"""

GETS = """
rsbench data get icbhi --root DATA --dry-run
rsbench data get icbhi sprsound --root DATA --yes
"""

CHECKS = """
rsbench data check --root DATA --dataset sprsound
rsbench data check --root DATA --dataset icbhi --by device
rsbench data check visits/ --quality --figure worst.png
"""


@app.command(cls=HelpfulCommand, epilog=examples(GETS))
def get(
    datasets: Annotated[list[str], typer.Argument(metavar="NAME", help="Data sets; see: rsbench list datasets.")],
    root: Annotated[Path | None, option("--root", "; made if need be. Default: RSBENCH_DATA.")] = None,
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


@app.command(cls=HelpfulCommand, epilog=examples(CHECKS))
def check(
    folders: Annotated[
        list[Path] | None,
        typer.Argument(metavar="FOLDER", help="Folders of recordings without annotations, with --quality."),
    ] = None,
    root: RootOption = None,
    dataset: Annotated[str | None, option("--dataset", ". Default: all that are there.")] = None,
    partial: PartialOption = False,
    quality: Annotated[
        bool, typer.Option("--quality", help="The worst recordings, and why: silence, clipping, noise, band limit.")
    ] = False,
    worst: Annotated[int, typer.Option(min=1, metavar="N", help="How many of them, with --quality.")] = 10,
    figure: Annotated[
        Path | None,
        option("--figure", " (.png, .svg, .pdf): their spectrograms, or one each into a folder."),
    ] = None,
    width_cm: WidthOption = None,
    font: FontOption = None,
    no_provenance: NoProvenanceOption = False,
    by: Annotated[
        str | None,
        option("--by", "device, site, patient, rate, length or level (RMS): how much of a Score could it explain?"),
    ] = None,
    plugin: PluginOption = None,
    quiet: QuietOption = False,
) -> None:
    """Compare recordings with the official counts.

    Annotations too; exit code 1 when something is missing or broken. With --quality also which recordings are the
    worst, and why; then a FOLDER of recordings will do.
    """
    from ..core.display import Display
    from ..data.check import check as check_table
    from ..data.sources import load_table
    from ..evaluation.nuisance import NUISANCES, explained
    from ..report.tables.data import render, render_explained

    if by is not None and by not in NUISANCES:
        raise SpecError(f"--by {by}: there is no such nuisance.{did_you_mean(by, NUISANCES)}")
    _refuse_unmeant(folders, dataset, quality, figure)
    style = figure_style(figure, width_cm, font, provenance=not no_provenance)
    console, display = standard_output(), Display(quiet=quiet)
    if folders:
        broken = [_show_faults(str(folder), _below(folder), worst, figure, display, style) for folder in folders]
        raise typer.Exit(1 if any(broken) else 0)
    roots = _roots(root, plugin)
    sound = True
    for name in names_of(dataset) or roots.present():
        found = check_table(load_table(name, roots, partial=True))
        render(found, console)
        if quality:
            _show_faults(name, [Path(path) for path in found.table.recordings["path"]], worst, figure, display, style)
        if by:
            clips = _with_level(found) if by == "level" else found.clips
            render_explained(explained(clips, found.rules, by), by, console)
        sound &= not found.broken if partial else found.ok
    if not sound:
        raise typer.Exit(1)


def names_of(listed: str | None) -> list[str]:
    """The names that were typed with commas between; none where nothing was."""
    return [name.strip() for name in listed.split(",")] if listed else []


def _refuse_unmeant(folders: list[Path] | None, dataset: str | None, quality: bool, figure: Path | None) -> None:
    """Raise SpecError for options of `check` that do not belong together."""
    from ..report.tables.formats import known_picture

    if folders and not quality:
        raise SpecError(f"{folders[0]}: of a folder without annotations nothing can be counted. Say --quality.")
    if folders and dataset:
        raise SpecError("Name folders, or data sets with --dataset; not both.")
    if figure and not quality:
        raise SpecError(f"--figure {figure}: pictures are of the worst recordings. Say --quality.")
    if figure and figure.suffix and not figure.is_dir():
        known_picture(figure)
        if len(folders or names_of(dataset)) != 1:
            raise SpecError(
                f"--figure {figure}: is a page of one data set or folder. Name one, or a folder of pictures."
            )


def _below(folder: Path) -> list[Path]:
    """The recordings of a folder and all folders below it. Raises DataError where there is none."""
    from ..core.errors import DataError
    from ..data.layout import folders_below, recordings_in, where_recordings_lie

    found = [path for place in folders_below(folder) for path in recordings_in(place)] if folder.is_dir() else []
    if not found:
        raise DataError(f"{folder}: {where_recordings_lie(folder) if folder.is_dir() else 'there is no such folder.'}")
    return found


def _show_faults(
    name: str, paths: list[Path], worst: int, figure: Path | None, display: Display, style: FigureStyle | None
) -> bool:
    """Measure recordings, print the worst and draw them; whether one cannot be read."""
    from ..quality.faults import find_faults
    from ..report.tables.faults import render_faults

    with display.track(f"measuring {name}", len(paths)) as advance:
        found = find_faults(paths, advance)
    render_faults(name, found, worst, standard_output())
    if figure:
        from ..report.figures.faults import write_fault_figures

        write_fault_figures(name, found, worst, figure, display, style)
    return bool(found.errors)


@app.command(cls=HelpfulCommand, epilog=examples(NAMES))
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


@app.command(cls=HelpfulCommand, epilog=examples(EXAMPLES))
def clips(
    dataset: DatasetOption,
    out: Annotated[Path, option("--out", " the list there: a .csv or a .parquet.")],
    task: Annotated[str, option("--task", " whose classes are listed; see: rsbench list tasks.")] = "icbhi-4",
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
