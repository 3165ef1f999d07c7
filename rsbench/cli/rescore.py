"""`rsbench rescore`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..core.errors import FiguresDiffer, ResultsError
from ..results.places import results_folder
from .options import ChosenRunsArgument, PluginOption, option, standard_output

EXAMPLES = """
rsbench rescore
rsbench rescore --results alice.zip 'qlung-*'
"""


def rescore(
    runs: ChosenRunsArgument = None,
    results: Annotated[Path, option("--results", ", a bundle, or public.", parser=results_folder)] = Path("results"),
    plugin: PluginOption = None,
) -> None:
    """Compute every figure of finished runs again.

    It takes their predictions; exit code 1 where a stored figure differs. Neither audio nor a model is needed. Splits
    of a plugin need --plugin.
    """
    from ..core.display import Display
    from ..results.bundle import opened
    from ..results.rescore import rescore as score_again
    from ..results.run import chosen_runs

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
