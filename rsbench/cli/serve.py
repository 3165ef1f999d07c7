"""`rsbench serve`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .options import PluginOption, ResultsOption
from .report import AudioOption, BaselineOption, RecordingsOption, recordings_of

EXAMPLES = """
rsbench serve
rsbench serve --results results --baseline ce --port 8080
rsbench serve --root ~/recordings --audio
"""


def serve(
    results: ResultsOption = Path("results"),
    port: Annotated[
        int,
        typer.Option(
            min=0, max=65535, metavar="N", help="Of this machine, which nobody else reaches; 0: any that is free."
        ),
    ] = 8000,
    baseline: BaselineOption = None,
    root: RecordingsOption = None,
    audio: AudioOption = False,
    plugin: PluginOption = None,
) -> None:
    """Show the page of rsbench report in a browser.

    It is made again when runs begin or end. An open page asks every five seconds and loads anew only when it says
    something else. Ctrl-C ends it.
    """
    import tempfile

    from ..core.display import Display
    from ..report.page.page import write_report
    from ..report.page.server import LiveReport, ReportServer
    from ..results.shipped import runs_to_show

    recordings, display = recordings_of(root, audio), Display()
    quiet = Display(quiet=True)
    runs_to_show(results, display)  # a folder without runs is a word misspelt: said now, not in the page
    with tempfile.TemporaryDirectory() as folder:
        report = LiveReport(
            lambda: runs_to_show(results, quiet),
            lambda runs, page: write_report(
                runs, page, baseline=baseline, cache=results / ".index", recordings=recordings, display=display
            ),
            Path(folder),
            display.say,
        )
        with ReportServer(report, port) as server:
            typer.echo(f"{server.url} shows {results}; Ctrl-C ends it")
            server.serve_forever()
