"""`rsbench predict`."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from ..core.errors import SpecError
from ..core.plugins import prints_apart
from .options import (
    WIDTH_IN_A_PIPE,
    AtOption,
    DeviceOption,
    FontOption,
    NoProvenanceOption,
    PluginOption,
    QuietOption,
    ResultsOption,
    RunArgument,
    SelectionOption,
    ThreadsOption,
    WidthOption,
    YesSyntheticOption,
    figure_style,
    option,
    standard_output,
)

if TYPE_CHECKING:
    from ..api.predict import PredictedClips
    from ..core.display import Display, PlainConsole
    from ..inference.pooled import Per

EXAMPLES = """
rsbench predict qlung-cnn6-s0 breath.wav --figure breath.png
rsbench predict qlung-cnn6-s0 recordings/ --hop-s 4 --out predictions.csv
rsbench predict qlung-cnn6-s0 recordings/ --per patient --patients patients.csv
rsbench predict qlung-cnn6-s0 test2022_wav --annotations test2022_json/inter_test_json --format json
rsbench predict qlung-cnn6-s0 --card
"""


def predict(
    run: RunArgument,
    sounds: Annotated[
        list[Path] | None, typer.Argument(metavar="FILE|FOLDER", help="Recordings, and folders of recordings.")
    ] = None,
    per: Annotated[str, typer.Option(metavar="clip|recording|patient", help="What a row is of.")] = "clip",
    patients: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="A csv with the columns path and patient, for --per patient. Default: clips.csv, or the names.",
        ),
    ] = None,
    results: ResultsOption = Path("results"),
    select: SelectionOption = None,
    at: AtOption = None,
    annotations: Annotated[
        str | None,
        typer.Option(metavar="FOLDER", help="Where annotations lie, or none. Default: beside each recording."),
    ] = None,
    hop_s: Annotated[
        float | None,
        typer.Option(min=0.01, metavar="SECONDS", help="Seconds from a window to the next. Default: a whole window."),
    ] = None,
    format_: Annotated[str | None, option("--format", ". Default: as --out ends, or table.")] = None,
    out: Annotated[Path | None, option("--out", " it there, and the model card beside it.")] = None,
    figure: Annotated[
        Path | None,
        option("--figure", " (.png, .svg, .pdf): spectrogram and calls over time; of many, into a folder."),
    ] = None,
    width_cm: WidthOption = None,
    font: FontOption = None,
    no_provenance: NoProvenanceOption = False,
    card: Annotated[bool, typer.Option("--card", help="Print the model card, and predict nothing.")] = False,
    yes_synthetic: YesSyntheticOption = False,
    plugin: PluginOption = None,
    device: DeviceOption = "auto",
    threads: ThreadsOption = None,
    quiet: QuietOption = False,
) -> None:
    """Class probabilities and quality of recordings.

    From the model of a finished run. Research use. Not a medical device.

    Recordings with annotations (a clips.csv that lists them, a .txt as ICBHI has it, a .json as SPRSound has it) are
    cut into their clips, others into windows as long as the run's clips. The likeliest class is the one that is called
    at the operating point. A recording that cannot be read is named and left out; the exit code is then 1. One without
    sound, with channels that cancel each other, or with silence, clipping, noise or a band limit is noted.

    Per recording: the mean log-probability of its clips. Per patient: that of the recordings, each pooled so.
    """
    from ..core.display import Display
    from ..report.card import model_card
    from ..report.tables.formats import known_format
    from ..results.run import Run

    form = format_ or (out.suffix.removeprefix(".") if out else "") or "table"
    known_format(form)
    style = figure_style(figure, width_cm, font, provenance=not no_provenance)
    chosen, display = Run.load(run, results).choice(select, at), Display(quiet=quiet)
    if card:
        standard_output().out(model_card(chosen, display), end="", highlight=False)
        return
    if not sounds:
        raise SpecError("Name recordings, or folders of them; or say --card.")
    from ..api.predict import PredictedClips, hear, known_per, plan  # which imports torch
    from ..inference.classifier import refuse_synthetic
    from ..report.figures.recording import figure_files, write_recording_figures

    known_per(per)
    refuse_synthetic(chosen, accepted=yes_synthetic)
    planned = plan(chosen, sounds, annotations, patients, hop_s, cast("Per", per))
    files = figure_files(figure, [recording.path for recording in planned.recordings]) if figure else {}
    with prints_apart():
        heard = hear(chosen, planned, device, threads, display)
    found = PredictedClips(chosen, heard, cast("Per", per))
    if len(heard.rows):
        _hand_out(found, form, out, display)
        write_recording_figures(found.model, heard.rows, found.about["quality_scale"], files, display, style)
    for note in heard.notes:
        typer.echo(f"note: {note}", err=True)
    for message in heard.errors:
        Display().say(f"error: {message}")
    if heard.errors:
        raise typer.Exit(1)


def _hand_out(found: PredictedClips, form: str, out: Path | None, display: Display) -> None:
    """Print the rows, or write them and the model card."""
    from ..core.display import PlainConsole
    from ..core.files import write_bytes
    from ..report.card import model_card

    if out is None:
        _print(found, form, standard_output())
        return
    written = io.StringIO()
    _print(found, form, PlainConsole(file=written, highlight=False, width=WIDTH_IN_A_PIPE))
    write_bytes(out, written.getvalue().encode())
    beside = out.with_suffix(".card.md")
    write_bytes(beside, model_card(found.model, display).encode())
    display.say(f"{len(found.rows)} {found.per}s in {out}, the model card in {beside}")


def _print(found: PredictedClips, form: str, console: PlainConsole) -> None:
    from ..report.tables.formats import Sheet, print_sheets

    (sheet,) = found.sheets
    # A csv has no place for what all rows share but the rows.
    frame = sheet.frame.assign(**sheet.about) if form == "csv" else sheet.frame
    print_sheets([Sheet(sheet.table, frame, sheet.about)], form, console)
