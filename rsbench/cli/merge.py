"""`rsbench merge`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .options import PluginOption, ResultsToWriteOption, option, standard_output

NAMED = 5  # runs of one outcome

EXAMPLES = """
rsbench merge gpu1/results gpu2/results
rsbench merge alice.zip --from alice --results board
"""


def merge(
    sources: Annotated[list[Path], typer.Argument(metavar="DIR|BUNDLE.zip", help="Results folders and bundles.")],
    results: ResultsToWriteOption = Path("results"),
    name: Annotated[str | None, option("--from", ". Default: the name of each bundle.")] = None,
    plugin: PluginOption = None,
) -> None:
    """Bring runs of several people or machines together.

    Into the folder that --results names; where each came from is recorded.

    The same id with the same predictions is one run; made again by somebody else it is confirmed, and boards say
    re-run instead of self-reported. Other predictions under one id are a conflict, and so are figures that do not
    follow from the predictions: all are named, nothing is copied. A finished run replaces an unfinished one.
    Checkpoints are not copied. The same command again finishes a merge that was stopped. Splits of a plugin need
    --plugin. A damaged run is named and left out; the exit code is then 1.
    """
    from ..core.display import Display
    from ..results.merge import merge as merge_runs

    display = Display()
    done = merge_runs(sources, results, name, display)
    for outcome, runs in done.outcomes.items():
        if runs:
            more = f" and {len(runs) - NAMED} more" if len(runs) > NAMED else ""
            standard_output().out(f"{len(runs)} {outcome}: {', '.join(runs[:NAMED])}{more}", highlight=False)
    for line in done.damaged:
        display.say(f"left out: {line}")
    if done.damaged:
        raise typer.Exit(1)
