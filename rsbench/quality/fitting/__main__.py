"""`python -m rsbench.quality.fitting NAME`: write the file of a learned index, or of the reference recordings."""

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
from ..reference import FILE, QualityReference
from .recipes import fit_learned, fit_learned_icbhi
from .reference import measure_reference

Recipe = Callable[[Roots, bool, Display], FittedModel | QualityReference]

# What makes each file, and where it is read.
RECIPES: dict[str, tuple[Recipe, Path]] = {
    "learned": (fit_learned, fitted_file("learned")),
    "learned_icbhi": (fit_learned_icbhi, fitted_file("learned_icbhi")),
    "reference": (measure_reference, FILE),
}

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def fit(
    name: Annotated[str, typer.Argument(help=f"Which file: {', '.join(RECIPES)}.")],
    root: Annotated[
        list[str] | None, typer.Option(help="Folder of recordings, or NAME=DIR (default: RSBENCH_DATA).")
    ] = None,
    partial: Annotated[bool, typer.Option(help="Accept an incomplete data set; the file says so.")] = False,
    out: Annotated[Path | None, typer.Option(help="Where to write (default: where it is read).")] = None,
) -> None:
    """Fit a learned index, or measure the reference recordings. Equal recordings and libraries give equal files.

    Example: python -m rsbench.quality.fitting learned --root ~/recordings
    """
    try:
        if name not in RECIPES:
            raise SpecError(f"There is no learned index '{name}'.{did_you_mean(name, RECIPES)}")
        make, usual = RECIPES[name]
        path = out or usual
        made = make(Roots.parse(root or [], os.environ), partial, Display())
        path.write_text(made.as_json(), encoding="utf-8")
    except RsbenchError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(error.exit_code) from None
    typer.echo(path)


if __name__ == "__main__":
    app(prog_name="python -m rsbench.quality.fitting")
