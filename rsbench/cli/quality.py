"""`rsbench quality`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..core.errors import ResultsError, SpecError, did_you_mean
from ..core.plugins import prints_apart
from .options import (
    A_RUN,
    DatasetOption,
    FormatOption,
    PartialOption,
    PluginOption,
    QuietOption,
    ResultsOption,
    RootOption,
    option,
    standard_output,
)

if TYPE_CHECKING:
    from ..core.display import Display
    from ..quality.assessment.questions import Findings
    from ..quality.index import QualityIndex
    from ..results.run import Run

LOSS = "loss"  # what --set names the loss by

EXAMPLES = """
rsbench quality --index aqs --dataset synthetic
rsbench quality --index aqs,rms --dataset icbhi,sprsound --root DATA --out quality/
rsbench quality 'ce-*' --index aqs --dataset sprsound --root DATA --set aqs.entropy=frames
rsbench quality --index mine --plugin my_index.py --dataset sprsound --root DATA --format csv > quality.csv
"""


def quality(
    runs: Annotated[
        list[str] | None,
        typer.Argument(metavar="RUN", help=f"Whose errors to order: {A_RUN}."),
    ] = None,
    *,
    index: Annotated[
        str, typer.Option(metavar="NAMES", help="Indices, with commas between; see: rsbench list indices.")
    ],
    dataset: DatasetOption,
    root: RootOption = None,
    partial: PartialOption = False,
    results: ResultsOption = Path("results"),
    loss: Annotated[str, option("--loss", " whose margins to show; see: rsbench list losses.")] = "qlung",
    clips: Annotated[int, typer.Option(min=1, metavar="N", help="Clean clips to degrade.")] = 200,
    set_: Annotated[
        list[str] | None,
        option("--set", " of an index, e.g. aqs.alpha=1, or of the loss, loss.OPTION=VALUE; repeatable."),
    ] = None,
    format_: FormatOption = "table",
    out: Annotated[Path | None, option("--out", " a csv per question and the figures into this folder.")] = None,
    plugin: PluginOption = None,
    quiet: QuietOption = False,
) -> None:
    """What indices of recording quality are worth.

    Do they find poor recordings, do they measure anything else, does it matter? Each is asked: AUC against recordings
    that annotators called Poor Quality, and against the diagnosis; what goes with it (class, device, site, rate,
    length); how it falls when clean clips are damaged; which margins a loss makes of it; and with runs whether it
    orders their errors within each class. Intervals are over new patients. Patients whom an index was fitted on are
    left out. What is measured is kept in the cache.
    """
    from ..core.display import Display
    from ..data.sources import Roots
    from ..quality.assessment.data import load_quality_data
    from ..quality.assessment.questions import Questions, examine
    from ..quality.assessment.selective import calls_of
    from ..quality.assessment.study import study_indices
    from ..report.tables.formats import known_format, print_sheets
    from ..report.tables.quality import sheets

    known_format(format_)
    options = _options(set_ or ())
    indices = _indices(_names(index), options)
    questions = Questions(loss, options.pop(LOSS, {}), clips)
    questions.check()
    datasets, roots, display = _names(dataset), Roots.parse(root or (), os.environ), Display(quiet=quiet)
    folders = _finished(results, runs) if runs else []
    # Whatever is wrong with the runs is told before anything is measured.
    calls = {name: calls_of(folders, name) if folders else None for name in datasets}
    found = []
    for name in datasets:
        data = load_quality_data(name, roots, display, partial=partial)
        with prints_apart():
            found.append(examine(study_indices(data, indices, display), questions, calls[name], display))
    print_sheets([sheet for one in found for sheet in sheets(one)], format_, standard_output())
    if out:
        _write(found, out, display)


def _names(text: str) -> list[str]:
    return list(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))


def _options(assignments: Sequence[str]) -> dict[str, dict[str, Any]]:
    """INDEX.OPTION=VALUE, and loss.OPTION=VALUE, as name → options. Raises SpecError for another form."""
    from ..core.spec import parse_assignment

    options: dict[str, dict[str, Any]] = {}
    for text in assignments:
        key, value = parse_assignment(text)
        name, dot, option = key.partition(".")
        if not (dot and option):
            raise SpecError(f"--set {text}: write INDEX.OPTION=VALUE or loss.OPTION=VALUE, e.g. --set aqs.alpha=1.")
        options.setdefault(name, {})[option] = value
    return options


def _indices(names: Sequence[str], options: dict[str, dict[str, Any]]) -> dict[str, QualityIndex]:
    """The indices by name. Raises SpecError where one is unknown, or an option belongs to none of them."""
    from ..quality.index import create_quality

    indices = {name: create_quality(name, **options.get(name, {})) for name in names}
    for name in options:
        if name not in (*indices, LOSS):
            known = " nor ".join([LOSS, *indices])
            raise SpecError(f"--set {name}.…: '{name}' is neither {known}.{did_you_mean(name, [LOSS, *indices])}")
    return indices


def _finished(results: Path, patterns: Sequence[str]) -> list[Run]:
    """The runs that are done. Raises ResultsError where none is."""
    from ..results.run import chosen_runs

    runs = [run for run in chosen_runs(results, patterns) if run.state == "done"]
    if not runs:
        raise ResultsError(f"{results}: none of these runs is finished: {', '.join(patterns)}.")
    return runs


def _write(found: Sequence[Findings], out: Path, display: Display) -> None:
    """A csv per question with the rows of all data sets, and the figures."""
    import pandas as pd

    from ..core.files import write_csv
    from ..report.figures.quality import draw

    questions = dict.fromkeys(name for one in found for name in one.answers)
    for name in questions:
        rows = [one.answers[name] for one in found if name in one.answers]
        write_csv(out / f"{name}.csv", pd.concat(rows, ignore_index=True))
    for one in found:
        draw(one, out)
    display.say(f"{', '.join(f'{name}.csv' for name in questions)} and the figures are in {out}")
