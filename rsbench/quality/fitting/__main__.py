"""`python -m rsbench.quality.fitting NAME`: fit a learned quality index and write the file that it reads."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from ...core.display import Display
from ...core.errors import RsbenchError, SpecError, did_you_mean
from ...data.sources import Roots
from ..indices.learned import FittedModel, fitted_file
from .recipes import fit_learned, fit_learned_icbhi

RECIPES: dict[str, Callable[[Roots, bool, Display], FittedModel]] = {
    "learned": fit_learned,
    "learned_icbhi": fit_learned_icbhi,
}

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def fit(
    name: Annotated[str, typer.Argument(help=f"Which index: {', '.join(RECIPES)}.")],
    root: Annotated[
        list[str] | None, typer.Option(help="Folder of recordings, or NAME=DIR (default: RSBENCH_DATA).")
    ] = None,
    partial: Annotated[bool, typer.Option(help="Accept an incomplete data set; the file says so.")] = False,
    out: Annotated[Path | None, typer.Option(help="Where to write (default: where the index reads).")] = None,
) -> None:
    """Fit a learned quality index. The same recordings and libraries give the same file.

    Example: python -m rsbench.quality.fitting learned --root ~/recordings
    """
    try:
        if name not in RECIPES:
            raise SpecError(f"There is no learned index '{name}'.{did_you_mean(name, RECIPES)}")
        path = out or fitted_file(name)
        model = RECIPES[name](Roots.parse(root or [], os.environ), partial, Display())
        path.write_text(model.as_json(), encoding="utf-8")
    except RsbenchError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(error.exit_code) from None
    typer.echo(path)


if __name__ == "__main__":
    app(prog_name="python -m rsbench.quality.fitting")
