"""`rsbench list`."""

from __future__ import annotations

import enum
from typing import Annotated

import typer

from .options import PluginOption, standard_output

EXAMPLES = """
rsbench list losses
rsbench list splits
rsbench list losses --plugin my_loss.py
"""


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


def listing(
    kind: Annotated[ListedKind, typer.Argument(help="What to list.")],
    plugin: PluginOption = None,
) -> None:
    """List what can be named, with papers, options and units."""
    from ..report.tables.registered import print_listing

    print_listing(kind.value, plugin or (), standard_output())
