"""`rsbench predict`."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..core.errors import SpecError
from ..core.plugins import prints_apart
from .options import (
    WIDTH_IN_A_PIPE,
    AtOption,
    DeviceOption,
    PluginOption,
    QuietOption,
    ResultsOption,
    RunArgument,
    SelectionOption,
    ThreadsOption,
    standard_output,
)

if TYPE_CHECKING:
    from ..core.display import PlainConsole
    from ..inference.prediction import Heard
    from ..results.trained_model import TrainedModel

EXAMPLES = """
[bold]Examples[/bold]

rsbench predict qlung-cnn6-s0 breath.wav

rsbench predict qlung-cnn6-s0 recordings/ --hop-s 4 --out predictions.csv

rsbench predict qlung-cnn6-s0 test2022_wav --annotations test2022_json/inter_test_json --format json

rsbench predict qlung-cnn6-s0 --card
"""


def predict(
    run: RunArgument,
    sounds: Annotated[
        list[Path] | None, typer.Argument(metavar="FILE…|FOLDER…", help="Recordings, and folders of recordings.")
    ] = None,
    results: ResultsOption = Path("results"),
    select: SelectionOption = None,
    at: AtOption = None,
    annotations: Annotated[
        str | None,
        typer.Option(metavar="FOLDER", help="Where annotations lie, or none. Default: beside each recording."),
    ] = None,
    hop_s: Annotated[
        float | None, typer.Option(min=0.01, help="Seconds from a window to the next. Default: a whole window.")
    ] = None,
    format_: Annotated[
        str | None, typer.Option("--format", help="table, md, csv, json or latex. Default: as --out ends, or table.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Write it there, and the model card beside it.")] = None,
    card: Annotated[bool, typer.Option("--card", help="Print the model card, and predict nothing.")] = False,
    plugin: PluginOption = None,
    device: DeviceOption = "auto",
    threads: ThreadsOption = None,
    quiet: QuietOption = False,
) -> None:
    """Class probabilities and quality of recordings, from a finished run. Research use. Not a medical device.

    Recordings with annotations (a clips.csv that lists them, a .txt as ICBHI has it, a .json as SPRSound has it) are
    cut into their clips, others into windows as long as the run's clips. The likeliest class is the one that is called
    at the operating point. A recording that cannot be read is named and left out; the exit code is then 1. One without
    sound, or with channels that cancel each other, is noted.
    """
    from ..core.display import Display, PlainConsole
    from ..core.files import write_bytes
    from ..report.card import model_card
    from ..report.tables.formats import known_format
    from ..results.run import Run

    form = format_ or (out.suffix.removeprefix(".") if out else "") or "table"
    known_format(form)
    chosen, display = Run.load(run, results).choice(select, at), Display(quiet=quiet)
    if card:
        standard_output().out(model_card(chosen, display), end="", highlight=False)
        return
    if not sounds:
        raise SpecError("Name recordings, or folders of them; or say --card.")
    from ..api.predict import hear  # which imports torch

    with prints_apart():
        heard = hear(chosen, sounds, annotations, hop_s, device, threads, display)
    if out and len(heard.rows):
        written = io.StringIO()
        _print(chosen, heard, form, PlainConsole(file=written, highlight=False, width=WIDTH_IN_A_PIPE))
        write_bytes(out, written.getvalue().encode())
        beside = out.with_suffix(".card.md")
        write_bytes(beside, model_card(chosen, display).encode())
        display.say(f"{len(heard.rows)} clips in {out}, the model card in {beside}")
    elif len(heard.rows):
        _print(chosen, heard, form, standard_output())
    for note in heard.notes:
        typer.echo(f"note: {note}", err=True)
    for message in heard.errors:
        Display().say(f"error: {message}")
    if heard.errors:
        raise typer.Exit(1)


def _print(choice: TrainedModel, heard: Heard, form: str, console: PlainConsole) -> None:
    from ..report.tables.formats import Sheet, print_sheets
    from ..report.tables.prediction import prediction_table

    # A csv has no place for what all rows share but the rows.
    frame = heard.rows.assign(**choice.about()) if form == "csv" else heard.rows
    print_sheets([Sheet(prediction_table(choice, heard.rows), frame, choice.about())], form, console)
