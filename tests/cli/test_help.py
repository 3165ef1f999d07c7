"""The face of the command line: one name per thing, helps that fit 80 columns, examples that can be copied."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from typing import Any

import pytest
import typer
from tiny import Cli
from typer.testing import CliRunner

from rsbench.cli import app
from rsbench.cli.help import ALIKE, WIDTH, folded
from rsbench.cli.options import SHARED

Helps = dict[tuple[str, ...], list[str]]

PANELS = ["Train", "Judge", "Share", "Look", "Data"]
MOST_LINES = 4  # of an option's help at 80 columns, its default among them


def walk(command: Any, *names: str) -> Iterator[tuple[tuple[str, ...], Any]]:
    yield names, command
    for name, inner in getattr(command, "commands", {}).items():
        yield from walk(inner, *names, name)


COMMANDS = dict(walk(typer.main.get_command(app)))
OPTIONS = [
    (names, option, param)
    for names, command in COMMANDS.items()
    for param in command.params
    for option in param.opts
    if option.startswith("--")
]


def test_an_option_of_several_commands_means_one_thing() -> None:
    names = [option for _, option, _ in OPTIONS]
    for command, option, param in OPTIONS:
        if names.count(option) > 1:
            assert option in SHARED, f"{option}: say in SHARED what it means, and make it with option()"
            metavar, meaning = SHARED[option]
            assert param.help.startswith(meaning), f"{' '.join(command)} {option}: {param.help}"
            assert param.is_flag == (metavar is None), (command, option)
    assert set(SHARED) <= set(names)


def test_no_two_names_are_of_one_thing() -> None:
    """Of names that are alike, a folder of results and a file for somebody else are the only two that both stand."""
    names = {option for _, option, _ in OPTIONS} - {"--out", "--split", "--figures"}
    assert all(len(alike & names) == 1 for alike in ALIKE)


@pytest.fixture(scope="module")
def helps() -> Helps:
    """What every command's --help prints in a terminal of 80 columns."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("typer.rich_utils.MAX_WIDTH", 80)
        return {names: CliRunner().invoke(app, [*names, "--help"]).output.splitlines() for names in COMMANDS}


def test_every_help_fits_80_columns(helps: Helps) -> None:
    for names, lines in helps.items():
        assert max(map(len, lines)) <= 80, names
        told = 0
        for line in lines:
            told = told + 1 if re.match(r"│ {9,}\S", line) else 1
            assert told <= MOST_LINES, (names, line)


def test_commands_stand_in_panels_a_line_each(helps: Helps) -> None:
    _, *panels = re.split(r"^╭─ (\w+) ─+╮$", "\n".join(helps[()]), flags=re.MULTILINE)
    listed = dict(zip(panels[::2], panels[1::2], strict=True))
    assert list(listed) == ["Options", *PANELS]
    rows = [line for panel in PANELS for line in listed[panel].splitlines() if line.startswith("│")]
    assert sorted(row.split()[1] for row in rows) == sorted(COMMANDS[()].commands)


def test_examples_can_be_copied_as_they_stand(helps: Helps) -> None:
    for names, command in COMMANDS.items():
        if not hasattr(command, "commands"):
            lines = "\n".join(helps[names]).partition("\n Example")[2].partition("\n\n")[2].splitlines()
            assert lines, f"{names} has no example"
            assert all(line == line.rstrip() and len(line) <= WIDTH + len("  ") for line in lines), names
            for example in "\n".join(lines).replace("\\\n", " ").splitlines():
                assert example.startswith("  rsbench "), example
                parse(*shlex.split(example.partition(" > ")[0])[1:])


def test_an_example_with_a_wrong_option_would_be_found() -> None:
    parse("sweep", "smoke", "--serial")
    with pytest.raises(Exception, match="No such option"):
        parse("sweep", "smoke", "--out", "results")


def parse(*words: str) -> None:
    """Raises typer's error for an option that the command has not; nothing is loaded or carried out."""
    names = max((names for names in COMMANDS if names == words[: len(names)]), key=len)
    names = ("sweep", "run") if names == ("sweep",) else names
    context = COMMANDS[names].make_context(" ".join(names), [], resilient_parsing=True)
    context.resilient_parsing = False
    COMMANDS[names].make_parser(context).parse_args(list(words[len(names) :]))


def test_a_folded_command_is_the_same_command() -> None:
    long = "rsbench run " + " ".join(f"--set loss.option_{number}='a  b'" for number in range(9)) + " > run.json"
    lines = folded(long).split("\n")
    assert all(line.endswith(" \\") and len(line) <= WIDTH for line in lines[:-1])
    assert shlex.split(folded(long).replace("\\\n", "")) == shlex.split(long)
    assert folded("rsbench doctor") == "rsbench doctor"


@pytest.mark.parametrize(
    ("typed", "right"),
    [
        ("run --out there", "--results"),
        ("run --json", "--format"),
        ("score preds.csv --split tiny", "--test"),
        ("score preds.csv --seed 1", "--seeds"),
        ("merge there --out here", "--results"),
        ("embed --data tiny", "--dataset"),
        ("quality --on tiny", "--dataset"),
        ("sweep run smoke --out there", "--results"),
        ("leaderboard --test tiny", "--split"),
        ("export --results there --data tiny --split x", None),
        ("show --run ce", "Runs are named without an option"),
    ],
)
def test_an_option_that_a_command_has_not_names_the_one_that_it_has(cli: Cli, typed: str, right: str | None) -> None:
    said = cli(*typed.split())
    assert said.code == 2
    assert "No such option" in said.err
    assert (right or "No such option") in said.err
    assert "Traceback" not in said.err
