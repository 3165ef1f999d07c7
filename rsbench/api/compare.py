"""Two runs side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from ..boards.pair import Comparison
from ..boards.pair import compare as compare_runs
from ..report.tables.formats import Sheet, latex
from ..report.tables.pair import pair_sheets
from ..results.places import results_to_read
from ..results.run import Run, as_written
from .result import Result

if TYPE_CHECKING:
    from ..report.figures.figure import ReportFigure


@dataclass(frozen=True, repr=False)
class ComparedRuns(Result):
    """Two finished runs; `found` has a frame for each question, see `Comparison`."""

    found: Comparison

    @cached_property
    def sheets(self) -> Sequence[Sheet]:
        return list(pair_sheets(self.found))

    @property
    def frame(self) -> pd.DataFrame:
        """The paired differences: `Comparison.scores`."""
        return self.found.scores

    def figure(self) -> ReportFigure:
        """The paired difference of the Score with its interval, a panel per split."""
        from ..report.figures.results import pair_figure

        return pair_figure(self.found)

    def to_latex(self) -> str:
        """The paired differences, a table per split."""
        return "\n".join(latex(sheet) for sheet in self.sheets if "score_delta" in sheet.frame)


def compare(
    first: str | Path | Run, second: str | Path | Run, *, results: str | Path = "results", split: str | None = None
) -> ComparedRuns:
    """Two finished runs, as `rsbench compare` has them: every difference is the second minus the first.

    >>> rsbench.compare("ce-cnn6-s0", "qlung-cnn6-s0").frame

    Args:
        first: a run, or its id, a beginning of it that no other has, a glob of it, or its folder.
        second: the same.
        results: the folder that holds runs/; a bundle; or "public", all that was pulled.
        split: splits, with commas between; None: all on which both were judged.

    Raises ResultsError where there is no such run, and where the two must not be compared, with the reason.
    """
    one, other = (run if isinstance(run, Run) else Run.load(run, results_to_read(results)) for run in (first, second))
    with as_written(one, other):
        return ComparedRuns(compare_runs(one, other, split))
