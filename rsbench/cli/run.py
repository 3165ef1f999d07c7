"""`rsbench run`."""

from __future__ import annotations

import itertools
import json
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..core.errors import SpecError, shown
from ..core.plugins import prints_apart
from .options import (
    DeviceOption,
    DryRunOption,
    FormatOption,
    LogOption,
    PartialOption,
    PluginOption,
    QuietOption,
    ResultsToWriteOption,
    RootOption,
    SetOption,
    ThreadsOption,
    WeightsOption,
    option,
    standard_output,
)

if TYPE_CHECKING:
    from ..core.spec import RunSpec
    from ..experiment.context import RunContext
    from ..experiment.prepare import Experiment
    from ..results.run import Run


EXAMPLES = """
rsbench run --loss qlung --backbone cnn6
rsbench run --loss ce --backbone resnet --seeds 0-4 --set loss.class_weights=inverse
rsbench run --loss qlung --backbone mn04 --weights mn04_as_mAP_432.pt --root DATA --train icbhi-official
rsbench run --loss ce --backbone cnn6 --task icbhi-2
rsbench run --loss mine --plugin my_loss.py --backbone cnn6 --dry-run
rsbench run --loss qlung --backbone cnn6 --log tensorboard,csv
rsbench run --loss ce,arcface,qlung --backbone embeddings:mn04.parquet --root DATA --train icbhi-official --seeds 0-9
"""


def run(
    loss: Annotated[str | None, option("--loss", ", or several with commas; see: rsbench list losses.")] = None,
    backbone: Annotated[str | None, option("--backbone", "; also timm:MODEL, hf:FOLDER and embeddings:FILE.")] = None,
    weights: WeightsOption = None,
    train: Annotated[str | None, option("--train", ", one per data set. Default: the synthetic set.")] = None,
    test: Annotated[str | None, option("--test", "; or DATASET-cv5, every patient.")] = None,
    task: Annotated[str | None, option("--task", "; see: rsbench list tasks. Default: icbhi-4.")] = None,
    root: RootOption = None,
    partial: PartialOption = False,
    epochs: Annotated[int | None, typer.Option(metavar="N", help="Default: the data set's or the backbone's.")] = None,
    seeds: Annotated[str | None, option("--seeds", ". Default: the spec's, or 0.")] = None,
    select: Annotated[
        str | None, option("--select", ", or several: val, val-auroc, last, oracle; or cv-refit. Default: val,last.")
    ] = None,
    set_: SetOption = None,
    spec: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A spec in YAML or JSON, e.g. a run's spec.json.")
    ] = None,
    plugin: PluginOption = None,
    device: DeviceOption = "auto",
    threads: ThreadsOption = None,
    results: ResultsToWriteOption = Path("results"),
    save_every_s: Annotated[
        float, typer.Option(min=0, metavar="SECONDS", help="How often a state to go on from is written.")
    ] = 60,
    log: LogOption = None,
    dry_run: DryRunOption = False,
    quiet: QuietOption = False,
    format_: FormatOption = "table",
) -> None:
    """Train losses on a backbone, and judge them.

    In and out of distribution, as --train and --test say.

    Clips are shown at one length. --set data.window=repeat is as published; zero, crop and context:SECONDS are told in
    docs/protocol.md.

    Several losses and several seeds are a grid: every loss with every seed, in one process. Give the same command
    again to continue where it was stopped; what is done is not done again.
    """
    from ..core.spec import flatten, parse_assignment, parse_seeds
    from ..experiment.context import make_context
    from ..experiment.grid import grid_specs
    from ..observers.observer import observers_named
    from ..report.tables.formats import known_format

    known_format(format_)
    given: dict[str, Any] = _read_spec(spec) if spec else {}
    options = {
        "backbone": backbone,
        "weights": weights,
        "train": train,
        "test": test,
        "task": task,
        "epochs": epochs,
        "select": select,
    }
    given |= {key: value for key, value in options.items() if value is not None}
    changes = flatten(dict(parse_assignment(text) for text in set_ or []))
    for name, typed, key in (("--loss", loss, "loss.name"), ("--seeds", seeds, "seed")):
        if typed and key in changes:
            raise SpecError(f"{name} and --set {key}={shown(changes[key])}: both say the same field. Leave out one.")
    given |= changes
    context = make_context(
        root or (),
        results,
        device=device,
        threads=threads,
        partial=partial,
        save_every_s=save_every_s,
        observers=observers_named(log or ()),
        quiet=quiet,
    )
    numbers = parse_seeds(seeds) if seeds else [given.get("seed", 0)]
    losses = [name.strip() for name in loss.split(",")] if loss else []
    try:
        specs = grid_specs(given, losses, numbers, context, plugin or ())
    except SpecError as error:
        raise SpecError(f"--spec {spec} with these options: {error}" if spec else str(error)) from None
    if dry_run:
        _dry_run(specs, context)
    else:
        _run_all(specs, context, format_)


def _read_spec(path: Path) -> dict[str, Any]:
    from ..core.settings import read_settings
    from ..core.spec import flatten

    return flatten(read_settings(path, f"--spec {path}"))


