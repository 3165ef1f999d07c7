"""`rsbench sweep`."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..core.errors import SpecError
from .help import HelpfulCommand, HelpfulGroup, examples
from .options import (
    DeviceOption,
    DryRunOption,
    LogOption,
    PartialOption,
    PluginOption,
    QuietOption,
    ResultsOption,
    ResultsToWriteOption,
    RootOption,
    option,
    standard_output,
)

if TYPE_CHECKING:
    from ..boards.leaderboard import Board
    from ..sweep.driver import Study
    from ..sweep.engines import Engine

RUNS = """
rsbench sweep smoke --serial
rsbench sweep margins --root DATA --dry-run
rsbench sweep margins --root DATA --set seeds=0-2 --address 10.0.0.1:6379
rsbench sweep my_study.yaml --log tensorboard
rsbench sweep margins --root DATA --engine slurm --slurm slurm.yaml
"""
STATUS = "rsbench sweep status margins"
RESULTS = "rsbench sweep results margins --figures figures/"
EXAMPLES = "\n".join([RUNS, STATUS, RESULTS])


class EngineName(enum.StrEnum):
    ray = "ray"
    serial = "serial"
    slurm = "slurm"


class StudyFirst(HelpfulGroup):
    """`sweep STUDY` is short for `sweep run STUDY`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and not args[0].startswith("-"):
            args = ["run", *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    cls=StudyFirst,
    help="Run a study of many runs: rsbench sweep STUDY.\n\nIf it is stopped, the same command continues it.",
    epilog=examples(EXAMPLES),
    no_args_is_help=True,
    rich_markup_mode="rich",
)

NameArgument = Annotated[str, typer.Argument(help="A study's name.")]


@app.command(cls=HelpfulCommand, epilog=examples(RUNS))
def run(
    study_: Annotated[
        str, typer.Argument(metavar="STUDY", help="A YAML file, or one that ships: rsbench list sweeps.")
    ],
    root: RootOption = None,
    partial: PartialOption = False,
    set_: Annotated[
        list[str] | None,
        option("--set", " of the study, e.g. seeds=0-2 or base.epochs=5; repeatable."),
    ] = None,
    engine: Annotated[EngineName | None, typer.Option(help="Who does the work. Default: ray.")] = None,
    serial: Annotated[
        bool, typer.Option("--serial", help="One at a time in this process, without Ray: --engine serial.")
    ] = False,
    address: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="A Ray cluster to join, e.g. 10.0.0.1:6379.")
    ] = None,
    slurm: Annotated[
        Path | None, typer.Option(metavar="FILE", help="How runs become jobs of Slurm, in YAML; see docs/slurm.md.")
    ] = None,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Try runs again that failed.")] = False,
    plugin: PluginOption = None,
    device: DeviceOption = "auto",
    results: ResultsToWriteOption = Path("results"),
    log: LogOption = None,
    dry_run: DryRunOption = False,
    quiet: QuietOption = False,
) -> None:
    """Run what is missing of a study, then rank its runs. (`rsbench sweep STUDY` is enough.)"""
    from ..core.spec import parse_assignment
    from ..observers.of_run import LOGS
    from ..sweep.driver import StudyUnfinished, carry_out, describe, place_study
    from ..sweep.shipped import study_file
    from ..sweep.spec import load_sweep

    sweep = load_sweep(study_file(study_), dict(map(parse_assignment, set_ or [])))
    study = place_study(
        sweep, root or (), results, device=device, partial=partial, plugins=plugin or (), log=log or (), quiet=quiet
    )
    chosen = _engine(study, _engine_name(engine, serial=serial, address=address, slurm=slurm), address, slurm)
    study.context.display.say(f"{sweep.name}: {sweep.purpose.strip()}")
    for line in describe(study, chosen, retry_failed=retry_failed):
        study.context.display.say(line)
    if study.crew.observers:
        study.context.display.say(f"runs are logged by {', '.join(study.crew.observers)} in {results / LOGS}")
    if dry_run:
        for planned in study.planned().runs:
            typer.echo(f"{planned.run_id}: {planned.cell}, seed {planned.seed}: {planned.state}")
        return
    try:
        _print(carry_out(study, chosen, retry_failed=retry_failed))
    except StudyUnfinished as unfinished:
        _print(unfinished.boards)
        raise


@app.command(cls=HelpfulCommand, epilog=examples(STATUS))
def status(name: NameArgument, results: ResultsOption = Path("results")) -> None:
    """What is done of a study and what is left; works while it runs."""
    from ..report.tables.study import status as status_table
    from ..report.tables.terminal import print_table
    from ..sweep.driver import open_study

    study = open_study(results, name)
    print_table(status_table(study.sweep, study.cells(), study.store, study.planned().runs), standard_output())


@app.command(cls=HelpfulCommand, epilog=examples(RESULTS))
def results(
    name: NameArgument,
    figures: Annotated[Path | None, typer.Option(help="Draw them into this folder too.")] = None,
    results: ResultsOption = Path("results"),
) -> None:
    """What a study found: the best settings of each loss, what mattered, and whether the budget was enough."""
    from ..report.tables.study import render
    from ..report.tables.terminal import print_table
    from ..sweep.driver import open_study
    from ..sweep.plan import runs_folder
    from ..sweep.results import results as study_results

    study = open_study(results, name)
    found = study_results(study.store, study.planned().runs, runs_folder(study.context), study.sweep)
    for part in render(found):
        print_table(part, standard_output())
    if figures:
        from ..report.figures.study import study_figures

        for path in study_figures(found, figures):
            typer.echo(f"drawn in {path}")


def _engine_name(engine: EngineName | None, *, serial: bool, address: str | None, slurm: Path | None) -> EngineName:
    """The engine that the options ask for. Raises SpecError where they contradict one another."""
    named = {
        "--engine": engine,
        "--serial": EngineName.serial if serial else None,
        "--address": EngineName.ray if address else None,
        "--slurm": EngineName.slurm if slurm else None,
    }
    asked = {option: name for option, name in named.items() if name}
    if len(set(asked.values())) > 1:
        words = " and ".join(f"{option} (of {name})" for option, name in asked.items())
        raise SpecError(f"{words} do not go together. Leave out one.")
    return next(iter(asked.values()), EngineName.ray)


def _engine(study: Study, name: EngineName, address: str | None, slurm: Path | None) -> Engine:
    from ..sweep.engines import SerialEngine

    if name is EngineName.serial:
        return SerialEngine(study.crew)
    if name is EngineName.slurm:
        return _slurm_engine(study, slurm)
    try:
        from ..sweep.ray_engine import RayEngine
    except ImportError as error:
        raise SpecError(
            f"Ray cannot be imported ({error}). Install it with pip install 'rsbench[sweep]', or say --serial."
        ) from None
    return RayEngine(study.crew, study.sweep.resources, address, study.folder / "ray")


def _slurm_engine(study: Study, file: Path | None) -> Engine:
    from ..sweep.slurm_settings import SlurmSettings, load_slurm_settings

    settings = load_slurm_settings(file) if file else SlurmSettings()
    try:
        from ..sweep.slurm_engine import SlurmEngine
    except ImportError as error:
        raise SpecError(
            f"submitit cannot be imported ({error}). Install it with pip install 'rsbench[slurm]'."
        ) from None
    return SlurmEngine(study.crew, study.sweep.resources, settings, study.folder, study.context.display.say)


def _print(boards: Sequence[Board]) -> None:
    from ..report.tables.board import board_table
    from ..report.tables.terminal import print_table

    console = standard_output()
    for board in boards:
        print_table(board_table(board, width=console.width), console)
