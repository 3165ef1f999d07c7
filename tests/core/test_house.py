"""The picture of the house in CONTRIBUTING.md is the house: rooms import only rooms above them, and few print."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from tiny import PROJECT

from rsbench.results.schema import FILES
from rsbench.results.store import EPOCHS, FOLDS, SPEC

PICTURE = re.compile(r"^    (\w+)/ {2,}\S", flags=re.MULTILINE)
MAY_DRAW = re.compile(r"rsbench/(report|cli)/|rsbench/core/display\.py|rsbench/sweep/progress\.py")
DRAW = {"rich", "matplotlib", "seaborn"}
WITHOUT_TORCH = ("evaluation", "results", "boards", "report/tables", "publishing")


@cache
def rooms() -> list[str]:
    """From the ground up, as the picture has them."""
    text = (PROJECT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    _, _, picture = text.partition("## How the house is built")
    return PICTURE.findall(picture.partition("\n## ")[0])


def files() -> Iterator[Path]:
    yield from (path.relative_to(PROJECT) for path in sorted((PROJECT / "rsbench").rglob("*.py")))


def imports(path: Path, *, inside: bool = True) -> Iterator[str]:
    """The modules that a file names; with `inside`, those that it names within functions too."""
    tree = ast.parse((PROJECT / path).read_text(encoding="utf-8"))
    package = list(path.parts[:-1])
    for node in ast.walk(tree) if inside else tree.body:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*above, *filter(None, [node.module])])
            yield from (f"{module}.{alias.name}" for alias in node.names)


def test_every_room_is_in_the_picture() -> None:
    folders = {path.parent.name for path in (PROJECT / "rsbench").glob("*/__init__.py")}
    assert folders == set(rooms())
    assert len(rooms()) == len(folders)


@pytest.mark.parametrize("room", rooms())
def test_a_room_imports_only_rooms_above_it(room: str) -> None:
    allowed = set(rooms()[: rooms().index(room) + 1])
    for path in (path for path in files() if path.parts[1] == room):
        named = {module.split(".")[1] for module in imports(path) if module.startswith("rsbench.")}
        assert not (named & set(rooms())) - allowed, path


def test_what_prints_or_draws_stands_above_what_computes() -> None:
    for path in files():
        if not MAY_DRAW.match(path.as_posix()):
            assert not {module.partition(".")[0] for module in imports(path)} & DRAW, path


def test_boards_and_their_tables_run_without_torch() -> None:
    for path in files():
        if path.as_posix().removeprefix("rsbench/").startswith(WITHOUT_TORCH):
            assert not {module.partition(".")[0] for module in imports(path)} & {"torch", "timm", "ray"}, path


def test_the_harness_names_no_loss_and_no_backbone() -> None:
    for path in files():
        assert not [module for module in imports(path) if re.match(r"rsbench\.(losses|backbones)\.\w", module)], path


def test_a_run_folder_is_opened_by_results_alone() -> None:
    """Everybody else reads a `Run`; what makes a run writes through `RunFolder`."""
    names = {*FILES, SPEC, EPOCHS, FOLDS}
    for path in (path for path in files() if path.parts[1] != "results"):
        tree = ast.parse((PROJECT / path).read_text(encoding="utf-8"))
        texts = {
            node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)
        }
        assert not texts & names, path
        if path.as_posix() != "rsbench/experiment/run.py":
            assert not [module for module in imports(path) if module.startswith("rsbench.results.store")], path


def test_no_two_public_classes_share_a_name() -> None:
    """In rsbench, the losses and the backbones: one name, one thing."""
    named: dict[str, list[Path]] = {}
    for folder in ("rsbench", "losses", "backbones"):
        for path in sorted((PROJECT / folder).rglob("*.py")):
            for node in ast.parse(path.read_text(encoding="utf-8")).body:
                if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                    named.setdefault(node.name, []).append(path.relative_to(PROJECT))
    assert not {name: paths for name, paths in named.items() if len(paths) > 1}
