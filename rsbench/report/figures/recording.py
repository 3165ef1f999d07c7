"""Recordings as pictures: the sound as a spectrogram, and below it what a model called when, and how well it heard."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import librosa
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.patches import Patch
from numpy.typing import NDArray

from ...core.display import Display
from ...core.errors import SpecError
from ...core.text import file_name
from ...data.audio import read
from ...data.tasks import Task
from ...inference.prediction import probability_columns
from ...results.trained_model import INTENDED_USE, TrainedModel
from ..tables.formats import PICTURES, known_picture
from .board import finished
from .figure import FigureStyle, ReportFigure, write_figure
from .style import PALETTE, QUIET, STYLE

WINDOW_S, HOP_S = 0.064, 0.016
MOST_FRAMES = 2000  # of a picture: of a longer recording the frames are further apart
MEL_BANDS = 96
TOP_HZ = 4000.0  # lung sounds end at half of it
TICKS_HZ = (100, 250, 500, 1000, 2000, 4000)
FROM_HZ = 100.0
RANGE_DB = 70.0
SPAN_ALPHA = 0.22
LINES = ("-", "--", ":")  # of classes beyond the palette


def figure_files(figure: Path, recordings: Sequence[Path]) -> dict[Path, Path]:
    """Recording → the file of its picture: `figure` itself for one, or a file of its name in the folder `figure`.

    Raises SpecError where a picture is named, and there are several recordings.
    """
    if not figure.suffix or figure.is_dir():
        stems = [file_name(path.stem) for path in recordings]
        seen: Counter[str] = Counter()
        files = {}
        for path, stem in zip(recordings, stems, strict=True):
            seen[stem] += 1  # of one name in several folders, the later ones get a number
            files[path] = figure / f"{stem}{f'-{seen[stem]}' if seen[stem] > 1 else ''}{PICTURES[0]}"
        return files
    known_picture(figure)
    if len(recordings) > 1:
        raise SpecError(
            f"--figure {figure}: is one picture, and these are {len(recordings)} recordings. Name a folder to get one "
            f"each, for example --figure {figure.with_suffix('')}."
        )
    return dict.fromkeys(recordings, figure)


def write_recording_figures(
    model: TrainedModel,
    rows: pd.DataFrame,
    quality: str,
    files: Mapping[Path, Path],
    display: Display,
    style: FigureStyle | None = None,
) -> None:
    """Draw each recording of which there are rows, and say where the pictures are.

    Args:
        model: what made the rows.
        rows: a row per clip, see `inference.prediction.columns_of`.
        quality: the scale of its quality, in words.
        files: recording, as it is named in the rows → the file of its picture.
        display: shows how far the drawing has come.
        style: how they are written.
    """
    heard = {path: file for path, file in files.items() if str(path) in set(rows["recording"])}
    with display.track("drawing", len(heard)) as advance:
        for path, file in heard.items():
            clips = rows[rows["recording"] == str(path)]
            write_figure(prediction_of_recording(model, path, clips, quality), file, style)
            advance(1, path.name)
    if heard:
        display.say(f"{len(heard)} picture{'s' if len(heard) > 1 else ''} in {next(iter(heard.values())).parent}")


def prediction_of_recording(model: TrainedModel, path: Path, clips: pd.DataFrame, quality: str) -> ReportFigure:
    """The spectrogram of a recording; the probabilities of its clips over time, with the calls as coloured spans; the
    quality of the clips.
    """
    samples, rate = read(path)
    task, length_s = model.run.task, len(samples) / rate
    with sns.axes_style("white", STYLE):
        figure = ReportFigure(figsize=(8.4, 6.4), layout="constrained")
        sound, calls, heard = figure.subplots(3, 1, sharex=True, height_ratios=(3, 2.2, 1))
    draw_spectrogram(sound, samples, rate)
    edges = drawn_edges(clips)
    _draw_calls(calls, clips, edges, task)
    _draw_quality(heard, clips, edges)
    heard.set(xlim=(0, length_s), xlabel="time (s)")
    told = f"{path.name}\n{model.describe()}\nquality: {quality}. {INTENDED_USE}"
    return finished(figure, told)


def draw_spectrogram(axes: Axes, samples: NDArray[np.float32], rate: int) -> None:
    """Mel spectrogram over seconds and Hz, in dB below its loudest point from FROM_HZ up; rumble may be louder."""
    hop = max(1, round(HOP_S * rate), len(samples) // MOST_FRAMES)
    window = round(WINDOW_S * rate)
    top_hz = min(TOP_HZ, rate / 2)
    n_fft = 2 ** int(np.ceil(np.log2(window)))
    sound = librosa.util.fix_length(samples, size=max(len(samples), n_fft))
    shape = {"n_fft": n_fft, "win_length": window, "hop_length": hop, "n_mels": MEL_BANDS}
    power = librosa.feature.melspectrogram(y=sound, sr=rate, fmax=top_hz, **shape)
    loudest = float(power[librosa.mel_frequencies(MEL_BANDS, fmax=top_hz) >= FROM_HZ].max())
    level = 10 * np.log10(np.maximum(power / max(loudest, 1e-20), 10 ** (-RANGE_DB / 10)))
    mels = librosa.hz_to_mel(np.array([0.0, top_hz]))
    picture = axes.imshow(
        level,
        origin="lower",
        aspect="auto",
        cmap="magma",
        vmin=-RANGE_DB,
        vmax=0,
        extent=(0, len(sound) / rate, float(mels[0]), float(mels[1])),
    )
    ticks = [tick for tick in TICKS_HZ if tick <= top_hz]
    axes.set_yticks(librosa.hz_to_mel(np.array(ticks, dtype=float)), [str(tick) for tick in ticks])
    axes.set(ylabel="frequency (Hz)")
    axes.figure.colorbar(picture, ax=axes, label="level (dB)", pad=0.01)


def drawn_edges(clips: pd.DataFrame) -> NDArray[np.float64]:
    """(N, 2) from when to when each clip is drawn, in s: where two overlap, the border is in the middle of both."""
    edges = clips[["start_s", "end_s"]].to_numpy(dtype=np.float64, copy=True)
    for before, after in itertools.pairwise(edges):
        if after[0] < before[1]:
            before[1] = after[0] = (after[0] + before[1]) / 2
    return edges


def _draw_calls(axes: Axes, clips: pd.DataFrame, edges: NDArray[np.float64], task: Task) -> None:
    colours = {name: PALETTE[place % len(PALETTE)] for place, name in enumerate(task.classes)}
    for (start_s, end_s), called in zip(edges, clips["called"], strict=True):
        axes.axvspan(start_s, end_s, color=colours[called], alpha=SPAN_ALPHA, linewidth=0)
    for place, (name, column) in enumerate(zip(task.classes, probability_columns(task), strict=True)):
        axes.plot(
            *_steps(edges, clips[column]), color=colours[name], linestyle=LINES[place // len(PALETTE)], label=name
        )
    axes.set(ylim=(-0.02, 1.02), ylabel="probability")
    lines, names = axes.get_legend_handles_labels()
    lines.append(Patch(color=QUIET, alpha=SPAN_ALPHA, linewidth=0))
    names = [*names, "called, in its colour"]
    # Of the figure, not of the panel: where that is made narrow, its legend is folded.
    axes.figure.legend(lines, names, loc="outside lower left", ncols=len(names), frameon=False, fontsize="small")


def _draw_quality(axes: Axes, clips: pd.DataFrame, edges: NDArray[np.float64]) -> None:
    compared = clips["quality_percentile"].notna().any()
    values = clips["quality_percentile"] if compared else clips["quality"]
    axes.plot(*_steps(edges, values), color=QUIET)
    axes.set(ylabel="quality\npercentile" if compared else "quality")
    if compared:
        axes.set(ylim=(-3, 103), yticks=(0, 50, 100))


def _steps(edges: NDArray[np.float64], values: pd.Series) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """A line that is level over each clip, and is broken where time passes between two."""
    times, heights = [], []
    for number, ((start_s, end_s), value) in enumerate(zip(edges, values, strict=True)):
        if number and start_s > edges[number - 1][1]:
            times.append(start_s)
            heights.append(np.nan)
        times += [start_s, end_s]
        heights += [value, value]
    return np.array(times), np.array(heights)
