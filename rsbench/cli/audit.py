"""`rsbench audit`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

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
rsbench run --loss ce,qlung --backbone cnn6 --seeds 0-9 --select val,last,oracle
rsbench audit --split synthetic-test --figure audit.png
rsbench audit --split icbhi-official --baseline ce --format md
"""


def audit(
    split: Annotated[str, option("--split", ", with commas between; see: rsbench list splits.")],
    results: ResultsOption = Path("results"),
    baseline: Annotated[str | None, option("--baseline", " under each rule.")] = None,
    task: TaskOption = None,
    only: OnlyOption = None,
    format_: FormatOption = "table",
    figure: Annotated[Path | None, option("--figure", " (.png, .svg, .pdf), for the first split.")] = None,
    width_cm: WidthOption = None,
    font: FontOption = None,
    no_provenance: NoProvenanceOption = False,
    plugin: PluginOption = None,
) -> None:
    """What choosing the epoch on test adds to a Score.

    The epoch that is best on test, beside the one that is best on validation, and the last. Takes runs that kept all
    three, made with --select val,last,oracle.
    """
    from ..boards.audit import audit as make_audit
    from ..core.display import Display
    from ..report.tables.audit import audit_table
    from ..report.tables.formats import Sheet, known_format, known_picture, print_sheets
    from ..results.shipped import runs_to_show

    known_format(format_)
    known_picture(figure)
    style = figure_style(figure, width_cm, font, provenance=not no_provenance)
    chosen = rows_to_keep(only or [], task)
    display, cache = Display(), results / ".index"
    runs = runs_to_show(results, display)
    found = [
        make_audit(runs, name.strip(), chosen, baseline=baseline, cache=cache, display=display)
        for name in split.split(",")
    ]
    sheets = [
        Sheet(
            audit_table(one),
            one.table.assign(split=one.split),
            {"split": one.split, **one.shared, "warnings": one.warnings},
        )
        for one in found
    ]
    print_sheets(sheets, format_, standard_output())
    if figure and style:
        from ..report.figures.board import audit_figure
        from ..report.figures.figure import write_figure

        write_figure(audit_figure(found[0]), figure, style)
        typer.echo(f"drawn in {figure}", err=True)
