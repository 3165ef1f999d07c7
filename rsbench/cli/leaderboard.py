"""`rsbench leaderboard`."""

from __future__ import annotations

import contextlib
from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from ..core.errors import ResultsError, SpecError
from .options import (
    FontOption,
    FormatOption,
    NoProvenanceOption,
    OnlyOption,
    PluginOption,
    ResultsOption,
    TaskOption,
    WidthOption,
    figure_style,
    option,
    rows_to_keep,
    standard_output,
)

EXAMPLES = """
rsbench leaderboard --split icbhi-official
rsbench leaderboard --split icbhi-official,sprsound --baseline ce --figure differences.png
rsbench leaderboard --split icbhi-official --wide
rsbench leaderboard --columns help
rsbench leaderboard --split icbhi-official --columns +recall,calibration
rsbench leaderboard --split icbhi-official --baseline quality.control=shuffled --claim auroc
rsbench leaderboard --split sprsound --task sprsound-7 --columns +recall
rsbench leaderboard --split sprsound --by quality
rsbench leaderboard --split icbhi-official --published
rsbench leaderboard --split sprsound --format csv > board.csv

rsbench leaderboard --split sprsound --baseline ce --names names.yaml --format latex
"""


def leaderboard(
    split: Annotated[
        str | None, option("--split", " to rank on, with commas between; without it: which the runs have.")
    ] = None,
    results: ResultsOption = Path("results"),
    select: Annotated[str, option("--select", ": val, val-auroc, last, cv-refit or oracle.")] = "val",
    baseline: Annotated[
        str | None,
        option("--baseline", ", paired, each with the row alike in all else: ce, or weights=none."),
    ] = None,
    claim: Annotated[str, typer.Option(help="What verdicts and ranks are about: score or auroc.")] = "score",
    columns: Annotated[
        str | None,
        typer.Option(
            metavar="NAMES|help",
            help="These columns, with commas between; +NAME: beside the default ones; help: a list of all.",
        ),
    ] = None,
    wide: Annotated[
        bool, typer.Option("--wide", help="Sp, Se, AUROC, ranks, both operating points, and all that rows share.")
    ] = False,
    by: Annotated[
        str | None, option("--by", "device, class, patient, site, quality or length; a row per slice.")
    ] = None,
    published: Annotated[bool, typer.Option("--published", help="Compare with published results.")] = False,
    summary: Annotated[bool, typer.Option("--summary", help="One Δ per loss over all backbones and splits.")] = False,
    names: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="What tables and figures call methods: YAML METHOD: NAME, or a csv."),
    ] = None,
    task: TaskOption = None,
    only: OnlyOption = None,
    allow_mixed: Annotated[
        list[str] | None,
        typer.Option(metavar="COLUMN", help="Let rows differ in this column, which boards keep apart; repeatable."),
    ] = None,
    format_: FormatOption = "table",
    figure: Annotated[
        Path | None,
        option("--figure", " (.png, .svg, .pdf): Scores; with --baseline differences, with --summary a forest."),
    ] = None,
    width_cm: WidthOption = None,
    font: FontOption = None,
    no_provenance: NoProvenanceOption = False,
    plugin: PluginOption = None,
) -> None:
    """Rank the runs on a split, with honest intervals.

    What does not belong together is never mixed. --plugin is needed only for a split of a plugin that the runs were not
    tested on when they were made.
    """
    from ..api.leaderboard import leaderboard as make_leaderboard
    from ..core.spec import DEFAULT_TASK
    from ..data.tasks import task as task_named
    from ..report.tables.columns import columns_table
    from ..report.tables.formats import known_format, known_picture, print_sheets
    from ..report.tables.terminal import print_table

    known_format(format_)
    known_picture(figure)
    style = figure_style(figure, width_cm, font, provenance=not no_provenance)
    if columns == "help":
        print_table(columns_table(task_named(task or DEFAULT_TASK)), standard_output())
        return
    if split is None:
        raise SpecError(f"--split is missing. {_judged_on(results)}")
    found = make_leaderboard(
        split,
        results=results,
        select=select,
        baseline=baseline,
        claim=claim,
        columns=columns,
        wide=wide,
        by=by,
        published=published,
        summary=summary,
        names=names,
        only=rows_to_keep(only or [], task),
        allow_mixed=allow_mixed or (),
    )
    print_sheets(found.sheets, format_, standard_output())
    if figure and style:
        from ..report.figures.figure import write_figure

        write_figure(found.figure(), figure, style)
        typer.echo(f"drawn in {figure}", err=True)


def _judged_on(results: Path) -> str:
    """Which splits the runs of a folder were judged on, in a sentence."""
    from ..core.display import Display
    from ..results.shipped import runs_to_show

    counts: Counter[str] = Counter()
    for run in runs_to_show(results, Display()):
        with contextlib.suppress(ResultsError):  # a board will name it
            counts.update(run.spec.data.test if run.state == "done" else ())
    if not counts:
        return f"No run in {results} is finished yet."
    told = ", ".join(f"{name} ({count})" for name, count in counts.most_common())
    return f"Splits that runs in {results} were judged on, and how many: {told}."
