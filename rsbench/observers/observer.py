"""The contract of an observer. It is told what epochs.csv gets and the final figures; nothing comes back from it."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from ..core.errors import InstallationError, PluginError
from ..core.registry import Registry

OBSERVERS: Registry[type[Observer]] = Registry("observer")

_O = TypeVar("_O", bound="type[Observer]")


@dataclass(frozen=True)
class ObservedRun:
    """What an observer is told when a run begins.

    Attributes:
        run_id: names the run.
        spec: all its settings, as spec.json has them.
        folder: `<results>/logs/<observer>/<run id>`, not there yet, for the observer to make; its parent is shared by
            all runs.
    """

    run_id: str
    spec: Mapping[str, Any]
    folder: Path


class Observer:
    """Base of every observer; a subclass defines what it needs of `begin`, `epoch` and `end`.

    One object is made for each run, without arguments, and sees that run alone; other runs may train in turns with it.
    An observer that raises is reported once and left out of that run, whose result is the same with it or without.

    Attributes:
        requires: top-level module that must be installed → what pip installs for it, as {"wandb": "rsbench[wandb]"}.
    """

    requires: ClassVar[Mapping[str, str]] = {}

    def begin(self, run: ObservedRun) -> None:
        """A run begins, or goes on after a stop: what was kept in its folder is gone, and all epochs are told again."""

    def epoch(self, row: Mapping[str, Any]) -> None:
        """A row of epochs.csv, in order and each once: `epoch` from 1, `train_loss`, and what the run has beside them.

        Of a split with folds a row is a mean over folds, so that all rows come when the last fold is trained.
        """

    def end(self, state: str, figures: Mapping[str, float]) -> None:
        """The run is "done", "interrupted" or "failed".

        Args:
            state: one of these words.
            figures: of a run that is done, the numbers of metrics.json, as
                "val/icbhi-official/val-bias/score"; else {}.
        """


def register_observer(name: str, *, summary: str = "") -> Callable[[_O], _O]:
    """Register a subclass of `Observer`. Raises PluginError when it is none, or the name is taken."""

    def decorate(observer: _O) -> _O:
        if not (isinstance(observer, type) and issubclass(observer, Observer)):
            raise PluginError(f"@register_observer('{name}') takes a subclass of rsbench.Observer.")
        OBSERVERS.register(name, observer, summary=summary)
        return observer

    return decorate


def observers_named(names: str | Sequence[str], plugins: Sequence[str] = ()) -> tuple[str, ...]:
    """The observers that were asked for, each once; of a text, those between commas.

    Raises SpecError for one that is not registered, and InstallationError where a library that it needs is missing.
    """
    given = [name.strip() for name in names.split(",")] if isinstance(names, str) else list(names)
    chosen = tuple(dict.fromkeys(filter(None, given)))
    if not chosen:
        return ()
    from ..core.plugins import discover, load

    discover()
    for plugin in plugins:
        load(plugin)
    for name in chosen:
        for module, distribution in OBSERVERS.entry(name).value.requires.items():
            if importlib.util.find_spec(module) is None:
                raise InstallationError(
                    f"Observer '{name}' needs {module}, which is not installed. This mends it: "
                    f"pip install '{distribution}'"
                )
    return chosen