def _dry_run(specs: list[RunSpec], context: RunContext) -> None:
    from ..experiment.prepare import prepare_experiment
    from ..results.run import Run

    data_cache = context.data_cache()
    for spec in specs:
        with prints_apart():
            experiment = prepare_experiment(spec, data_cache)
            _announce(experiment, context)
        state = Run(context.out / "runs" / experiment.run_id).state
        typer.echo(f"{experiment.run_id}: {'to run' if state == 'absent' else state}")
    typer.echo(json.dumps(specs[0].model_dump(mode="json"), indent=1))


def _run_all(specs: list[RunSpec], context: RunContext, form: str) -> None:
    from ..experiment.grid import run_grid
    from ..report.tables.board import run_table
    from ..report.tables.formats import Sheet, print_sheets
    from ..report.tables.runs import runs_sheet

    done, failed = run_grid(specs, context, lambda first: _announce(first, context))
    messages = [f"{run_id}: {error}" for run_id, error in failed.items()]
    if form == "json":
        results = [{"run_id": item.run_id, "path": str(item.path), "metrics": item.metrics} for item in done]
        typer.echo(json.dumps({"runs": results, "failed": messages}, indent=1))
    elif done:
        console = standard_output()
        of_loss = itertools.groupby(done, lambda run: run.spec.loss.name)
        metrics = {name: [run.metrics for run in runs] for name, runs in of_loss}
        table = run_table(metrics, specs[0].data.test, specs[0].select)
        print_sheets([Sheet(table, runs_sheet(done).frame)], form, console)
        if form == "table":
            kept = done[0].path if len(done) == 1 else f"{done[0].path.parent}, {len(done)} runs"
            console.print(f"kept in {kept}", soft_wrap=True)
        for line in _next_steps(done, context):
            context.display.say(line)
    for message in messages:
        typer.echo(f"failed: {message}", err=True)
    if failed:
        raise typer.Exit(1)


def _next_steps(runs: Sequence[Run], context: RunContext) -> Iterator[str]:
    """The board of these runs, as it is typed; and where they are too few for a verdict, how many seeds one takes."""
    from ..core.spec import DEFAULT_TASK
    from ..evaluation.statistics import SEEDS_FOR_A_CLAIM
    from ..report.page.provenance import ranges

    spec = runs[0].spec
    losses = list(dict.fromkeys(run.spec.loss.name for run in runs))
    options = {
        "--split": ",".join(spec.data.test),
        "--results": None if context.out == Path("results") else str(context.out),
        "--select": None if "val" in spec.select else spec.select[0],
        "--task": None if spec.data.task == DEFAULT_TASK else spec.data.task,
        "--baseline": losses[0] if len(losses) > 1 else None,
    }
    typed = " ".join(f"{name} {shlex.quote(value)}" for name, value in options.items() if value)
    yield f"next: rsbench leaderboard {typed}"
    seeds = {run.spec.seed for run in runs}
    lacking = SEEDS_FOR_A_CLAIM - len(seeds)
    if lacking > 0 and not runs[0].data.synthetic:
        others = itertools.islice((seed for seed in itertools.count() if seed not in seeds), lacking)
        wanted = ranges([*seeds, *others])
        yield f"A verdict takes {SEEDS_FOR_A_CLAIM} seeds: the same command with --seeds {wanted} runs those to come."


def _announce(experiment: Experiment, context: RunContext) -> None:
    """What is about to happen: data, clips per class and split, device, parameters."""
    from ..experiment.build import model_sizes
    from ..experiment.prepare import class_table
    from ..observers.of_run import LOGS

    say, spec = context.display.say, experiment.spec
    if experiment.synthetic:
        say("SYNTHETIC recordings: generated, embedded, good for trying things out; no row of them is a result.")
    if experiment.partial:
        say("PARTIAL: an incomplete set; its rows carry their own fingerprint and share no board with the full set.")
    say(
        f"{spec.loss.name} on {spec.backbone.name}, clips of {spec.data.clip_s:g} s (window {spec.data.window}), "
        f"{spec.data.task}: {', '.join(experiment.task.classes)}"
    )
    for split, part, counts, patients in class_table(experiment):
        say(f"  {split} {part}: {' / '.join(map(str, counts))} clips, {patients} patients")
    total, learning = model_sizes(experiment)
    count = f"{total / 1e6:.2f} M parameters" + (f" ({learning / 1e6:.2f} M learn)" if learning < total else "")
    where = f"{spec.precision} on {context.device}, {context.threads} threads"
    say(f"  {count} from {_starting_point(spec)}, {where}")
    say(
        f"  {spec.optim.epochs} epochs, batches of {spec.optim.batch_size}, {spec.optim.algorithm} at {spec.optim.lr:g}"
    )
    if context.observers:
        say(f"  logged by {', '.join(context.observers)} in {context.out / LOGS}")


def _starting_point(spec: RunSpec) -> str:
    """Where the backbone's weights come from; where published runs do not start at random, what they start from."""
    from ..core.backbone import BACKBONES

    if spec.backbone.weights != "none":
        return spec.backbone.weights
    public = BACKBONES.entry(spec.backbone.name).value.published_weights(**spec.backbone.params)
    customary = " or ".join(f"--weights {entry.name}" for entry in public)
    return "RANDOM weights" + (f" (published runs of it start from {customary})" if customary else "")
