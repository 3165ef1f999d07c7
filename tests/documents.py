"""Markdown as the tests read it: its blocks of code, and its commands."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass

from tiny import Cli

FENCED = re.compile(r'^```(\w+)(?: title="([^"]+)")?\n(.*?)^```$', flags=re.DOTALL | re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """A fenced block. title: the file it stands in, "" for none."""

    language: str
    title: str
    code: str


def blocks(text: str, language: str = "") -> list[Block]:
    """All blocks of a page in their order, or those of one language."""
    found = [Block(*groups) for groups in FENCED.findall(text)]
    return [block for block in found if language in ("", block.language)]


def commands(code: str) -> list[str]:
    """The commands of a console block, one a line, without comments and without what has to be done before."""
    lines = (line.partition(" #")[0].rpartition("&&")[2].strip() for line in code.splitlines())
    return [line for line in lines if line]


def check_options(cli: Cli, line: str) -> None:
    """Assert that a command exists and has these options; `--help` is only given where the line could be parsed."""
    said = cli(*shlex.split(line)[1:], "--help")
    assert said.code == 0, f"{line}\n{said.err}"
