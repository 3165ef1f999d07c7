"""`rsbench results`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .help import HelpfulCommand, HelpfulGroup, examples
from .options import (
    PluginOption,
    QuietOption,
    option,
    standard_output,
)

app = typer.Typer(
    cls=HelpfulGroup,
    help="Bring results that others published, or check a bundle.",
    no_args_is_help=True,
)

PULLS = """
rsbench results pull https://rsbench.github.io/rsbench/results/
rsbench leaderboard --results public --split icbhi-official
"""

CHECKS = """
rsbench results check results --against main/results
rsbench results check mine.zip --against results --out change.md
"""

LISTS = "rsbench results list"


@app.command(cls=HelpfulCommand, epilog=examples(PULLS))
def pull(
    url: Annotated[str, typer.Argument(metavar="URL", help="Of a site, or its results.json; #sha256=HEX pins it.")],
    sha256: Annotated[
        str | None, typer.Option(metavar="HEX", help="The sha256 that its results.json must have.")
    ] = None,
    quiet: QuietOption = False,
) -> None:
    """Bring all bundles of a site into the cache: then --results public reads them, in every command that reads runs.

    Every file is checked by its sha256. The first pull pins results.json: a later one refuses another, until you name
    its hash. A pull that was stopped goes on with the same command.
    """
    from ..core.display import Display
    from ..results.public import pull as pull_results

    pulled = pull_results(url, sha256, Display(quiet=quiet))
    typer.echo(f"{len(pulled.manifest.bundles)} bundles with {pulled.runs} runs, {pulled.size:,} bytes")
    typer.echo(f"pinned: {pulled.url}#sha256={pulled.sha256}")


@app.command("list", cls=HelpfulCommand, epilog=examples(LISTS))
def list_() -> None:
    """List what was pulled: address and hash, as pull takes them, and how much it is."""
    from ..results.public import list_pulled

    pulled = list_pulled()
    if not pulled:
        typer.echo("Nothing was pulled yet. See: rsbench results pull --help", err=True)
    for one in pulled:
        missing = f", {len(one.missing)} bundles not there yet" if one.missing else ""
        count = f"{len(one.manifest.bundles)} bundles, {one.runs} runs, {one.size:,} bytes{missing}"
        standard_output().out(f"{one.url}#sha256={one.sha256}\n  {count}", highlight=False)


@app.command(cls=HelpfulCommand, epilog=examples(CHECKS))
def check(
    results: Annotated[Path, typer.Argument(metavar="DIR|BUNDLE.zip", help="The bundles as they would be.")],
    against: Annotated[Path | None, typer.Option(metavar="DIR", help="The bundles as they are. Default: none.")] = None,
    out: Annotated[Path | None, option("--out", " the text to this Markdown file. Default: standard output.")] = None,
    plugin: PluginOption = None,
    quiet: QuietOption = False,
) -> None:
    """Score bundles again, and tell what they change on the boards, as text for a pull request.

    A folder stands for itself: what it lacks of --against is removed. One bundle is laid beside those of --against.
    Exit code 1 where a run or a board has to be left out.
    """
    from ..core.display import Display
    from ..core.files import write_bytes
    from ..publishing.change import change, in_words
    from ..results.collection import bundles_in, collect, list_bundles

    display = Display(quiet=quiet)
    before = bundles_in(against) if against and (against.is_file() or list_bundles(against)) else []
    beside = before if results.is_file() else []
    after = collect([*beside, *bundles_in(results)], display)
    found = change(collect(before, display) if before else None, after, display)
    if out:
        write_bytes(out, in_words(found).encode())
        typer.echo(f"{len(found.boards)} boards change: {out}")
    else:
        standard_output().out(in_words(found), end="", highlight=False)
    if found.shown.left_out:
        raise typer.Exit(1)
