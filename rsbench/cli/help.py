"""How commands show their examples, and what they say of an option that they do not have."""

from __future__ import annotations

import inspect
import re
from collections.abc import Sequence
from typing import Any

from typer.core import TyperCommand, TyperGroup

WIDTH = 76  # of an example: a terminal of 80 columns shows it without folding it

# Names of one thing: where a command has not the one that was typed, it names the one that it has.
ALIKE = (
    {"--results", "--out"},
    {"--dataset", "--datasets", "--data", "--on"},
    {"--test", "--split"},
    {"--seeds", "--seed"},
    {"--format", "--json"},
    {"--figure", "--figures"},
    {"--save-every-s", "--save-every"},
)
A_RUN = {"--run", "--runs", "--run-id"}


def examples(commands: str) -> str:
    """The epilog of a command: its examples, a line each, folded where a terminal would.

    Args:
        commands: one a line.
    """
    lines = [folded(line) for line in commands.splitlines() if line]
    return "\n".join(["", f"[bold]Example{'s' * (len(lines) > 1)}[/bold]", "", *lines, ""])


def folded(command: str) -> str:
    """A command as a shell joins it again: every line but the last ends in a backslash, and options stay whole."""
    if len(command) <= WIDTH:
        return command
    first, *others = re.split(r" (?=--|> )", command)
    lines = [first]
    for words in others:
        if len(lines[-1]) + len(words) + len("  \\") <= WIDTH:
            lines[-1] += f" {words}"
        else:
            lines.append(f"    {words}")
    return " \\\n".join(lines)


class _Helpful:
    """Prints examples as they are typed, and names the right option where one is unknown."""

    help: str | None
    epilog: str | None
    params: list[Any]

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        if self.help:  # docstrings are folded for editors, and typer would keep these ends of lines
            self.help = re.sub(r"(?<!\n)\n(?!\n)", " ", inspect.cleandoc(self.help))

    def format_help(self, ctx: Any, formatter: Any) -> None:
        shown, self.epilog = self.epilog, None  # typer would fold the lines in the middle, and fill them with spaces
        try:
            super().format_help(ctx, formatter)  # type: ignore[misc]
        finally:
            self.epilog = shown
        if shown:
            head, *lines = re.sub(r"\[/?bold\]", "", shown).strip().splitlines()
            formatter.write("\n".join([f" {head}:", *(f"  {line}" if line else line for line in lines), ""]))

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        try:
            parsed: list[str] = super().parse_args(ctx, args)  # type: ignore[misc]
        except Exception as error:
            if hasattr(error, "option_name") and hasattr(error, "possibilities"):  # typer's NoSuchOption
                _name_the_right_one(error, self.params)
            raise
        return parsed


class HelpfulCommand(_Helpful, TyperCommand):
    """A command with examples."""


class HelpfulGroup(_Helpful, TyperGroup):
    """A group of commands with examples."""


def _name_the_right_one(error: Any, params: Sequence[Any]) -> None:
    """Let typer's error for an unknown option say which one the command has instead."""
    typed = error.option_name
    if typed in A_RUN and any("RUN" in (param.metavar or "") for param in params):
        error.message += ". Runs are named without an option"
    known = {name for param in params for name in param.opts}
    right = sorted(name for names in ALIKE if typed in names for name in names & known)
    error.possibilities = right or error.possibilities
