"""`rsbench report`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..core.errors import SpecError
from .options import (
    PluginOption,
    ResultsOption,
    option,
)

if TYPE_CHECKING:
    from ..report.page.explorer import Recordings

EXAMPLES = """
rsbench report
rsbench report --results results --out margins.html --baseline ce
rsbench report --root ~/recordings --audio
"""

BaselineOption = Annotated[
    str | None,
    option("--baseline", ", paired. Default: ce, where it is."),
]
RecordingsOption = Annotated[
    list[str] | None,
    option("--root", ", or NAME=DIR for one: shows the worst errors."),
]
AudioOption = Annotated[bool, option("--audio", "; needs --root.")]


def report(
    results: ResultsOption = Path("results"),
    out: Annotated[Path, option("--out", " the page there; its figures go to <out>_figures/.")] = Path("report.html"),
    baseline: BaselineOption = None,
    root: RecordingsOption = None,
    audio: AudioOption = False,
    plugin: PluginOption = None,
) -> None:
    """Write one self-contained page on all runs of a folder.

    Boards, figures, worst errors, commands. Runs that share no board stand in groups of their own. With --root the
    worst errors are shown as spectrograms.
    """
    from ..core.display import Display
    from ..report.page.page import write_report
    from ..results.shipped import runs_to_show

    recordings, display = recordings_of(root, audio), Display()
    figures = write_report(
        runs_to_show(results, display),
        out,
        baseline=baseline,
        cache=results / ".index",
        recordings=recordings,
        display=display,
    )
    typer.echo(f"{out} (figures in {figures})")


def recordings_of(root: list[str] | None, audio: bool) -> Recordings | None:
    """Where the worst errors are looked up, from what was typed. Raises SpecError."""
    from ..data.sources import Roots
    from ..report.page.explorer import Recordings

    if audio and not root:
        raise SpecError("--audio: say where the recordings are with --root DIR.")
    return Recordings(Roots.parse(root, {}), audio) if root else None
