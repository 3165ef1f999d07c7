"""`rsbench data`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..core.errors import SpecError, did_you_mean
from .options import PartialOption, PluginOption, RootOption, standard_output

if TYPE_CHECKING:
    import pandas as pd

    from ..data.check import DataCheck
    from ..data.sources import Roots


app = typer.Typer(help="Look at recordings before training on them.", no_args_is_help=True)

EXAMPLES = """
[bold]Example[/bold]

rsbench data clips --root DATA --data icbhi,sprsound --out clips.parquet
"""

CHECKS = """
[bold]Examples[/bold]

rsbench data check --root DATA --dataset sprsound

rsbench data check --root DATA --dataset icbhi --by device
"""


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


@app.command(epilog=EXAMPLES)
def clips(
    data: Annotated[str, typer.Option(help="Data sets, with commas between; see: rsbench list datasets.")],
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
    tables = [at_level(load_table(name.strip(), roots, partial=partial), of.level) for name in data.split(",")]
    found = clip_list(tables, Display(), of)
    write_list(out, found)
    typer.echo(f"{len(found)} clips in {out}")


def _with_level(found: DataCheck) -> pd.DataFrame:
    """The clips of a data set with level_db, the RMS of each one's own samples in dB of full scale."""
    from ..data.hashing import content_hashes
    from ..data.identity import bytes_id
    from ..quality.index import create_quality, measure_clips

    recordings = found.clips.drop_duplicates("recording")
    hashes = content_hashes(found.table.dataset, map(Path, recordings["path"]))
    contents = dict(zip(recordings["recording"], hashes, strict=True))
    return found.clips.assign(level_db=measure_clips(create_quality("rms"), found.clips, bytes_id(contents))[:, 0])


def _roots(root: list[str] | None, plugin: list[str] | None) -> Roots:
    """Where recordings lie, once plugins have brought their data sets."""
    import os

    from ..data.sources import Roots

    return Roots.parse(root or (), os.environ)
