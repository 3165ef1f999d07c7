"""`rsbench score`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .options import PartialOption, PluginOption, QuietOption, RootOption, standard_output

EXAMPLES = """
[bold]Examples[/bold]

rsbench score preds.csv --split icbhi-official --method BTS --select test-best --seed 1 --root DATA

rsbench score preds.npz --split icbhi-official --method HeAR --select val --validation val.npz --root DATA

rsbench score preds.parquet --split sprsound,sprsound-inter --train icbhi-official --method BTS --select unknown
"""


def score(
    predictions: Annotated[Path, typer.Argument(metavar="FILE", help="A .csv, .parquet or .npz with a row per clip.")],
    split: Annotated[str, typer.Option(help="Test splits, with commas between; see: rsbench list splits.")],
    method: Annotated[str, typer.Option(help="What boards call it, one word.")],
    select: Annotated[str, typer.Option(help="How its epoch was chosen: test-best, val, last or unknown.")],
    seed: Annotated[int, typer.Option(min=0, help="Which of its trainings; one command for each.")] = 0,
    train: Annotated[
        str | None, typer.Option(help="The split that was trained on. Default: the first of --split.")
    ] = None,
    validation: Annotated[
        Path | None,
        typer.Option(help="Predictions of training patients that were kept apart: for val-bias and temperature."),
    ] = None,
    pretrained_on: Annotated[
        str, typer.Option(help="What its weights had learnt from, with commas between; none for random ones.")
    ] = "unknown",
    out: Annotated[Path, typer.Option(help="Folder that holds runs/.")] = Path("results"),
    task: Annotated[str, typer.Option(help="What the predictions tell apart; see: rsbench list tasks.")] = "icbhi-4",
    root: RootOption = None,
    partial: PartialOption = False,
    plugin: PluginOption = None,
    quiet: QuietOption = False,
) -> None:
    """Judge predictions that another program made: they become a row like that of a run.

    Columns: clip_id as rsbench data clips lists it, and p_CLASS or logit_CLASS for every class of the task, or
    called. Every test clip once. Labels come from the data set. Boards say what was declared, and rank no row whose
    epoch was chosen otherwise than theirs.
    """
    import os

    from ..core.display import Display
    from ..data.sources import Roots
    from ..experiment.context import DataCache
    from ..experiment.score import Declared, score_file
    from ..report.tables.board import run_table
    from ..report.tables.formats import print_table

    fitted_on = tuple(name.strip() for name in pretrained_on.split(",") if name.strip() not in ("", "none"))
    data_cache = DataCache(Roots.parse(root or (), os.environ), partial=partial, display=Display(quiet=quiet))
    tests = [name.strip() for name in split.split(",")]
    declared = Declared(method, select, seed, fitted_on, task)
    run = score_file(predictions, declared, tests, train, validation, out, data_cache)
    print_table(run_table({method: [run.metrics]}, run.spec.data.test, run.spec.select), standard_output())
    typer.echo(f"kept in {run.path}")
