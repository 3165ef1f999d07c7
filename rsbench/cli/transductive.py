"""`rsbench transductive`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from .options import (
    FormatOption,
    OnlyOption,
    PluginOption,
    ResultsOption,
    TaskOption,
    option,
    rows_to_keep,
    standard_output,
)

EXAMPLES = """
rsbench run --loss ce,qlung --backbone cnn6 --seeds 0-4 --train icbhi-official --test sprsound
rsbench transductive --split sprsound
rsbench transductive --split sprsound --only loss=ce --format csv
"""


def transductive(
    split: Annotated[str, option("--split", ", with commas between; see: rsbench list splits.")],
    results: ResultsOption = Path("results"),
    select: Annotated[str, option("--select", ": val, val-auroc, last or cv-refit.")] = "val",
    task: TaskOption = None,
    only: OnlyOption = None,
    format_: FormatOption = "table",
    plugin: PluginOption = None,
) -> None:
    """What looking at all test clips, without labels, gains.

    All are looked at before any is called. Takes finished runs with validation patients. The offset that is best on the
    test labels stands beside, as ORACLE.
    """
    from ..boards.transductive import transductive as make_board
    from ..core.display import Display
    from ..report.tables.formats import Sheet, known_format, print_sheets
    from ..report.tables.transductive import transductive_table
    from ..results.shipped import runs_to_show

    known_format(format_)
    chosen = rows_to_keep(only or [], task)
    display, cache = Display(), results / ".index"
    runs = runs_to_show(results, display)
    found = [make_board(runs, name.strip(), select, chosen, cache=cache, display=display) for name in split.split(",")]
    sheets = [
        Sheet(
            transductive_table(one),
            one.table.assign(split=one.split),
            {"split": one.split, "select": one.rule, **one.shared, "warnings": one.warnings},
        )
        for one in found
    ]
    print_sheets(sheets, format_, standard_output())
