"""`rsbench list`."""

from __future__ import annotations

import enum
from typing import Annotated

import typer

from .options import PluginOption, standard_output


class ListedKind(enum.StrEnum):
    losses = "losses"
    backbones = "backbones"
    frontends = "frontends"
    splits = "splits"
    datasets = "datasets"
    tasks = "tasks"
    indices = "indices"
    observers = "observers"
    sweeps = "sweeps"


def list_(
    kind: Annotated[ListedKind, typer.Argument(help="What to list.")],
    plugin: PluginOption = None,
) -> None:
    """List what can be named, with summaries, papers, and options with their units and defaults."""
    from ..report.tables.registered import print_listing

    print_listing(kind.value, plugin or (), standard_output())
