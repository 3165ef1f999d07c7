"""`rsbench cite`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from .options import (
    ResultsOption,
    RunsArgument,
    option,
    standard_output,
)

EXAMPLES = """
rsbench cite qlung-cnn6-s0 > references.bib
rsbench cite ce-ast-s0 qlung-ast-s0
rsbench cite my_margin-cnn6-s0 --plugin my_loss.py
"""


def cite(
    runs: RunsArgument,
    results: ResultsOption = Path("results"),
    plugin: Annotated[
        list[str] | None,
        option("--plugin", " with a .bib file beside it; repeatable."),
    ] = None,
) -> None:
    """BibTeX for everything that runs use.

    rsbench, losses, backbones, their weights, and the recordings. References of a plugin are read from the .bib file
    beside it: my_loss.bib for my_loss.py. A comment above each entry says what it belongs to, for example: % loss
    my_margin
    """
    from ..report.cite import bibliography
    from ..results.run import as_written, chosen_runs

    found = chosen_runs(results, runs)
    with as_written(*found):
        text = bibliography(found, plugin or ())
    standard_output().out(text, end="", highlight=False)
