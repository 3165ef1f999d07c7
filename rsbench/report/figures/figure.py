"""A figure as notebooks show it and papers print it."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from ...core.errors import StorageError

DPI = 160


class ReportFigure(Figure):
    """A matplotlib figure that a notebook shows by itself, and whose PDF embeds TrueType fonts, as journals ask."""

    def savefig(self, *args: Any, **options: Any) -> None:
        """As matplotlib has it."""
        with matplotlib.rc_context({"pdf.fonttype": 42, "ps.fonttype": 42}):
            super().savefig(*args, **options)

    def _repr_png_(self) -> bytes:
        """A picture in a notebook, whether or not pyplot is used there."""
        shown = io.BytesIO()
        self.savefig(shown, format="png")
        return shown.getvalue()


def write_figure(figure: ReportFigure, path: Path) -> None:
    """Write a figure; the ending of `path` says the format. Raises StorageError where that is impossible."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=DPI)
    except OSError as error:
        raise StorageError(f"--figure {path}: cannot be written ({error.strerror}).") from error
