"""`rsbench cite`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .options import ResultsOption, standard_output

EXAMPLES = """
[bold]Examples[/bold]

rsbench cite qlung-cnn6-s0 > references.bib

rsbench cite ce-ast-s0 qlung-ast-s0

rsbench cite my_margin-cnn6-s0 --plugin my_loss.py
"""


def cite(
    runs: Annotated[list[str], typer.Argument(metavar="RUN…", help="Ids, their beginnings, or folders of runs.")],
    results: ResultsOption = Path("results"),
    plugin: Annotated[
        list[str] | None,
        typer.Option("--plugin", help="A plugin whose references stand in a .bib beside it; repeatable."),
    ] = None,
) -> None:
    """BibTeX for all that some runs rest on: rsbench, losses, backbones, their weights, and the recordings.

    Those of a plugin are read from the .bib beside it: my_loss.bib for my_loss.py.
    Above each of its entries a line says what it is of, for example: % loss my_margin
    """
    from ..report.cite import bibliography
    from ..results.run import Run, as_written

    found = [Run.load(name, results) for name in runs]
    with as_written(*found):
        text = bibliography(found, plugin or ())
    standard_output().out(text, end="", highlight=False)
