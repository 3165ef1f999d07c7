"""`rsbench show`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .options import FormatOption, ResultsOption, RunsArgument, standard_output

if TYPE_CHECKING:
    from rich.table import Table

    from ..core.display import PlainConsole

EXAMPLES = """
rsbench show qlung-cnn6-s0
rsbench show 'qlung-cnn6-*' --format csv > figures.csv
rsbench show results/runs/ce-cnn6-s0-0d33a1c2b4 --all
rsbench show qlung-cnn6-s0 --format json > run.json
"""


def show(
    runs: RunsArgument,
    results: ResultsOption = Path("results"),
    everything: Annotated[
        bool, typer.Option("--all", help="Every field of the spec, and details under every selection rule.")
    ] = False,
    format_: FormatOption = "table",
) -> None:
    """What runs were, how they learnt, what came out of them.

    Unfinished and failed runs are shown too, as far as they got. A csv has Sp, Se and Score, a row per rule, split and
    operating point; JSON has everything of a run, or of several a list.
    """
    import pandas as pd

    from ..report.tables.formats import Sheet, known_format, print_sheets
    from ..report.tables.run import run_tables
    from ..report.tables.runs import runs_sheet
    from ..results.document import document
    from ..results.run import as_written, chosen_runs

    known_format(format_)
    chosen, console = chosen_runs(results, runs), standard_output()
    if format_ == "csv":
        print_sheets([runs_sheet(chosen)], format_, console)
        return
    documents: list[dict[str, Any]] = []
    tables: list[Table] = []
    for run in chosen:
        with as_written(run):
            documents.append(document(run))
            tables += run_tables(documents[-1], everything=everything)
    if format_ == "json":
        _print_json(documents if len(documents) > 1 else documents[0], console)
    else:
        print_sheets([Sheet(table, pd.DataFrame()) for table in tables], format_, console)


def _print_json(content: Any, console: PlainConsole) -> None:
    ascii_only = not console.encoding.startswith("utf")
    console.out(json.dumps(content, indent=1, ensure_ascii=ascii_only, allow_nan=False), highlight=False)
