"""`rsbench show`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from .options import Format, ResultsOption, RunArgument, standard_output

EXAMPLES = """
[bold]Examples[/bold]

rsbench show qlung-cnn6-s0

rsbench show results/runs/ce-cnn6-s0-0d33a1c2b4 --all

rsbench show qlung-cnn6-s0 --format json > run.json
"""


def show(
    run: RunArgument,
    results: ResultsOption = Path("results"),
    everything: Annotated[
        bool, typer.Option("--all", help="Every field of the spec, and details under every selection rule.")
    ] = False,
    format_: Annotated[Format, typer.Option("--format", help="A table, or everything as JSON.")] = Format.table,
) -> None:
    """One run: what it was, how it learnt, what came out, where it lies, what it cost.

    Unfinished and failed runs are shown too, as far as they got.
    """
    from ..report.tables.formats import print_table
    from ..report.tables.run import run_tables
    from ..results.document import document
    from ..results.run import Run, as_written

    shown, console = Run.load(run, results), standard_output()
    with as_written(shown):
        known = document(shown)
        tables = list(run_tables(known, everything=everything))
    if format_ is Format.json:
        ascii_only = not console.encoding.startswith("utf")
        console.out(json.dumps(known, indent=1, ensure_ascii=ascii_only, allow_nan=False), highlight=False)
    else:
        for table in tables:
            print_table(table, console)
