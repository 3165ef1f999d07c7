"""The command line. Thin: it parses, calls, prints, and turns errors into one line and an exit code.

Exit codes: 0 all done; 1 a run failed or a set is incomplete; 2 the input is wrong; 130 interrupted.
"""

from __future__ import annotations

import enum
import json
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from .errors import RsbenchError, RunFailed, SpecError

if TYPE_CHECKING:
    from .preparation import Experiment
    from .runner import Place, RunRecord
    from .spec import RunSpec

app = typer.Typer(
    name="rsbench",
    help="Which loss, on which backbone, for lung sounds? One training loop, in and out of distribution.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    add_completion=False,
)
data_app = typer.Typer(help="Look at recordings before training on them.", no_args_is_help=True)
app.add_typer(data_app, name="data")

WIDTH_IN_A_PIPE = 180

RUN_EXAMPLES = """
[bold]Examples[/bold]

rsbench run --loss qlung --backbone cnn6

rsbench run --loss ce --backbone resnet --seeds 0-4 --set loss.class_weights=inverse

rsbench run --loss qlung --backbone mn04 --weights mn04_as_mAP_432.pt --root DATA --train icbhi-official

rsbench run --loss mine --plugin my_loss.py --backbone cnn6 --dry-run
"""

RootOption = Annotated[
    list[str] | None,
    typer.Option("--root", help="Folder with a folder per data set; or NAME=DIR for one. Default: RSBENCH_DATA."),
]
PartialOption = Annotated[bool, typer.Option("--partial", help="Accept an incomplete set; rows say so.")]
PluginOption = Annotated[
    list[str] | None, typer.Option("--plugin", help="A .py file or module that registers things; repeatable.")
]


class Kind(enum.StrEnum):
    losses = "losses"
    backbones = "backbones"
    frontends = "frontends"
    splits = "splits"
    datasets = "datasets"
    quality = "quality"


@app.command(epilog=RUN_EXAMPLES)
def run(
    loss: Annotated[str | None, typer.Option(help="See: rsbench list losses.")] = None,
    backbone: Annotated[str | None, typer.Option(help="See: rsbench list backbones.")] = None,
    weights: Annotated[str | None, typer.Option(help="none, a public name, or a checkpoint's path.")] = None,
    train: Annotated[str | None, typer.Option(help="Split to train on. Default: the embedded synthetic set.")] = None,
    test: Annotated[str | None, typer.Option(help="Splits to judge on, with commas between.")] = None,
    root: RootOption = None,
    partial: PartialOption = False,
    epochs: Annotated[int | None, typer.Option(help="Default: the data set's or the backbone's.")] = None,
    seeds: Annotated[str | None, typer.Option(help="One or several: 0, 0-4, 0,2,7. Default: the spec's, or 0.")] = None,
    select: Annotated[str | None, typer.Option(help="Epoch rules: val, last, oracle. Default: val,last.")] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Any field of the spec, e.g. optim.lr=1e-4; repeatable."),
    ] = None,
    spec: Annotated[Path | None, typer.Option(help="A spec in YAML or JSON, e.g. a run's spec.json.")] = None,
    plugin: PluginOption = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads. Default: all cores.")] = None,
    out: Annotated[Path, typer.Option(help="Where runs/ is kept.")] = Path("results"),
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check everything, say what would run, stop.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress, no notes.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print results as JSON.")] = False,
) -> None:
    """Train a loss on a backbone and judge it, in and out of distribution.

    The same command again goes on where it was stopped, and returns at once what is already done.
    """
    from .runner import make_place, make_spec
    from .spec import parse_assignment, parse_seeds

    signal.signal(signal.SIGTERM, _as_interrupt)
    given: dict[str, Any] = _read_spec(spec) if spec else {}
    options = {
        "loss": loss,
        "backbone": backbone,
        "weights": weights,
        "train": train,
        "test": test,
        "epochs": epochs,
        "select": select,
    }
    given |= {key: value for key, value in options.items() if value is not None}
    given |= dict(parse_assignment(text) for text in set_ or [])
    place = make_place(root or (), out, device=device, threads=threads, partial=partial, quiet=quiet)
    numbers = parse_seeds(seeds) if seeds else [given.get("seed", 0)]
    specs = [make_spec({**given, "seed": seed}, place, plugin or ()) for seed in numbers]
    try:
        if dry_run:
            _dry_run(specs, place)
        else:
            _run_all(specs, place, as_json)
    except KeyboardInterrupt:
        typer.echo("Interrupted. The same command goes on after the last whole epoch.", err=True)
        raise typer.Exit(130) from None


def _read_spec(path: Path) -> dict[str, Any]:
    import yaml

    from .spec import flatten

    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise SpecError(f"--spec {path}: cannot be read ({error}).") from None
    if not isinstance(content, dict):
        raise SpecError(f"--spec {path}: holds no mapping of keys to values.")
    return flatten(content)


def _console() -> Console:
    """Standard output, for results: in a file or a pipe as wide as the tables are, never folded at 80 columns."""
    return Console(highlight=False, width=None if sys.stdout.isatty() else WIDTH_IN_A_PIPE)


def _as_interrupt(signum: int, frame: FrameType | None) -> None:
    """A batch system's SIGTERM ends a run as Ctrl-C does: recorded, and ready to go on."""
    raise KeyboardInterrupt


