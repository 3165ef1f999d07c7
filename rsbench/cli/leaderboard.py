"""`rsbench leaderboard`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..core.errors import SpecError
from .options import OnlyOption, PluginOption, ResultsOption, rows_to_keep, standard_output

if TYPE_CHECKING:
    from ..boards.leaderboard import Board
    from ..report.tables.formats import Sheet
    from ..results.run import Run

EXAMPLES = """
[bold]Examples[/bold]

rsbench leaderboard --split icbhi-official

rsbench leaderboard --split icbhi-official,sprsound --baseline ce --figure differences.png

rsbench leaderboard --split icbhi-official --columns +recall,calibration

rsbench leaderboard --split icbhi-official --baseline quality.control=shuffled --claim auroc

rsbench leaderboard --split sprsound --by quality

rsbench leaderboard --split icbhi-official --published

rsbench leaderboard --split sprsound --format csv > board.csv
"""


def leaderboard(
    split: Annotated[str, typer.Option(help="Splits to rank on, with commas between; see: rsbench list splits.")],
    results: ResultsOption = Path("results"),
    select: Annotated[str, typer.Option(help="val, val-auroc, last, cv-refit or oracle.")] = "val",
    baseline: Annotated[
        str | None,
        typer.Option(
            metavar="LOSS|FIELD=VALUE",
            help="Compare the others with it, paired, each with the row alike in all else: ce, or weights=none.",
        ),
    ] = None,
    claim: Annotated[str, typer.Option(help="What verdicts and ranks are about: score or auroc.")] = "score",
    columns: Annotated[
        str | None,
        typer.Option(help="Columns with commas between; +NAME: beside the default ones. Groups: recall, calibration…"),
    ] = None,
    by: Annotated[str | None, typer.Option(help="Slices: device, class, patient, site, quality or length.")] = None,
    published: Annotated[bool, typer.Option("--published", help="Compare with published results.")] = False,
    summary: Annotated[bool, typer.Option("--summary", help="One Δ per loss over all backbones and splits.")] = False,
    only: OnlyOption = None,
    allow_mixed: Annotated[
        list[str] | None,
        typer.Option(metavar="COLUMN", help="Let rows differ in this column, which boards keep apart; repeatable."),
    ] = None,
    format_: Annotated[str, typer.Option("--format", help="table, md, csv or json.")] = "table",
    figure: Annotated[
        Path | None,
        typer.Option(help="Draw it (.png, .svg, .pdf): Scores; with --baseline differences, with --summary a forest."),
    ] = None,
    plugin: PluginOption = None,
) -> None:
    """Rank the runs on a split, with honest intervals, never mixing what does not belong together.

    --plugin is needed only for a split of a plugin that the runs were not tested on when they were made.
    """
    from ..boards.claims import Question, known_claim
    from ..boards.leaderboard import leaderboard as make_board
    from ..boards.leaderboard import with_shift
    from ..core.display import Display
    from ..report.tables.formats import known_format, known_picture, print_sheets
    from ..results.shipped import runs_to_show

    known_format(format_)
    known_picture(figure)
    if summary and baseline is None:
        raise SpecError("--summary: sums up differences; say from what with --baseline LOSS.")
    if by and published:
        raise SpecError("--by and --published are two tables: ask for one of them.")
    if columns and (by or published):
        raise SpecError("--columns: chooses a board's columns; slices and published results have their own.")
    chosen, names = rows_to_keep(only or []), [name.strip() for name in split.split(",")]
    question = Question(baseline, known_claim(claim), len(names))
    display = Display()
    runs = runs_to_show(results, display)
    boards = with_shift(
        [
            make_board(
                runs,
                name,
                select,
                chosen,
                mixed=tuple(dict.fromkeys(allow_mixed or ())),
                question=question,
                cache=results / ".index",
                display=display,
            )
            for name in names
        ]
    )
    if by:
        sheets = [_slices(runs, board, by) for board in boards]
    elif published:
        sheets = [_published(board) for board in boards]
    else:
        sheets = [_board(board, columns) for board in boards]
    if summary:
        sheets.append(_summary(boards))
    print_sheets(sheets, format_, standard_output())
    if figure:
        _draw(boards, figure, summary=summary)
        typer.echo(f"drawn in {figure}", err=True)


def _board(board: Board, columns: str | None) -> Sheet:
    from ..report.tables.board import board_table
    from ..report.tables.formats import Sheet

    about = {
        "split": board.split,
        "select": board.rule,
        **board.shared,
        "claim": board.question.claim.name,
        "aside": board.aside,
        "warnings": board.warnings,
    }
    frame = board.table.drop(columns=["study"]).assign(split=board.split, select=board.rule)
    return Sheet(board_table(board, columns), frame, about)


def _slices(runs: Sequence[Run], board: Board, by: str) -> Sheet:
    from ..boards.slices import by_method, slices
    from ..report.tables.formats import Sheet
    from ..report.tables.slices import slice_table

    best_first = {method: place for place, method in enumerate(board.table["method"])}
    ranked = board.runs.sort_values("method", key=lambda methods: methods.map(best_first))
    method_of = dict(zip(ranked["run_id"], ranked["method"], strict=True))
    of_board = [run for run in runs if run.run_id in method_of]
    frame = by_method(slices(of_board, board.split, board.rule, by), method_of)
    about = {"split": board.split, "select": board.rule, "by": by}
    title = f"{board.split} — {board.header}, at argmax"
    return Sheet(slice_table(frame, title, by), frame.assign(split=board.split, select=board.rule), about)


def _published(board: Board) -> Sheet:
    from ..boards.methods import ABSENT
    from ..boards.published import beside
    from ..report.tables.formats import Sheet
    from ..report.tables.published import published_table

    rows = board.table[(board.table["operating_point"] == "argmax") & (board.table["n_ok"] > 0)]
    own = rows.assign(
        **{name: rows[f"{name}_mean"] for name in ("sp", "se", "score")},
        weights=rows["pretrained"],
        n=rows["n_ok"],
        selection=rows["declared"].replace(ABSENT, board.rule) if "declared" in rows else board.rule,
        **{name: rows.get(name, board.shared.get(name)) for name in ("train_fraction", "partial", "synthetic")},
    )
    frame = beside(own, board.split)
    return Sheet(published_table(frame, board.split), frame.assign(split=board.split), {"split": board.split})


def _summary(boards: Sequence[Board]) -> Sheet:
    from ..boards.summary import studies, summarise
    from ..report.tables.formats import Sheet
    from ..report.tables.summary import summary_table

    frame = summarise(studies(boards))
    return Sheet(summary_table(frame, boards[0].question), frame, {"summary": "random effects"})


def _draw(boards: Sequence[Board], path: Path, *, summary: bool) -> None:
    from ..boards.summary import studies, summarise
    from ..report.figures.board import difference_figure, forest_figure, score_figure

    if summary:
        found = studies(boards)
        forest_figure(found.table, summarise(found), path, boards[0].question.claim)
    elif boards[0].baseline:
        difference_figure(boards, path)
    else:
        score_figure(boards, path)
