"""What every result in Python can do."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING

import pandas as pd

from ..report.tables.formats import Sheet, html_of, joined, latex, text

if TYPE_CHECKING:
    from ..report.figures.figure import ReportFigure

WIDTH = 200  # letters of a line where it is printed


class Result(ABC):
    """A result as the commands print it. A notebook shows its tables; `print` writes them as a terminal has them."""

    @property
    @abstractmethod
    def sheets(self) -> Sequence[Sheet]:
        """Its tables, in order."""

    @property
    def frame(self) -> pd.DataFrame:
        """All figures with every digit, one row below the other."""
        return joined(self.sheets)

    @abstractmethod
    def figure(self) -> ReportFigure:
        """A matplotlib figure. Raises ResultsError where there is nothing to draw."""

    def to_latex(self) -> str:
        r"""The tables for a paper, which takes `\usepackage{booktabs}`; numbers as they are printed."""
        return "\n".join(map(latex, self.sheets))

    def __repr__(self) -> str:
        return text(self.sheets, WIDTH)

    def _repr_html_(self) -> str:
        """Tables in a notebook."""
        return "".join(map(html_of, self.sheets))
