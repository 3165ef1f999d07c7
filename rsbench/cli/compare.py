"""`rsbench compare`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from .options import Format, ResultsOption, RunArgument, standard_output

EXAMPLES = """
[bold]Examples[/bold]

rsbench compare ce-cnn6-s0 qlung-cnn6-s0

rsbench compare ce-ast-s0 qlung-ast-s0 --split sprsound

rsbench compare ce-cnn6-s0 ce-cnn6-s1 --format json > pair.json
"""


def compare(
    first: RunArgument,
    second: RunArgument,
    results: ResultsOption = Path("results"),
    split: Annotated[str | None, typer.Option(help="One split. Default: all on which both were judged.")] = None,
    format_: Annotated[Format, typer.Option("--format", help="Tables, or everything as JSON.")] = Format.table,
) -> None:
    """Two finished runs: in what they differ, and the paired difference on the same clips.

    The intervals are over new patients, for these two trained models; to compare methods over seeds, use a leaderboard.
    Runs that were judged on other clips, labels or sound are refused, with the reason.
    """
    from ..api.compare import compare as compare_runs
    from ..report.tables.formats import print_sheets

    compared = compare_runs(first, second, results=results, split=split)
    found = compared.found
    console = standard_output()
    if format_ is Format.json:
        ascii_only = not console.encoding.startswith("utf")
        console.out(json.dumps(found.document(), indent=1, ensure_ascii=ascii_only, allow_nan=False), highlight=False)
    else:
        print_sheets(compared.sheets, "table", console)
