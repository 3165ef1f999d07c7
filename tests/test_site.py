"""The documentation's site: it can be built, fetches nothing, and has every command and every public name."""

from __future__ import annotations

import dataclasses
import inspect
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from html import unescape
from pathlib import Path
from typing import Any

import pytest
import typer
from test_docs import PAGES
from tiny import PROJECT
from typer.core import TyperArgument, TyperGroup

import rsbench
from rsbench.cli import app

FETCHED = re.compile(r'<(?:script|link|img|iframe)\b[^>]*\b(?:src|href)="(?:https?:)?//[^"]*"')
LINK = re.compile(r'\b(?:src|href)="([^"]*)"')
TAG = re.compile(r"<[^>]+>")
ARRAY = re.compile(r"(Tensor|NDArray|Floats)\b")
SHAPE = re.compile(r"\([\wα-ω·]+(, [\w·]+)*,?\)|[Aa]ny shape")

Command = tuple[str, Any]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    build = [sys.executable, "-m", "sphinx", "-W", "-q", "docs", folder, "-d", tmp_path_factory.mktemp("doctrees")]
    done = subprocess.run(build, cwd=PROJECT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder


def commands(command: Any, name: str) -> Iterator[Command]:
    """A command and all below it, by what is typed."""
    yield name, command
    if isinstance(command, TyperGroup):
        for word, below in command.commands.items():
            yield from commands(below, f"{name} {word}")


def public() -> dict[str, Any]:
    """Every public name but the version, and what `rsbench.sweep` is when it is called."""
    from rsbench.api.sweep import sweep

    named = {name: getattr(rsbench, name) for name in rsbench.__all__ if name != "__version__"}
    return {**named, "sweep": sweep}


def callables(name: str, thing: Any) -> Iterator[tuple[str, Callable[..., Any]]]:
    """A public function, or a public class and its own methods."""
    if inspect.isfunction(thing) or dataclasses.is_dataclass(thing) or "__init__" in vars(thing):
        yield name, thing
    if inspect.isclass(thing):
        own = ((word, getattr(value, "__func__", value)) for word, value in vars(thing).items() if word[0] != "_")
        yield from ((f"{name}.{word}", value) for word, value in own if inspect.isfunction(value))


def test_every_page_is_built_and_fetches_nothing(site: Path) -> None:
    made = {path.relative_to(site).with_suffix("").as_posix() for path in site.rglob("*.html")}
    assert made == {*PAGES, "study", "genindex", "search"}
    for page in site.rglob("*.html"):
        assert not FETCHED.search(page.read_text(encoding="utf-8")), page.name


def test_links_are_to_files_so_that_pages_open_from_disk(site: Path) -> None:
    for page in site.rglob("*.html"):
        for link in map(unescape, LINK.findall(page.read_text(encoding="utf-8"))):
            path = link.partition("#")[0].partition("?")[0]
            if path and "://" not in path:
                assert (page.parent / path).is_file(), f"{page.name}: {link}"


def test_commands_are_whole(site: Path) -> None:
    """Every command has its section; in it stand its summary, its arguments, options and defaults, and its examples."""
    text = unescape(TAG.sub("", (site / "commands.html").read_text(encoding="utf-8")))
    parts = re.split(r"^(rsbench[a-z -]*)¶$", text, flags=re.MULTILINE)
    sections = dict(zip(parts[1::2], parts[2::2], strict=True))
    every = dict(commands(typer.main.get_command(app), "rsbench"))
    assert len(every) > 25
    for name, command in every.items():
        section = " ".join((parts[0] if name == "rsbench" else sections[name]).split())
        for one in (one for one in command.params if not getattr(one, "hidden", False)):
            assert isinstance(one, TyperArgument) or max(one.opts, key=len) in section, f"{name}: {one.opts}"
            assert one.help, f"{name}: {one.opts}"
            assert " ".join(one.help.split()) in section, f"{name}: {one.opts}"
        examples = re.findall(r"^ *(rsbench .+)$", command.epilog or "", flags=re.MULTILINE)
        assert all(" ".join(example.split()) in section for example in examples), name


def test_every_public_name_is_in_the_reference(site: Path) -> None:
    page = (site / "api.html").read_text(encoding="utf-8")
    assert public().keys() <= set(re.findall(r'id="rsbench\.(?:[\w.]+\.)?(\w+)"', page))
    words = " ".join(unescape(TAG.sub("", page)).split())
    for name, thing in public().items():
        if callable(thing) and inspect.getdoc(thing):
            first = str(inspect.getdoc(thing)).partition("\n")[0].replace("`", "")
            assert " ".join(first.split()) in words, name


def test_what_takes_arrays_says_their_shapes() -> None:
    for name, thing in (one for word, value in public().items() for one in callables(word, value)):
        told = inspect.getdoc(thing)
        assert told, f"{name} has no docstring"
        taken = [one for one in inspect.signature(thing).parameters.values() if ARRAY.match(str(one.annotation))]
        if taken:
            assert SHAPE.search(told), f"{name} takes {', '.join(one.name for one in taken)}, and says no shape"
