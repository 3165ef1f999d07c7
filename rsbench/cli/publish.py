"""`rsbench publish`."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from ..core.errors import SpecError
from .options import (
    DryRunOption,
    PluginOption,
    QuietOption,
    ResultsOption,
    RunsArgument,
    option,
    standard_output,
)

EXAMPLES = """
rsbench publish 'qlung-mn04-*' --dry-run
rsbench publish 'qlung-mn04-*' 'ce-mn04-*' --name qlung-mn04 --from alice
rsbench publish 'qlung-mn04-*' --open
"""


def publish(
    runs: RunsArgument,
    results: ResultsOption = Path("results"),
    out: Annotated[
        Path | None,
        option("--out", " the bundle there, beside the published ones. Default: results/NAME.zip."),
    ] = None,
    name: Annotated[
        str | None, typer.Option(metavar="NAME", help="Of the bundle. Default: its losses and backbones.")
    ] = None,
    made_by: Annotated[str | None, option("--from", ". Default: the user.name of git.")] = None,
    synthetic: Annotated[bool, typer.Option("--synthetic", help="Publish runs on synthetic recordings too.")] = False,
    anonymise: Annotated[bool, option("--anonymise", ", as export does.")] = False,
    salt: Annotated[Path | None, option("--salt", ", for later bundles that match this one.")] = None,
    open_: Annotated[
        bool, typer.Option("--open", help="Commit the bundle to a new branch, push it, and open the request with gh.")
    ] = False,
    dry_run: DryRunOption = False,
    plugin: PluginOption = None,
    quiet: QuietOption = False,
) -> None:
    """Hand in finished runs, for the boards of a site.

    Writes a bundle and the text of a pull request, and says what to type next. Checked first: every run is finished,
    and every figure follows from its predictions. The text says what changes on the boards of the bundles in the same
    folder, and how the runs were made. With --open the request is opened by git and gh, from the clone that you are in.
    """
    from ..core.display import Display
    from ..publishing.change import counted
    from ..publishing.request import check_can_open, checked, name_of, open_request, own_name, prepare
    from ..results.pseudonyms import Pseudonyms, new_salt, salt_in
    from ..results.run import chosen_runs

    if salt and not anonymise:
        raise SpecError("--salt: names are replaced only with --anonymise. Give both, or neither.")
    if out and name:
        raise SpecError("--name: --out says where the bundle goes and what it is called. Give one of the two.")
    if out and out.suffix != ".zip":
        raise SpecError(f"--out {out}: a bundle is a file NAME.zip.")
    maker = made_by or own_name()
    if not maker:
        raise SpecError("--from is missing: say whose runs these are, since git has no user.name here.")
    if open_ and not dry_run:
        check_can_open()
    display = Display(quiet=quiet)
    chosen = checked(chosen_runs(results, runs), display, synthetic=synthetic)
    bundle = out or Path("results") / f"{name or name_of(chosen)}.zip"
    pseudonyms = Pseudonyms(salt_in(salt) if salt else new_salt()) if anonymise else None
    request = prepare(chosen, bundle, maker, pseudonyms, display, write=not dry_run)
    if dry_run:
        standard_output().out(request.body, end="", highlight=False)
        typer.echo(f"would write {request.bundle} and {request.text}")
        return
    typer.echo(f"{counted(chosen)} in {request.bundle}; text of the request in {request.text}")
    if open_:
        typer.echo(open_request(request))
        return
    typer.echo("To hand them in, from a clone of your fork:")
    for command in request.commands:
        typer.echo(f"  {shlex.join(command)}")
