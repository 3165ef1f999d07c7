"""`rsbench report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..core.errors import SpecError
from .options import (
    PluginOption,
    ResultsOption,
    option,
)

EXAMPLES = """
rsbench report
rsbench report --results results --out margins.html --baseline ce
rsbench report --root ~/recordings --audio
"""


def report(
    results: ResultsOption = Path("results"),
    out: Annotated[Path, option("--out", " the page there; its figures go to <out>_figures/.")] = Path("report.html"),
    baseline: Annotated[
        str | None,
        option("--baseline", ", paired. Default: ce, where it is."),
    ] = None,
    root: Annotated[
        list[str] | None,
        option("--root", ", or NAME=DIR for one: shows the worst errors."),
    ] = None,
    audio: Annotated[
        bool, typer.Option("--audio", help="Put the sound of the worst errors into the page; needs --root.")
    ] = False,
    plugin: PluginOption = None,
) -> None:
    """Write one self-contained page on all runs of a folder.

    Boards, figures, worst errors, commands. Runs that share no board stand in groups of their own. With --root the
    worst errors are shown as spectrograms.
    """
    from ..core.display import Display
    from ..data.sources import Roots
    from ..report.page.explorer import Recordings
    from ..report.page.page import write_report
    from ..results.shipped import runs_to_show

    if audio and not root:
        raise SpecError("--audio: say where the recordings are with --root DIR.")
    display = Display()
    figures = write_report(
        runs_to_show(results, display),
        out,
        baseline=baseline,
        cache=results / ".index",
        recordings=Recordings(Roots.parse(root, {}), audio) if root else None,
        display=display,
    )
    typer.echo(f"{out} (figures in {figures})")
