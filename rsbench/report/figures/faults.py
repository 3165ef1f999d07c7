"""Pictures of the worst recordings: their spectrograms, and why each is among them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import seaborn as sns

from ...core.display import Display
from ...data.audio import read
from ...quality.faults import RecordingFaults
from ..tables.faults import NO_FAULT
from .board import finished
from .figure import FigureStyle, ReportFigure, write_figure
from .recording import draw_spectrogram, figure_files
from .style import STYLE

WIDTH, HEIGHT = 8.0, 2.1  # inches of a recording


def write_fault_figures(
    name: str, found: RecordingFaults, worst: int, figure: Path, display: Display, style: FigureStyle | None = None
) -> None:
    """A page of the worst recordings where `figure` is the name of a picture, else a picture of each in that folder."""
    rows = found.frame.head(worst).to_dict("records")
    if not rows:
        return
    if figure.suffix and not figure.is_dir():
        files = {figure: rows}
    else:
        of_paths = figure_files(figure, [Path(row["path"]) for row in rows])
        files = {of_paths[Path(row["path"])]: [row] for row in rows}
    with display.track("drawing", len(files)) as advance:
        for file, of_file in files.items():
            write_figure(faults_figure(name, of_file), file, style)
            advance(1, file.name)
    display.say(f"pictures of the {len(rows)} worst in {figure}")


def faults_figure(name: str, rows: Sequence[Mapping[Any, Any]]) -> ReportFigure:
    """Spectrograms of recordings, rows of the frame of `RecordingFaults`, each under its faults and measures."""
    with sns.axes_style("white", STYLE):
        figure = ReportFigure(figsize=(WIDTH, HEIGHT * len(rows) + 0.7), layout="constrained")
        panels = figure.subplots(len(rows), 1, squeeze=False)[:, 0]
    for axes, row in zip(panels, rows, strict=True):
        draw_spectrogram(axes, *read(Path(row["path"])))
        axes.set_title(
            f"{row['recording']}: {row['faults'] or NO_FAULT}\n{in_words(row)}", loc="left", fontsize="small"
        )
    panels[-1].set(xlabel="time (s)")
    return finished(figure, f"{name}: worst recordings")


def in_words(row: Mapping[Any, Any]) -> str:
    """The measures of a recording in a line."""
    return (
        f"silent {row['silent_share']:.1%}, clipped {row['clipped_share']:.2%}, SNR {row['snr_db']:.0f} dB, "
        f"reaches {row['bandwidth_hz']:.0f} Hz"
    )
