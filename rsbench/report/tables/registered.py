"""What `rsbench list` shows."""

from __future__ import annotations

import typing
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from ...core.plugins import broken_in_words, discover, discover_losses, load
from ...core.registry import Parameter, Registry
from ...sweep.shipped import shipped_studies
from .terminal import print_table


def registries() -> dict[str, Registry[Any]]:
    """What holds the entries of each kind. (Splits and sweeps are listed without: they need no torch.)"""
    from ...core.backbone import BACKBONES
    from ...core.loss import LOSSES
    from ...data.datasets import DATASETS
    from ...data.tasks import TASKS
    from ...features.frontends import FRONTENDS
    from ...observers.observer import OBSERVERS
    from ...quality.index import QUALITY

    return {
        "losses": LOSSES,
        "backbones": BACKBONES,
        "frontends": FRONTENDS,
        "datasets": DATASETS,
        "tasks": TASKS,
        "indices": QUALITY,
        "observers": OBSERVERS,
    }


def print_listing(kind: str, plugins: Sequence[str], console: Console) -> None:
    """Print the entries of one kind; broken plugins are shown with the last line of their traceback."""
    for plugin in plugins:
        load(plugin)
    others = {"splits": _splits, "sweeps": _sweeps, "tasks": _tasks}
    print_table(others[kind]() if kind in others else _entries(kind), console)
    for line in broken_in_words():
        console.print(line, markup=False)


def _entries(kind: str) -> Table:
    registry = _losses() if kind == "losses" else _registry(kind)
    table = Table("name", "what it is", "options (defaults)", title=kind, title_justify="left", show_lines=True)
    for name in registry.names():
        entry = registry.entry(name)
        about = "\n".join(filter(None, [entry.summary, entry.paper and f"({entry.paper})"]))
        # A reader of recordings takes a folder and has no options of its own.
        options = {} if kind == "datasets" else entry.parameters()
        table.add_row(name, about, "\n".join(_option(parameter) for parameter in options.values()))
    for name, family in registry.families.items():
        table.add_row(f"{name}:NAME", family.summary, "those of NAME")
    return table


def _registry(kind: str) -> Registry[Any]:
    discover()
    return registries()[kind]


def _losses() -> Registry[Any]:
    """Losses alone, found in half the time."""
    from ...core.loss import LOSSES

    discover_losses()
    return LOSSES


def _option(parameter: Parameter) -> str:
    text = f"{parameter.name} = {parameter.default}"
    if parameter.unit:
        text += f" {parameter.unit}"
    hint = parameter.annotation
    if typing.get_origin(hint) is typing.Annotated:
        hint = typing.get_args(hint)[0]
    if typing.get_origin(hint) is typing.Literal:
        text += f"  ({' | '.join(map(str, typing.get_args(hint)))})"
    return text


def _tasks() -> Table:
    from ...core.plugins import discover_datasets
    from ...data.tasks import TASKS

    discover_datasets()
    table = Table("name", "what it is", "classes", "label maps", title="tasks", title_justify="left", show_lines=True)
    for name in TASKS.names():
        entry = TASKS.entry(name)
        maps = ", ".join(f"{one.name} v{one.version}" for one in entry.value.label_maps)
        table.add_row(name, entry.summary, ", ".join(entry.value.classes), maps)
    table.caption = "The first class is the reference: Sp is of it, Se of the others."
    return table


def _sweeps() -> Table:
    table = Table("name", "asks", "costs", title="sweeps", title_justify="left", show_lines=True)
    for study in shipped_studies().values():
        table.add_row(study.name, study.asks, study.costs)
    return table


def _splits() -> Table:
    from ...data.splits import named_splits

    table = Table(
        "name",
        "what it is",
        "data set",
        "trains on",
        "judged on",
        "version",
        title="splits",
        title_justify="left",
    )
    for split in named_splits().values():
        table.add_row(
            split.name,
            split.summary,
            split.dataset,
            ", ".join(split.train) or "–",
            ", ".join(split.test) or "–",
            str(split.version),
        )
    table.caption = "And of every data set NAME-cvK, every patient tested once in K folds, 2 to 20: sprsound-cv5, say."
    return table
