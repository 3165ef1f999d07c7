"""What code a result was made with: hashes that comments, docstrings and formatting do not change."""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib.util
import inspect
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .. import HOME_OF
from .errors import PluginError
from .registry import Entry

PROJECT = "rsbench"
# What decides a result beside what is registered: whatever of these rooms the training of a run imports.
TRAINING = f"{PROJECT}.experiment.run"
ROOMS = ("core", "data", "evaluation", "experiment", "features", "training")
# These carry messages, files and names, and no arithmetic: whatever is edited in them, a result stays what it was. What
# they decide of a run (a default of its spec, say) is written out in its record.
PLUMBING = frozenset(
    f"{PROJECT}.{name}"
    for name in (
        *("core.cache", "core.display", "core.downloads", "core.errors", "core.files", "core.fingerprint"),
        *("core.installation", "core.plugins", "core.registry", "core.settings", "core.spec", "core.text"),
        *("data.hashing", "data.sources", "observers.observer"),
    )
)


def code_sha256(entry: Entry[Any]) -> str:
    """The hash of a registered thing's code: the file that registered it, with all that it imports of its own project.

    What a plugin imports of rsbench counts too, as what a built-in loss imports does.

    Raises PluginError for a thing typed at a prompt, whose source nobody can tell.
    """
    if entry.origin.is_file():
        return _of_files(_closure(_module_of(entry), entry.origin))
    try:
        source = inspect.getsource(entry.source)  # type: ignore[arg-type]
    except (OSError, TypeError):
        raise PluginError(
            f"'{entry.name}' was typed at a prompt, so a record could not say what it was. "
            "Write it to a file and load that as a plugin."
        ) from None
    return hashlib.sha256(_text(ast.parse(textwrap.dedent(source))).encode()).hexdigest()


@functools.cache
def training_sha256() -> str:
    """The hash of the code of training and protocol: what ROOMS hold of all that TRAINING imports.

    Data sets and front ends are among it where they are imported by name; what is registered has a hash of its own.
    """
    rooms = tuple(f"{PROJECT}.{room}." for room in ROOMS)
    found = _closure(TRAINING, _file_of(TRAINING))
    return _of_files({name: path for name, path in found.items() if name.startswith(rooms)})


def _module_of(entry: Entry[Any]) -> str:
    module = inspect.getmodule(entry.source)
    return module.__name__ if module else ""


def _closure(name: str, path: Path | None) -> dict[str, Path]:
    """Module → file of a module and of all that it imports, directly or not, of its own package and of the project."""
    packages = {PROJECT, name.partition(".")[0]}
    found: dict[str, Path] = {}
    waiting = [(name, path)]
    while waiting:
        name, path = waiting.pop()
        if path is None or name in found or name in PLUMBING:
            continue
        found[name] = path
        package = name if path.name == "__init__.py" else name.rpartition(".")[0]
        imported = set(_imported(_tree(path), package))
        # `import rsbench` or `from .. import __version__` does not make all of the project part of a module.
        waiting += [
            (other, _file_of(other)) for other in imported if other.partition(".")[0] in packages and "." in other
        ]
    return found


def _imported(tree: ast.Module, package: str) -> Iterator[str]:
    """Every module that a file may import; of `from a import b`, a as well as a.b."""
    for node in _statements(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")
            above = above[: len(above) - node.level + 1] if node.level else []
            base = ".".join([*above, *filter(None, [node.module])])
            yield base
            names = [alias.name for alias in node.names]
            if base == PROJECT:  # whose public names live elsewhere
                names = [HOME_OF.get(name, name) for name in names]
            yield from (f"{base}.{name}" for name in names)


def _statements(node: ast.AST) -> Iterator[ast.AST]:
    """Every statement, those inside of others too: expressions, most of a tree, import nothing."""
    for name in ("body", "orelse", "finalbody", "handlers", "cases"):
        for inner in getattr(node, name, ()):
            if isinstance(inner, ast.stmt | ast.ExceptHandler | ast.match_case):
                yield inner
                yield from _statements(inner)


@functools.cache
def _file_of(module: str) -> Path | None:
    """The source of a module; None for what is no module, or has none."""
    try:
        spec = importlib.util.find_spec(module)
    except (ImportError, ValueError):  # `a.b` where a is no package
        return None
    return Path(spec.origin) if spec and spec.origin and spec.origin.endswith(".py") else None


@functools.cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_bytes(), str(path))


def _of_files(files: dict[str, Path]) -> str:
    # By content, not by name: a plugin's module is called after its place.
    return hashlib.sha256("\n".join(sorted(map(_text_of, files.values()))).encode()).hexdigest()


@functools.cache
def _text_of(path: Path) -> str:
    return _text(_tree(path))


def _text(tree: ast.Module) -> str:
    words: list[str] = []
    _write(tree, words)
    return "".join(words)


def _write(node: Any, words: list[str]) -> None:
    """A syntax tree in words, the same on every Python: without places, docstrings, and what is empty or implied."""
    if isinstance(node, ast.AST):
        words.append(f"({type(node).__name__}")
        for name in node._fields:
            value = getattr(node, name, None)
            # Whether a name is read or written (ctx) follows from its place.
            if value is None or value == [] or name == "ctx":
                continue
            if type(node) is ast.JoinedStr:  # Python 3.12 ends some formats with an empty text
                value = [part for part in value if not (isinstance(part, ast.Constant) and part.value == "")]
            if type(value) is str:
                words.append(f" {name}={value!r}")
            else:
                words.append(f" {name}=")
                _write(value, words)
        words.append(")")
    elif type(node) is list:
        words.append("[")
        for item in node:
            if not _is_docstring(item):
                _write(item, words)
        words.append("]")
    else:
        words.append(repr(node))


def _is_docstring(node: Any) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
