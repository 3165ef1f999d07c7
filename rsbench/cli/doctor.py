"""`rsbench doctor`."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from ..core.errors import DataError
from ..core.plugins import prints_apart
from .options import PluginOption, QuietOption, RootOption, standard_output

if TYPE_CHECKING:
    from rich.table import Table

    from ..conformance.examination import Finding

EXAMPLES = """
rsbench doctor
rsbench doctor --plugin my_loss.py my_margin
rsbench doctor --kind backbone mn40 timm:convnext_tiny
rsbench doctor --kind dataset --root DATA
"""


class ExaminedKind(enum.Enum):
    loss = "loss"
    backbone = "backbone"
    index = "index"
    dataset = "dataset"


def doctor(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="NAME", help="Only these, timm:MODEL and hf:FOLDER too. Default: all."),
    ] = None,
    kind: Annotated[ExaminedKind | None, typer.Option(help="Only losses, backbones, indices or data sets.")] = None,
    root: RootOption = None,
    plugin: PluginOption = None,
    quiet: QuietOption = False,
) -> None:
    """Check this machine, and all losses, backbones and data sets.

    Quality indices too: all must keep their contracts, yours as well. On the CPU, in a minute or two. Data sets are
    looked at where a root holds them; nothing else needs recordings. Exit code 1 when a contract or an installed plugin
    is broken.
    """
    import os

    from ..conformance.examination import examine, plan
    from ..conformance.machine import machine
    from ..core.display import Display
    from ..core.plugins import broken_in_words
    from ..data.sources import Roots
    from ..report.tables.terminal import print_table

    try:
        roots = Roots.parse(root or (), os.environ)
    except DataError:
        if root:
            raise
        roots = Roots()  # that RSBENCH_DATA names no folder is said of the machine
    planned = plan(names or (), kind.value if kind else None, roots)
    console = standard_output()
    print_table(_machine_table(machine()), console)
    with Display(quiet=quiet).track("checks", sum(len(one.checks) for one in planned)) as advance, prints_apart():
        findings = [examine(one, advance) for one in planned]
    print_table(_findings_table(findings), console)
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
    checked = sum(bool(finding.examination.checks) for finding in findings)
    others = f", {len(findings) - checked} not checked" if checked < len(findings) else ""
    return "\n" + "\n\n".join([*paragraphs, f"{checked} checked in {seconds:.0f} s{others}: {whole}."])
