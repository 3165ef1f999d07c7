"""Discovery: built-in losses and backbones, then installed entry points, then files and modules a user names.

A plugin that cannot be imported is kept as broken with its traceback; it is fatal only when something it should
have registered is asked for, or when it was named by the user.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib
import importlib.util
import os
import pkgutil
import sys
import traceback
from collections.abc import Iterable, Iterator
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

from .errors import PluginError, in_words, shown
from .installation import raise_if_library
from .registry import Entry, Registry

BUILT_IN_PACKAGES = ("rsbench.losses", "rsbench.backbones", "rsbench.quality.indices", "rsbench.observers")
BUILT_IN_MODULES = ("rsbench.features.frontends", "rsbench.features.pretrained")
BUILT_IN_DATA = tuple(
    f"rsbench.data.{module}"
    for module in (
        *("icbhi", "sprsound", "sprsound_later", "kauh", "hf_lung", "respiratory_tr", "synthetic"),
        "built_in_tasks",
    )
)
ENTRY_POINT_GROUPS = ("rsbench.losses", "rsbench.backbones", "rsbench.quality", "rsbench.observers")
DATA_GROUPS = ("rsbench.datasets", "rsbench.tasks")
OF_FILES = "rsbench_plugin_"  # how the modules are called that plugin files become

broken: dict[str, str] = {}  # what could not be imported: entry point → traceback
_imported: dict[str, Path] = {}  # what a user named and was imported: module, or file → its file


@functools.cache
def discover() -> None:
    """Import everything that registers itself: once per process."""
    for package in BUILT_IN_PACKAGES:
        _import_package(package)
    for name in BUILT_IN_MODULES:
        importlib.import_module(name)
    discover_datasets()
    for group in ENTRY_POINT_GROUPS:
        _load_installed(group)


@functools.cache
def discover_losses() -> None:
    """Import what may bring losses: where there are only the built-in ones, neither pandas nor an index of quality."""
    if any(_installed().values()) or _named_outside():
        discover()
    else:
        _import_package(BUILT_IN_PACKAGES[0])


@functools.cache
def discover_datasets() -> None:
    """Import what may bring data sets, their splits and tasks: boards need no more, and so no torch."""
    for name in BUILT_IN_DATA:
        importlib.import_module(name)
    for group in DATA_GROUPS:
        _load_installed(group)
    for plugin in _named_outside():
        _import_once(plugin)


def _named_outside() -> list[str]:
    return list(filter(None, os.environ.get("RSBENCH_PLUGINS", "").split(os.pathsep)))


def _import_package(package: str) -> None:
    """Import every module of a package, but for those whose names begin with an underscore."""
    for module in pkgutil.iter_modules(importlib.import_module(package).__path__):
        if not module.name.startswith("_"):
            importlib.import_module(f"{package}.{module.name}")


@functools.cache
def _installed() -> dict[str, list[EntryPoint]]:
    """Group → what installed packages bring to it. A file of every package is read for it, so once per process."""
    points = entry_points()
    return {group: list(points.select(group=group)) for group in ENTRY_POINT_GROUPS + DATA_GROUPS}


def _load_installed(group: str) -> None:
    for point in _installed()[group]:
        try:
            with prints_apart():
                point.load()
        except BaseException as error:  # whatever a stranger's package raises: shown by `list`, fatal when asked for
            if is_interrupt(error):
                raise
            broken[f"{point.name} ({point.value})"] = traceback.format_exc()


def load(plugin: str) -> Path:
    """Import a plugin named by the user, a path to a .py file or a module name, and return its file.

    Raises PluginError with the last line of its traceback when it cannot be imported.
    """
    discover()
    return _import_once(plugin)


def _import_once(plugin: str) -> Path:
    """Import a plugin, under whatever path its file is named again."""
    if plugin.endswith(".py"):
        if not Path(plugin).is_file():
            raise PluginError(f"--plugin {plugin}: there is no such file.")
        if not Path(plugin).stat().st_size:
            raise PluginError(f"--plugin {plugin}: the file is empty, so it registers nothing.")
        plugin = str(Path(plugin).resolve())
    elif not all(part.isidentifier() for part in plugin.split(".")):
        raise PluginError(f"--plugin {shown(plugin)}: name a file that ends in .py, or a module as Python imports it.")
    if plugin not in _imported:
        _imported[plugin] = _import(plugin)
    return _imported[plugin]


def _import(plugin: str) -> Path:
    path = Path(plugin)
    try:
        with prints_apart():
            return _executed(plugin, path)
    except PluginError:
        raise
    except BaseException as error:  # whatever the user's own code raises, sys.exit too, is reported with its place
        if is_interrupt(error):
            raise
        raise_if_library(error)
        raise PluginError(
            f"Plugin {plugin} cannot be imported: {in_words(error, path)}. Mend it, or do without it."
        ) from error


def _executed(plugin: str, path: Path) -> Path:
    if not plugin.endswith(".py"):
        return Path(importlib.import_module(plugin).__file__ or plugin)
    name = f"{OF_FILES}{path.stem}_{hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:8]}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return path.resolve()


def prints_apart() -> contextlib.AbstractContextManager[object]:
    """What code of strangers prints goes to standard error: standard output is for results."""
    return contextlib.redirect_stdout(sys.stderr)


def is_interrupt(error: BaseException) -> bool:
    """Whether somebody interrupted the process: a signal raises KeyboardInterrupt between lines, code on one."""
    if not isinstance(error, KeyboardInterrupt):
        return False
    reached = traceback.extract_tb(error.__traceback__)
    return not (reached and (reached[-1].line or "").startswith("raise "))


@contextlib.contextmanager
def scoped(registries: Iterable[Registry[Any]]) -> Iterator[None]:
    """What plugins bring to these registries in the block is forgotten at its end; loaded again, it is there again."""
    before = dict(_imported)
    with contextlib.ExitStack() as stack:
        for registry in registries:
            stack.enter_context(registry.scoped())
        try:
            yield
        finally:
            _imported.clear()
            _imported.update(before)


def broken_in_words() -> list[str]:
    """A line for each installed plugin that could not be imported: its name, and the last line of its traceback."""
    return [f"broken plugin {name}: {trace.strip().splitlines()[-1]}" for name, trace in broken.items()]


def is_built_in(entry: Entry[Any]) -> bool:
    """Whether rsbench brings a registered thing itself."""
    built_in = {Path(part).resolve() for name in ("rsbench", *BUILT_IN_PACKAGES) for part in _package_path(name)}
    return any(parent in built_in for parent in entry.origin.resolve().parents)


def plugin_of(entry: Entry[Any]) -> str:
    """What brought a registered thing that is not built in: a file's name, "my_loss.py", or a module's, "my.losses"."""
    module = str(getattr(entry.source, "__module__", ""))
    return entry.origin.name if module.startswith((OF_FILES, "__main__")) else module


def _package_path(name: str) -> list[str]:
    return list(importlib.import_module(name).__path__)
