"""`rsbench compare`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

from ..core.errors import ResultsError
from .options import FormatOption, ResultsOption, RunsArgument, option, standard_output

EXAMPLES = """
rsbench compare ce-cnn6-s0 qlung-cnn6-s0
rsbench compare '*-cnn6-s0-*'
rsbench compare ce-ast-s0 qlung-ast-s0 --split sprsound
rsbench compare ce-cnn6-s0 ce-cnn6-s1 --format json > pair.json
"""


def compare(
    runs: RunsArgument,
    results: ResultsOption = Path("results"),
    split: Annotated[
        str | None, option("--split", ", with commas between. Default: all on which both were judged.")
    ] = None,
    format_: FormatOption = "table",
) -> None:
    """Two finished runs: how they differ, paired on the same clips.

    The intervals are over new patients, for these two trained models; to compare methods over seeds, use a leaderboard.
    Runs that were judged on other clips, labels or sound are refused, with the reason.
    """
    from ..api.compare import compare as compare_runs
    from ..report.tables.formats import known_format, print_sheets
    from ..results.folders import in_few_words
    from ..results.run import chosen_runs

    known_format(format_)
    chosen = [run for word in runs for run in chosen_runs(results, [word])]
    if len(chosen) != 2:
        meant = in_few_words([run.path for run in chosen])
        raise ResultsError(f"compare takes two runs, and {' '.join(runs)} means {len(chosen)}: {meant}.")
    compared = compare_runs(*chosen, split=split)
    console = standard_output()
    if format_ == "json":
        ascii_only = not console.encoding.startswith("utf")
        document = compared.found.document()
        console.out(json.dumps(document, indent=1, ensure_ascii=ascii_only, allow_nan=False), highlight=False)
    else:
        print_sheets(compared.sheets, format_, console)
