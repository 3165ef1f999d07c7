"""`rsbench rescore`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..core.errors import FiguresDiffer, ResultsError
from .options import ChosenRunsArgument, PluginOption, results_place, standard_output

EXAMPLES = """
[bold]Examples[/bold]

rsbench rescore

rsbench rescore --results alice.zip 'qlung-*'
"""


def rescore(
    runs: ChosenRunsArgument = None,
    results: Annotated[
        Path, typer.Option(parser=results_place, metavar="DIR", help="Folder that holds runs/, a bundle, or public.")
    ] = Path("results"),
    plugin: PluginOption = None,
) -> None:
    """Compute every figure of finished runs again from their predictions; exit with 1 where a stored one differs.

    Neither audio nor a model is needed. Splits of a plugin need --plugin.
    """
    from ..core.display import Display
    from ..results.bundle import chosen_runs, opened
    from ..results.rescore import rescore as score_again

    with opened(results) as (folder, _):
        found = score_again(chosen_runs(folder, runs or ()), Display())
        findings = [line.replace(str(folder), str(results)) for line in found.findings]  # a zip lies unpacked elsewhere
    if not found.runs:
        raise ResultsError(f"{results}: none of these runs is finished, so there is nothing to score again.")
    for line in findings:
        standard_output().out(line, highlight=False)
    counted = f"{found.figures:,} figures of {found.runs} runs"
    if findings:
        raise FiguresDiffer(f"{counted}: the {len(findings)} lines above say what differs or is damaged.")
    typer.echo(f"{counted} follow from the stored predictions")