def _dry_run(specs: list[RunSpec], place: Place) -> None:
    from .preparation import prepare_experiment
    from .results.store import RunFolder

    for spec in specs:
        experiment = prepare_experiment(spec, place.roots, partial=place.partial, display=place.display)
        _announce(experiment, place)
        state = RunFolder(place.out / "runs" / experiment.run_id).status()["state"]
        typer.echo(f"{experiment.run_id}: {'to run' if state == 'absent' else state}")
    typer.echo(json.dumps(specs[0].model_dump(mode="json"), indent=1))


def _run_all(specs: list[RunSpec], place: Place, as_json: bool) -> None:
    from .boards.tables import run_table
    from .preparation import prepare_experiment
    from .runner import run_experiment

    records: list[RunRecord] = []
    failed: list[str] = []
    for number, spec in enumerate(specs):
        experiment = prepare_experiment(spec, place.roots, partial=place.partial, display=place.display)
        if number == 0:
            _announce(experiment, place)
        if len(specs) > 1:
            place.display.say(f"seed {spec.seed} ({number + 1} of {len(specs)})")
        try:
            records.append(run_experiment(experiment, place))
        except RunFailed as error:
            failed.append(f"{experiment.run_id}: {error}")
    if as_json:
        results = [{"run_id": item.run_id, "path": str(item.path), "metrics": item.metrics} for item in records]
        typer.echo(json.dumps({"runs": results, "failed": failed}, indent=1))
    elif records:
        console = _console()
        console.print(run_table([item.metrics for item in records], specs[0].data.test, specs[0].select))
        for record in records:
            console.print(f"kept in {record.path}", soft_wrap=True)
    for message in failed:
        typer.echo(f"failed: {message}", err=True)
    if failed:
        raise typer.Exit(1)


def _announce(experiment: Experiment, place: Place) -> None:
    """What is about to happen: data, clips per class and split, device, parameters."""
    from .data.clips import CLASSES
    from .preparation import class_table
    from .runner import build_model

    say, spec = place.display.say, experiment.spec
    if experiment.synthetic:
        say("SYNTHETIC recordings: generated, embedded, good for trying things out; no row of them is a result.")
    if experiment.partial:
        say("PARTIAL: an incomplete set; its rows carry their own fingerprint and share no board with the full set.")
    say(f"{spec.loss.name} on {spec.backbone.name}, clips of {spec.data.clip_s:g} s: {', '.join(CLASSES)}")
    for split, part, counts, patients in class_table(experiment):
        say(f"  {split} {part}: {' / '.join(map(str, counts))} clips, {patients} patients")
    model, _ = build_model(experiment)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    weights = "random weights" if spec.backbone.weights == "none" else spec.backbone.weights
    where = f"{spec.precision} on {place.device}, {place.threads} threads"
    say(f"  {parameters / 1e6:.2f} M parameters from {weights}, {where}")
    say(
        f"  {spec.optim.epochs} epochs, batches of {spec.optim.batch_size}, {spec.optim.algorithm} at {spec.optim.lr:g}"
    )


@app.command()
def leaderboard(
    split: Annotated[str, typer.Option(help="Splits to rank on, with commas between; see: rsbench list splits.")],
    results: Annotated[Path, typer.Option(help="Folder that holds runs/.")] = Path("results"),
    select: Annotated[str, typer.Option(help="val, last or oracle.")] = "val",
    only: Annotated[
        list[str] | None,
        typer.Option(metavar="FIELD=VALUE", help="Keep rows whose field begins so, e.g. loss=qlung; repeatable."),
    ] = None,
    figure: Annotated[Path | None, typer.Option(help="Draw the Scores of all seeds too (.png, .svg, .pdf).")] = None,
) -> None:
    """Rank the runs on a split: mean ± sd over seeds, never mixing what does not belong together."""
    from .boards.leaderboard import leaderboard as make_board
    from .boards.tables import board_table
    from .results.store import run_folders
    from .spec import parse_assignment

    chosen = {key: str(value) for key, value in map(parse_assignment, only or [])}
    folders = run_folders(results)
    boards = [make_board(folders, name.strip(), select, chosen) for name in split.split(",")]
    for board in boards:
        _console().print(board_table(board))
    if figure:
        from .boards.figures import score_figure

        score_figure(boards, figure)
        typer.echo(f"drawn in {figure}")


@app.command(name="list")
def list_(
    kind: Annotated[Kind, typer.Argument(help="What to list.")],
    plugin: PluginOption = None,
) -> None:
    """List what can be named, with summaries, papers, and options with their units and defaults."""
    from .listing import print_listing

    print_listing(kind.value, plugin or (), _console())


@data_app.command()
def check(
    root: RootOption = None,
    dataset: Annotated[list[str] | None, typer.Option(help="Only this data set; repeatable.")] = None,
    partial: PartialOption = False,
    plugin: PluginOption = None,
) -> None:
    """Compare recordings and annotations with the official counts; exit with 1 when something is missing or broken."""
    import os

    from .data.check import check as check_table
    from .data.check import render
    from .data.clips import label_map
    from .data.sources import Roots, load_table
    from .plugins import discover, load

    discover()
    for name in plugin or ():
        load(name)
    roots = Roots.parse(root or (), os.environ)
    console = _console()
    sound = True
    for name in dataset or roots.present():
        found = check_table(load_table(name, roots, partial=True), label_map("four-class"))
        render(found, console)
        sound &= not found.broken if partial else found.ok
    if not sound:
        raise typer.Exit(1)


def main() -> None:
    """Entry point: every error that a user can mend is one message and an exit code, never a traceback."""
    try:
        app()
    except RsbenchError as error:
        Console(stderr=True, highlight=False, soft_wrap=True).print(f"error: {error}", markup=False)
        sys.exit(error.exit_code)
