"""The observers of one run, and what keeps them from changing or stopping it."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..core.errors import in_words
from ..core.files import remove
from ..core.plugins import is_interrupt, prints_apart
from .observer import OBSERVERS, ObservedRun, Observer

LOGS = "logs"  # beside runs/: no part of a record, and never read back


class RunObservers:
    """Tells every observer of one run, and leaves out one that raises.

    Args:
        names: of registered observers.
        out: the folder that holds runs/.
        warn: told in one sentence of an observer that is left out.

    figures: metrics.json, once it is known; told when the run is done.
    """

    def __init__(self, names: Sequence[str], out: Path, warn: Callable[[str], None]) -> None:
        self.figures: Mapping[str, Any] = {}
        self._names = names
        self._out = out
        self._warn = warn
        self._present: dict[str, Observer] = {}
        self._told = 0  # rows of epochs.csv

    def begin(self, run_id: str, spec: Mapping[str, Any]) -> None:
        """Make them. One that is not registered here, or cannot begin, is left out."""
        for name in self._names:
            folder = self._out / LOGS / name / run_id
            self._tell(name, self._begin, name, ObservedRun(run_id, copy.deepcopy(dict(spec)), folder))

    def epochs(self, rows: Sequence[Mapping[Any, Any]]) -> None:
        """All rows of epochs.csv so far; those that are new are told."""
        for row in rows[self._told :]:
            for name, observer in list(self._present.items()):
                self._tell(name, observer.epoch, dict(row))
        self._told = len(rows)

    def end(self, state: str) -> None:
        """The run is over: done, interrupted or failed."""
        figures = dict(_numbers(self.figures)) if state == "done" else {}
        for name, observer in list(self._present.items()):
            self._tell(name, observer.end, state, dict(figures))
        self._present.clear()

    def _begin(self, name: str, run: ObservedRun) -> None:
        remove(run.folder)
        self._present[name] = OBSERVERS.create(name)
        self._present[name].begin(run)

    def _tell(self, name: str, tell: Callable[..., None], *what: Any) -> None:
        try:
            with prints_apart():
                tell(*what)
        except BaseException as error:  # sys.exit and whatever else a stranger's code raises; Ctrl-C is the user's
            if is_interrupt(error):
                raise
            self._present.pop(name, None)
            origin = OBSERVERS.entry(name).origin if name in OBSERVERS.names() else Path()
            self._warn(f"observer '{name}' failed, and is told no more of this run: {in_words(error, origin)}")


def _numbers(figures: Mapping[str, Any], within: str = "") -> Iterator[tuple[str, float]]:
    """Every number of nested figures, under the keys that lead to it with a / between."""
    for key, value in figures.items():
        if isinstance(value, Mapping):
            yield from _numbers(value, f"{within}{key}/")
        elif isinstance(value, int | float):
            yield f"{within}{key}", value
