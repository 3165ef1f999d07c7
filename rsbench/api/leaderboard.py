"""Leaderboards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..boards.claims import Question, known_claim
from ..boards.columns import columns_of
from ..boards.leaderboard import Board, with_shift
from ..boards.leaderboard import leaderboard as make_board
from ..boards.methods import ABSENT
from ..boards.names import read_names, renamed, unknown_names
from ..core.display import Display
from ..core.errors import SpecError
from ..core.plugins import load
from ..data.tasks import ICBHI_4
from ..report.tables.board import alike_rows, best_row, board_table, in_a_paper
from ..report.tables.formats import Sheet
from ..results.places import results_to_read
from ..results.run import Run
from ..results.shipped import runs_to_show
from .result import Result

if TYPE_CHECKING:
    import pandas as pd

    from ..report.figures.figure import ReportFigure


@dataclass(frozen=True, repr=False)
class Leaderboard(Result):
    """Boards of one question, one per split.

    Attributes:
        boards: with their figures, their runs and what a reader should know; see `rsbench.boards.leaderboard.Board`.
        tables: as they are printed.
        summary: whether they were summed up too.
    """

    boards: Sequence[Board]
    tables: Sequence[Sheet]
    summary: bool
    names: Mapping[str, str] = field(default_factory=dict, kw_only=True)

    @property
    def sheets(self) -> Sequence[Sheet]:
        return self.tables

    def figure(self) -> ReportFigure:
        """Scores; with a baseline the differences from it, with a summary a forest."""
        from ..report.figures.board import difference_figure, forest_figure, score_figure

        boards = [renamed(board, self.names) for board in self.boards]
        if self.summary:
            from ..boards.summary import studies, summarise

            found = studies(boards)
            return forest_figure(found.table, summarise(found), boards[0].question.claim)
        return difference_figure(boards) if boards[0].baseline else score_figure(boards)


def leaderboard(  # noqa: PLR0913 (all that a board can be asked)
    split: str | Sequence[str],
    *,
    results: str | Path = "results",
    select: str = "val",
    baseline: str | None = None,
    claim: str = "score",
    columns: str | None = None,
    wide: bool = False,
    by: str | None = None,
    published: bool = False,
    summary: bool = False,
    names: str | Path | None = None,
    only: Mapping[str, Any] | None = None,
    allow_mixed: Sequence[str] = (),
    plugins: Sequence[str] = (),
    quiet: bool = False,
) -> Leaderboard:
    """Rank the runs of a folder on splits, as `rsbench leaderboard` does.

    >>> board = rsbench.leaderboard("icbhi-official,sprsound", baseline="ce")
    >>> board.figure().savefig("differences.pdf")

    Args:
        split: one or several, with commas between.
        results: the folder that holds runs/; a bundle; or "public", all that was pulled.
        select: whose epochs: "val", "val-auroc", "last", "cv-refit" or "oracle".
        baseline: a loss, or "FIELD=VALUE": the others are compared with it, paired.
        claim: what verdicts and ranks are about, "score" or "auroc".
        columns: names with commas between in place of the default ones; "+NAMES": beside them.
        wide: both operating points, Sp, Se, AUROC and ranks too, and all that rows share.
        by: slices in place of boards: "device", "class", "patient", "site", "quality" or "length".
        published: published results beside the rows.
        summary: with a baseline, one difference per loss over all boards too.
        names: a YAML or csv file, method → what tables and figures call it; a frame, csv and JSON keep their names.
        only: field → value; rows without it are left out.
        allow_mixed: columns that boards keep apart, and in which rows may differ here.
        plugins: files or modules that bring splits on which the runs were not tested when they were made.
        quiet: say nothing on standard error.

    Raises RsbenchError: SpecError for what there is not, ResultsError where rows must not stand on one board.
    """
    if summary and baseline is None:
        raise SpecError("--summary: sums up differences; say from what with --baseline LOSS.")
    if by and published:
        raise SpecError("--by and --published are two tables: ask for one of them.")
    if names and (by or published):
        raise SpecError("--names: is for boards; slices and published results have the names of their rows.")
    if (columns or wide) and (by or published):
        option = "--columns" if columns else "--wide"
        raise SpecError(f"{option}: chooses a board's columns; slices and published results have their own.")
    for plugin in plugins:
        load(plugin)
    called = read_names(Path(names)) if names else {}
    splits = [name.strip() for name in (split.split(",") if isinstance(split, str) else split)]
    question = Question(baseline, known_claim(claim), len(splits))
    chosen = {field: str(value) for field, value in (only or {}).items()}
    display, folder = Display(quiet=quiet), results_to_read(results)
    runs = runs_to_show(folder, display)
    boards = with_shift(
        [
            make_board(
                runs,
                name,
                select,
                chosen,
                mixed=tuple(dict.fromkeys(allow_mixed)),
                question=question,
                cache=folder / ".index",
                display=display,
            )
            for name in splits
        ]
    )
    for note in unknown_names(boards, called):
        display.say(note)
    if by:
        sheets = [_slices(runs, board, by) for board in boards]
    elif published:
        sheets = [_published(board) for board in boards]
    else:
        sheets = [board_sheet(board, columns, wide=wide, names=called) for board in boards]
    if summary:
        sheets.append(_summary(boards, called))
    return Leaderboard(boards, sheets, summary, names=called)


def board_sheet(
    board: Board, asked: str | None = None, *, wide: bool = False, names: Mapping[str, str] | None = None
) -> Sheet:
    """A board to print; asked, wide: see `boards.columns.columns_of`; names: method → what its table calls it."""
    columns, shown = columns_of(board, asked, wide=wide), renamed(board, names or {})
    about = {
        "split": board.split,
        "select": board.rule,
        **board.shared,
        "claim": board.question.claim.name,
        "aside": board.aside,
        "warnings": board.warnings,
    }
    frame = board.table.drop(columns=["study"]).assign(split=board.split, select=board.rule)
    return Sheet(
        board_table(shown, asked, wide=wide),
        frame,
        about,
        fit=partial(board_table, shown, asked, wide=wide),
        caption=in_a_paper(shown, columns),
        best=best_row(board),
        best_in=board.question.claim.heading,
        alike=alike_rows(board, columns),
    )


def _slices(runs: Sequence[Run], board: Board, by: str) -> Sheet:
    from ..boards.slices import by_method, slices
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
    from ..boards.published import beside
    from ..report.tables.published import published_table

    if board.task != ICBHI_4:
        raise SpecError(
            f"--published: the published results are of '{ICBHI_4.name}', and this board is of '{board.task.name}'. "
            "Leave it out, or choose the other task with --task."
        )
    frame = beside(own_rows(board), board.split)
    return Sheet(published_table(frame, board.split), frame.assign(split=board.split), {"split": board.split})


def own_rows(board: Board) -> pd.DataFrame:
    """The rows of a board at argmax, as `boards.published.beside` takes them."""
    rows = board.table[(board.table["operating_point"] == "argmax") & (board.table["n_ok"] > 0)]
    return rows.assign(
        **{name: rows[f"{name}_mean"] for name in ("sp", "se", "score")},
        weights=rows["pretrained"],
        n=rows["n_ok"],
        selection=rows["declared"].replace(ABSENT, board.rule) if "declared" in rows else board.rule,
        **{name: rows.get(name, board.shared.get(name)) for name in ("train_fraction", "partial", "synthetic")},
    )


def _summary(boards: Sequence[Board], names: Mapping[str, str]) -> Sheet:
    from ..boards.summary import studies, summarise
    from ..report.tables.summary import summary_table

    frame = summarise(studies(boards))
    shown = frame.assign(loss=frame["loss"].map(lambda loss: names.get(loss, loss)))
    table = summary_table(shown, renamed(boards[0], names).question)
    return Sheet(table, frame, {"summary": "random effects"})
