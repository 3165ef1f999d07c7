"""`rsbench data`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .options import PartialOption, PluginOption, RootOption, standard_output

if TYPE_CHECKING:
    from ..data.sources import Roots


app = typer.Typer(help="Look at recordings before training on them.", no_args_is_help=True)

EXAMPLES = """
[bold]Example[/bold]

rsbench data clips --root DATA --data icbhi,sprsound --out clips.parquet
"""


@app.command()
def check(
    root: RootOption = None,
    dataset: Annotated[list[str] | None, typer.Option(help="Only this data set; repeatable.")] = None,
    partial: PartialOption = False,
    plugin: PluginOption = None,
) -> None:
    """Compare recordings and annotations with the official counts; exit with 1 when something is missing or broken."""
    from ..data.check import check as check_table
    from ..data.clips import label_map
    from ..data.sources import load_table
    from ..report.tables.data import render

    roots = _roots(root, plugin)
    console = standard_output()
    sound = True
    for name in dataset or roots.present():
        found = check_table(load_table(name, roots, partial=True), label_map("four-class"))
        render(found, console)
        sound &= not found.broken if partial else found.ok
    if not sound:
        raise typer.Exit(1)


@app.command(epilog=EXAMPLES)
def clips(
    data: Annotated[str, typer.Option(help="Data sets, with commas between; see: rsbench list datasets.")],
    out: Annotated[Path, typer.Option(help="Where the list goes: a .csv or a .parquet.")],
    root: RootOption = None,
    partial: PartialOption = False,
    plugin: PluginOption = None,
) -> None:
    """Write the list of clips for a program of your own: what to cut, from which file.

    A row per clip: dataset, clip_id, recording, path, start_s, end_s, label, class, patient, device, location, subset.
    """
    from ..core.display import Display
    from ..data.clip_list import check_ending, clip_list, write_list
    from ..data.sources import load_table

    check_ending(out)
    roots = _roots(root, plugin)
    tables = [load_table(name.strip(), roots, partial=partial) for name in data.split(",")]
    found = clip_list(tables, Display())
    write_list(out, found)
    typer.echo(f"{len(found)} clips in {out}")


def _roots(root: list[str] | None, plugin: list[str] | None) -> Roots:
    """Where recordings lie, once plugins have brought their data sets."""
    import os

    from ..data.sources import Roots

    return Roots.parse(root or (), os.environ)
