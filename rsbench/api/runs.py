"""Runs: those of a folder."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from ..report.tables.formats import Sheet
from ..report.tables.runs import runs_sheet
from ..results.places import results_to_read
from ..results.run import Run, chosen_runs
from .result import Result

if TYPE_CHECKING:
    from ..report.figures.figure import ReportFigure


@dataclass(frozen=True, repr=False)
class Runs(Result):
    """Some runs, in whatever state: a sequence of `Run`, and their figures as a table.

    The frame has a row per run, rule, split and operating point; a run that is not done has one, without figures.
    """

    runs: Sequence[Run]

    def __len__(self) -> int:
        return len(self.runs)

    def __iter__(self) -> Iterator[Run]:
        return iter(self.runs)

    def __getitem__(self, place: int) -> Run:
        return self.runs[place]

    @cached_property
    def sheets(self) -> Sequence[Sheet]:
        return [runs_sheet(self.runs)]

    def figure(self) -> ReportFigure:
        """How those that are done learnt, a line per run."""
        from ..report.figures.results import curves_figure

        finished = set(self.frame.query("state == 'done'")["run_id"])  # none of which is damaged
        done = [run for run in self.runs if run.run_id in finished]
        epochs = [run.epochs.assign(run_id=run.run_id, loss=run.spec.loss.name, seed=run.spec.seed) for run in done]
        return curves_figure(pd.concat(epochs, ignore_index=True) if epochs else pd.DataFrame())


def runs(*which: str, results: str | Path = "results") -> Runs:
    """Runs of a folder, in whatever state.

    >>> rsbench.runs("qlung-*").frame.groupby("loss")["score"].mean()

    Args:
        which: ids, their beginnings, globs, or folders of runs; none: all.
        results: the folder that holds runs/; a bundle; or "public", all that was pulled.

    Raises ResultsError where there is no such folder, and for a word that no run matches.
    """
    return Runs(chosen_runs(results_to_read(results), which))
