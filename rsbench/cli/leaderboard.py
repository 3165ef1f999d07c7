"""`rsbench leaderboard`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .options import PluginOption, standard_output


def leaderboard(
    split: Annotated[str, typer.Option(help="Splits to rank on, with commas between; see: rsbench list splits.")],
    results: Annotated[Path, typer.Option(help="Folder that holds runs/.")] = Path("results"),
    select: Annotated[str, typer.Option(help="val, last, cv-refit or oracle.")] = "val",
    only: Annotated[
        list[str] | None,
        typer.Option(metavar="FIELD=VALUE", help="Keep rows whose field begins so, e.g. loss=qlung; repeatable."),
    ] = None,
    figure: Annotated[Path | None, typer.Option(help="Draw the Scores of all seeds too (.png, .svg, .pdf).")] = None,
    plugin: PluginOption = None,
) -> None:
    """Rank the runs on a split: mean ± sd over seeds, never mixing what does not belong together.

    A plugin is needed only for a split of its own on which the runs were not judged when they were made.
    """
    from ..boards.leaderboard import leaderboard as make_board
    from ..boards.tables import board_table
    from ..plugins import load
    from ..results.store import run_folders
    from ..spec import parse_assignment

    for name in plugin or ():
        load(name)
    chosen = {key: str(value) for key, value in map(parse_assignment, only or [])}
    folders = run_folders(results)
    boards = [make_board(folders, name.strip(), select, chosen) for name in split.split(",")]
    for board in boards:
        standard_output().print(board_table(board))
    if figure:
        from ..boards.figures import score_figure

        score_figure(boards, figure)
        typer.echo(f"drawn in {figure}")
