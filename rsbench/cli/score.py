"""`rsbench score`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..core.errors import SpecError
from .options import PartialOption, PluginOption, QuietOption, ResultsToWriteOption, RootOption, option, standard_output

EXAMPLES = """
rsbench score preds.csv --test icbhi-official --method BTS --select test-best --seeds 1 --root DATA
rsbench score preds-s*.csv --test icbhi-official --method BTS --select test-best --seeds 0-4 --root DATA
rsbench score preds.npz --test icbhi-official --method HeAR --select val --validation val.npz --root DATA
rsbench score preds.parquet --test sprsound,sprsound-inter --train icbhi-official --method BTS --select unknown
"""


def score(
    predictions: Annotated[
        list[Path],
        typer.Argument(metavar="FILE", help="A .csv, .parquet or .npz with a row per clip; one for each seed."),
    ],
    test: Annotated[str, option("--test", "; see: rsbench list splits.")],
    method: Annotated[str, typer.Option(metavar="NAME", help="What boards call it, one word.")],
    select: Annotated[str, option("--select", " of the predictions: test-best, val, last or unknown.")],
    seeds: Annotated[str, option("--seeds", "; which trainings the files are of, in their order.")] = "0",
    train: Annotated[str | None, option("--train", " by its model. Default: the first of --test.")] = None,
    validation: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE",
            help="Predictions of training patients kept apart, for val-bias and temperature: one per FILE; repeatable.",
        ),
    ] = None,
    pretrained_on: Annotated[
        str,
        typer.Option(
            metavar="NAMES", help="What its weights had learnt from, with commas between; none for random ones."
        ),
    ] = "unknown",
    results: ResultsToWriteOption = Path("results"),
    task: Annotated[str, option("--task", " of the predictions; see: rsbench list tasks.")] = "icbhi-4",
    root: RootOption = None,
    partial: PartialOption = False,
    plugin: PluginOption = None,
    quiet: QuietOption = False,
) -> None:
    """Judge predictions that another program made.

    They become a row like that of a run. Columns: clip_id as rsbench data clips lists it, and p_CLASS or logit_CLASS
    for every class of the task, or called. Every test clip once. Labels come from the data set. Boards say what was
    declared, and rank no row whose epoch was chosen otherwise than theirs.
    """
    import os

    from ..core.display import Display
    from ..core.spec import parse_seeds
    from ..data.sources import Roots
    from ..experiment.context import DataCache
    from ..experiment.score import Declared, pretraining, score_predictions
    from ..report.tables.board import run_table
    from ..report.tables.terminal import print_table

    numbers, count = parse_seeds(seeds), len(predictions)
    validations = [*validation] if validation else [None] * count
    for name, given in (("--seeds", len(numbers)), ("--validation", len(validations))):
        if given != count:
            raise SpecError(f"{name}: {given} given for {count} files. Give one for each, in their order.")
    _refuse_copies([file for file in predictions if file.is_file()])
    fitted_on = pretraining(pretrained_on)
    data_cache = DataCache(Roots.parse(root or (), os.environ), partial=partial, display=Display(quiet=quiet))
    tests = [name.strip() for name in test.split(",")]
    runs = []
    for file, number, kept_apart in zip(predictions, numbers, validations, strict=True):
        declared = Declared(method, select, number, fitted_on, task)
        runs.append(score_predictions(file, declared, tests, train, kept_apart, results, data_cache))
    spec = runs[0].spec
    print_table(run_table({method: [run.metrics for run in runs]}, spec.data.test, spec.select), standard_output())
    for file, run in zip(predictions, runs, strict=True):
        typer.echo(f"{file}, seed {run.spec.seed}: kept in {run.path}")


def _refuse_copies(files: list[Path]) -> None:
    """Raise SpecError where two files are one: as two seeds they would say that a training comes out alike."""
    from ..core.files import sha256_of

    first_of: dict[str, Path] = {}
    for file in files:
        first = first_of.setdefault(sha256_of(file), file)
        if first is not file:
            raise SpecError(f"{file}: is the same as {first}, and two seeds are two trainings. Leave one of them out.")
