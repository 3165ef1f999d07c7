"""What the commands share: options and standard output."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..core.display import PlainConsole
from ..core.errors import SpecError
from ..results.places import PUBLIC, results_to_read

if TYPE_CHECKING:
    from ..report.figures.figure import FigureStyle

WIDTH_IN_A_PIPE = 120

# Options that several commands have → what stands for their value, and how their help begins: one name, one meaning.
SHARED = {
    "--anonymise": (None, "Replace names of patients, recordings and clips"),
    "--at": ("POINT", "Operating point: val-bias or argmax"),
    "--audio": (None, "Put the sound of the worst errors into the page"),
    "--backbone": ("NAME", "Backbone; see: rsbench list backbones"),
    "--baseline": ("LOSS", "Compare the others with it"),
    "--by": ("FIELD", "By which: "),
    "--dataset": ("NAMES", "Data sets, with commas between; see: rsbench list datasets"),
    "--device": ("NAME", "auto, cpu, cuda or cuda:N"),
    "--dry-run": (None, "Check everything, say what would be done, stop"),
    "--figure": ("FILE", "Draw it"),
    "--font": ("NAME", "Font of the figure"),
    "--format": ("FORM", "table, md, csv, json or latex"),
    "--from": ("NAME", "Whose runs they are"),
    "--log": ("NAMES", "Tell tensorboard, csv, wandb, mlflow or yours of every epoch"),
    "--loss": ("NAME", "Loss"),
    "--no-provenance": (None, "What the figure is of stands in the metadata of its file alone"),
    "--only": ("FIELD=VALUE", "Keep only rows with this value"),
    "--out": ("PATH", "Write"),
    "--partial": (None, "Accept an incomplete set; rows say so"),
    "--plugin": ("FILE", "A .py file or module of yours"),
    "--quiet": (None, "No progress, no notes"),
    "--results": ("DIR", "Results folder"),
    "--root": ("DIR", "Folder with a folder per data set"),
    "--salt": ("FILE", "Keep the salt in this file"),
    "--seeds": ("SEEDS", "One or several: 0, 0-4, 0,2,7"),
    "--select": ("RULE", "Epoch rule"),
    "--set": ("KEY=VALUE", "Change a field"),
    "--split": ("NAMES", "Splits"),
    "--task": ("NAME", "Task"),
    "--test": ("NAMES", "Splits tested on, with commas between"),
    "--threads": ("N", "CPU threads"),
    "--train": ("NAMES", "Splits trained on"),
    "--weights": ("NAME", "none, audioset or imagenet where there are such"),
    "--width-cm": ("CM", "Width of the figure"),
    "--yes-synthetic": (None, "Use a model that was trained on SYNTHETIC recordings all the same"),
}


def option(name: str, more: str = ".", **settings: Any) -> Any:
    """An option that several commands have: its name, and how its help goes on after what SHARED says of it."""
    metavar, meaning = SHARED[name]
    return typer.Option(name, **{"metavar": metavar, "help": f"{meaning}{more}", **settings})


def _load(context: typer.Context, plugins: list[str] | None) -> list[str] | None:
    """Import plugins as soon as they are named: whatever a command does next may need what they register."""
    if plugins and not context.resilient_parsing:  # which completes what is being typed
        from ..core.plugins import load

        for plugin in plugins:
            load(plugin)
    return plugins


def results_to_write(text: str | Path) -> Path:
    """The folder that --results names where runs are written to. Raises SpecError for what was pulled."""
    if str(text) == PUBLIC:
        raise SpecError(
            "--results public: is what rsbench results pull brought, and nothing is written there. Name a folder of "
            "your own; one that is called public is ./public."
        )
    return Path(text)


AtOption = Annotated[str | None, option("--at", ". Default: val-bias, if the run has one.")]
DatasetOption = Annotated[str, option("--dataset")]
DeviceOption = Annotated[str, option("--device")]
DryRunOption = Annotated[bool, option("--dry-run")]
FontOption = Annotated[str | None, option("--font")]
FormatOption = Annotated[str, option("--format")]
LogOption = Annotated[str | None, option("--log", "; several with commas.")]
NoProvenanceOption = Annotated[bool, option("--no-provenance")]
OnlyOption = Annotated[list[str] | None, option("--only", ", or one that begins with it, e.g. loss=qlung; repeatable.")]
PartialOption = Annotated[bool, option("--partial")]
PluginOption = Annotated[list[str] | None, option("--plugin", " to load first; repeatable.", callback=_load)]
QuietOption = Annotated[bool, option("--quiet")]
ResultsOption = Annotated[
    Path,
    option("--results", ", which holds runs/; a bundle; or public, all that was pulled.", parser=results_to_read),
]
ResultsToWriteOption = Annotated[
    Path, option("--results", ", which holds runs/; also written to.", parser=results_to_write)
]
RootOption = Annotated[list[str] | None, option("--root", ", or NAME=DIR for one. Default: RSBENCH_DATA.")]
SelectionOption = Annotated[
    str | None,
    option("--select", ": val, val-auroc, last, cv-refit or oracle:SPLIT. Default: the run's first."),
]
SetOption = Annotated[list[str] | None, option("--set", " of the spec, e.g. optim.lr=1e-4; repeatable.")]
TaskOption = Annotated[str | None, option("--task", ": keep only its runs; needed where there are several.")]
ThreadsOption = Annotated[int | None, option("--threads", ". Default: all cores.", min=1)]
WidthOption = Annotated[float | None, option("--width-cm", ", e.g. 8.5 for a column.", min=4, max=100)]
YesSyntheticOption = Annotated[bool, option("--yes-synthetic")]
WeightsOption = Annotated[str | None, option("--weights", ", a checkpoint's PATH, or hf-hub:OWNER/NAME.")]

A_RUN = "ids, their beginnings, globs in quotes, or folders of runs"

ChosenRunsArgument = Annotated[
    list[str] | None,
    typer.Argument(metavar="RUN", help=f"{A_RUN[0].upper()}{A_RUN[1:]}. Default: all runs."),
]
RunsArgument = Annotated[list[str], typer.Argument(metavar="RUN", help=f"{A_RUN[0].upper()}{A_RUN[1:]}.")]
RunArgument = Annotated[
    str, typer.Argument(metavar="RUN", help="One run: its id, a beginning of it, a glob in quotes, or its folder.")
]


def figure_style(
    figure: Path | None, width_cm: float | None, font: str | None, *, provenance: bool
) -> FigureStyle | None:
    """How --figure is drawn, where there is one. Raises SpecError for an unknown font, or without a figure."""
    given = {"--width-cm": width_cm is not None, "--font": font is not None, "--no-provenance": not provenance}
    if figure is None:
        for unmeant in (name for name, is_given in given.items() if is_given):
            raise SpecError(f"{unmeant}: is about a figure, and none is asked for. Name one with --figure FILE.")
        return None
    from ..report.figures.figure import FigureStyle, known_font

    if font is not None:
        known_font(font)
    return FigureStyle(width_cm, font, provenance)


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
