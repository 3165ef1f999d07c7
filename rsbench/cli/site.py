"""`rsbench site`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .options import (
    PluginOption,
    QuietOption,
    option,
)

EXAMPLES = """
rsbench site --results results --out site
rsbench site --results results --out site --tag v1.2.0
rsbench site --results public --out site
"""


def site(
    out: Annotated[Path, option("--out", " the pages into this folder.")],
    results: Annotated[
        str, option("--results", " whose bundles (*.zip, */*.zip) are shown, one bundle, or public.")
    ] = "results",
    tag: Annotated[
        str | None, typer.Option(metavar="NAME", help="Also freeze the boards under this name, in a folder below.")
    ] = None,
    plugin: PluginOption = None,
    quiet: QuietOption = False,
) -> None:
    """Write a static site of boards from bundles.

    From bundles alone: no audio, no model, no torch. A page per split and task: its boards, published results, and
    behind every row its commands, environment, maker and bundle; csv and JSON beside. The same bundles give the same
    files. A frozen board never changes: a tag that is there with other content is refused. The pages work from disk.
    Exit code 1 where a run or a board had to be left out.
    """
    from ..core.display import Display
    from ..publishing.site import check_place, write_site
    from ..results.collection import bundles_in, collect
    from ..results.places import PUBLIC
    from ..results.public import public_bundles

    display = Display(quiet=quiet)
    check_place(out, tag)
    bundles = public_bundles() if results == PUBLIC else bundles_in(Path(results))
    boards = write_site(collect(bundles, display), out, tag, display)
    typer.echo(f"{len(boards.every)} boards of {len(bundles)} bundles in {out / 'index.html'}")
    if tag:
        typer.echo(f"frozen as {out / tag / 'index.html'}")
    for line in boards.left_out:
        display.say(f"left out: {line}")
    if boards.left_out:
        raise typer.Exit(1)
