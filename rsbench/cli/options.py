"""What the commands share: options and standard output."""

from __future__ import annotations

import enum
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..core.display import PlainConsole
from ..core.errors import SpecError

if TYPE_CHECKING:
    from ..report.figures.figure import FigureStyle

WIDTH_IN_A_PIPE = 120

RootOption = Annotated[
    list[str] | None,
    typer.Option("--root", help="Folder with a folder per data set; or NAME=DIR for one. Default: RSBENCH_DATA."),
]
PartialOption = Annotated[bool, typer.Option("--partial", help="Accept an incomplete set; rows say so.")]
WeightsOption = Annotated[
    str | None,
    typer.Option(help="none, audioset or imagenet where there are such, a checkpoint's PATH, or hf-hub:OWNER/NAME."),
]
DeviceOption = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")]
ThreadsOption = Annotated[int | None, typer.Option(min=1, help="CPU threads. Default: all cores.")]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Any field of the spec, e.g. optim.lr=1e-4; repeatable."),
]
LogOption = Annotated[
    str | None,
    typer.Option(
        metavar="NAME", help="Tell tensorboard, csv, wandb, mlflow or yours of every epoch; several with commas."
    ),
]
QuietOption = Annotated[bool, typer.Option("--quiet", help="No progress, no notes.")]
YesSyntheticOption = Annotated[
    bool, typer.Option("--yes-synthetic", help="Use a model that was trained on SYNTHETIC recordings all the same.")
]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Check everything, say what would be done, stop.")]


def _load(context: typer.Context, plugins: list[str] | None) -> list[str] | None:
    """Import plugins as soon as they are named: whatever a command does next may need what they register."""
    if plugins and not context.resilient_parsing:  # which completes what is being typed
        from ..core.plugins import load

        for plugin in plugins:
            load(plugin)
    return plugins


PluginOption = Annotated[
    list[str] | None,
    typer.Option(
        "--plugin",
        callback=_load,
        help="A .py file or module of yours: losses, backbones, data sets, tasks, indices, observers; repeatable.",
    ),
]

TaskOption = Annotated[
    str | None, typer.Option(help="Keep only runs of this task; needed where there are several.", metavar="TASK")
]

OnlyOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="FIELD=VALUE",
        help="Keep only rows with this value, or one that begins with it, e.g. loss=qlung; repeatable.",
    ),
]

ChosenRunsArgument = Annotated[
    list[str] | None,
    typer.Argument(metavar="[RUN_ID…]", help="Ids, their beginnings, or globs in quotes. Default: all runs."),
]
RunArgument = Annotated[
    str, typer.Argument(metavar="RUN", help="A run's id, a beginning of it that no other has, or its folder.")
]


def results_place(text: str | Path) -> Path:
    """The folder that --results names; of `public` one in the cache, with all that was pulled."""
    if str(text) != "public":
        return Path(text)
    from ..core.display import Display
    from ..results.public import public_results

    return public_results(Display()).folder


ResultsOption = Annotated[
    Path,
    typer.Option(
        "--results",
        parser=results_place,
        metavar="DIR",
        help="Folder that holds runs/; or public: what rsbench results pull brought.",
    ),
]


def results_to_write(text: str | Path) -> Path:
    """The folder that --results names where runs are written to. Raises SpecError for what was pulled."""
    if str(text) == "public":
        raise SpecError(
            "--results public: is what rsbench results pull brought, and nothing is written there. Name a folder of "
            "your own; one that is called public is ./public."
        )
    return Path(text)


ResultsToWriteOption = Annotated[
    Path, typer.Option("--results", parser=results_to_write, metavar="DIR", help="Folder that holds runs/.")
]
SelectionOption = Annotated[
    str | None,
    typer.Option(help="Whose epoch: val, val-auroc, last, cv-refit or oracle:SPLIT. Default: the run's first rule."),
]
AtOption = Annotated[
    str | None, typer.Option(help="Operating point: val-bias or argmax. Default: val-bias, if the run has one.")
]


WidthOption = Annotated[
    float | None, typer.Option("--width-cm", min=4, max=100, help="Width of the figure, e.g. 8.5 for a column.")
]
FontOption = Annotated[str | None, typer.Option("--font", metavar="NAME", help="Font of the figure.")]
NoProvenanceOption = Annotated[
    bool, typer.Option("--no-provenance", help="What the figure is of stands in the metadata of its file alone.")
]


def figure_style(
    figure: Path | None, width_cm: float | None, font: str | None, *, provenance: bool
) -> FigureStyle | None:
    """How --figure is drawn, where there is one. Raises SpecError for an unknown font, or without a figure."""
    given = {"--width-cm": width_cm is not None, "--font": font is not None, "--no-provenance": not provenance}
    if figure is None:
        for option in (name for name, is_given in given.items() if is_given):
            raise SpecError(f"{option}: is about a figure, and none is asked for. Name one with --figure FILE.")
        return None
    from ..report.figures.figure import FigureStyle, known_font

    if font is not None:
        known_font(font)
    return FigureStyle(width_cm, font, provenance)


class Format(enum.StrEnum):
    table = "table"
    json = "json"


def rows_to_keep(only: Sequence[str], task: str | None = None) -> dict[str, str]:
    """FIELD=VALUE as typed after --only, and what was typed after --task. Raises SpecError for what is not."""
    from ..core.spec import parse_assignment

    for text in only:
        field, equals, _ = text.partition("=")
        if not (field.strip() and equals):
            raise SpecError(f"--only {text}: write FIELD=VALUE, for example --only loss=qlung.")
    return {key: str(value) for key, value in map(parse_assignment, only)} | ({"task": task} if task else {})


def standard_output() -> PlainConsole:
    """Standard output, for results: as wide as the terminal, or as COLUMNS says; in a pipe without it 120 letters."""
    told = os.environ.get("COLUMNS", "").isdigit()  # rich reads it
    return PlainConsole(highlight=False, width=None if told or sys.stdout.isatty() else WIDTH_IN_A_PIPE)
