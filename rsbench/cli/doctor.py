"""`rsbench doctor`."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from ..core.plugins import prints_apart
from .options import PluginOption, QuietOption, standard_output

if TYPE_CHECKING:
    from rich.table import Table

    from ..conformance.examination import Finding

EXAMPLES = """
[bold]Examples[/bold]

rsbench doctor

rsbench doctor --plugin my_loss.py my_margin

rsbench doctor --kind backbone mn40 timm:convnext_tiny
"""


class ExaminedKind(enum.Enum):
    loss = "loss"
    backbone = "backbone"
    index = "index"


def doctor(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME…]", help="Only these, timm:MODEL and hf:FOLDER too. Default: all."),
    ] = None,
    kind: Annotated[ExaminedKind | None, typer.Option(help="Only losses, backbones or quality indices.")] = None,
    plugin: PluginOption = None,
    quiet: QuietOption = False,
) -> None:
    """Check this machine, and that every loss, backbone and quality index keeps its contracts, yours included.

    On the CPU, without recordings, in a minute or two. Exit code 1 when a contract or an installed plugin is broken.
    """
    from ..conformance.examination import examine, plan
    from ..conformance.machine import machine
    from ..core.display import Display
    from ..core.plugins import broken_in_words

    planned = plan(names or (), kind.value if kind else None)
    console = standard_output()
    console.print(_machine_table(machine()))
    with Display(quiet=quiet).track("checks", sum(len(one.checks) for one in planned)) as advance, prints_apart():
        findings = [examine(one, advance) for one in planned]
    console.print(_findings_table(findings))
    console.print(_in_words(findings), markup=False, soft_wrap=True)
    if broken_in_words() or any(finding.broken for finding in findings):
        raise typer.Exit(1)


def _machine_table(found: dict[str, str]) -> Table:
    from rich.markup import escape
    from rich.table import Table

    table = Table(title="machine", title_justify="left", show_header=False)
    for what, words in found.items():
        table.add_row(what, escape(words))
    return table


def _findings_table(findings: Sequence[Finding]) -> Table:
    from rich.markup import escape
    from rich.table import Table

    table = Table("kind", "name", "checks passed", "s", "note", title="contracts", title_justify="left")
    for finding in findings:
        examination = finding.examination
        passed = f"{finding.passed} of {len(examination.checks)}"
        columns = (examination.case.kind, str(examination.case), passed, f"{finding.seconds:.1f}", examination.note)
        table.add_row(*map(escape, columns), style="red" if finding.broken else None)
    return table


def _in_words(findings: Sequence[Finding]) -> str:
    """The broken contracts, each with what was seen and the remedy, and a closing line."""
    broken = [error for finding in findings for error in finding.broken]
    paragraphs = [
        f"{error.case.kind} {error.case} fails {error.check}\n"
        f"  contract: {error.contract}\n  seen:     {error.seen}\n  remedy:   {error.remedy}"
        for error in broken
    ]
    seconds = sum(finding.seconds for finding in findings)
    whole = f"{len(broken)} broken contract{'s' * (len(broken) > 1)}" if broken else "every contract is kept"
    return "\n" + "\n\n".join([*paragraphs, f"{len(findings)} checked in {seconds:.0f} s: {whole}."])
