"""Two csv files for a run, the first of which can be followed with `tail -f`."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from .observer import ObservedRun, Observer, register_observer


@register_observer("csv", summary="log.csv, a line per epoch, and figures.csv, a line per final figure")
class CsvFiles(Observer):
    """Files in `logs/csv/<run id>/`."""

    def begin(self, run: ObservedRun) -> None:
        self._folder = run.folder
        run.folder.mkdir(parents=True)

    def epoch(self, row: Mapping[str, Any]) -> None:
        log = self._folder / "log.csv"
        _append(log, [row.values()] if log.exists() else [row.keys(), row.values()])

    def end(self, state: str, figures: Mapping[str, float]) -> None:
        if state == "done":
            _append(self._folder / "figures.csv", [("figure", "value"), *figures.items()])


def _append(path: Path, lines: Iterable[Iterable[Any]]) -> None:
    with path.open("a", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(lines)
