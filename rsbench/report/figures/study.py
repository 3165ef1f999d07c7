"""What a search found as pictures: a dot or a line is a trial, Scores are on validation clips."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from ...sweep.analysis import is_number
from ...sweep.results import StudyResults, tried
from .style import PALETTE, whole_numbers

ACROSS = 3  # panels side by side
FOOT = 0.03  # of a panel's height
SCORE = "validation Score"
MARKERS = {"done": ("o", PALETTE[0]), "stopped": ("v", PALETTE[4]), "failed": ("x", PALETTE[1])}


def study_figures(found: StudyResults, folder: Path) -> list[Path]:
    """Draw importance.png, parallel.png, margin.png and budget.png into `folder`; returns those that were drawn.

    Without a trial that has a Score there is none of them; without parameters of a loss's own, no margin.png.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if found.expected_best.empty:
        return []
    figures = {"importance": _importance(found), "parallel": _parallel(found), "budget": _budget(found)}
    if len(found.margin_response):
        figures["margin"] = _margin(found)
    paths = []
    for name, figure in figures.items():
        paths.append(folder / f"{name}.png")
        figure.savefig(paths[-1], dpi=160)
    return paths


def _importance(found: StudyResults) -> Figure:
    """Bars per cell, with the level that chance reaches, or the reason why there are none."""
    names = _scored_cells(found)
    longest = found.importance.groupby("cell").size().max()
    figure, panels = _panels(len(names), width=4.2, height=1.2 + 0.35 * longest)
    for axes, name in zip(panels, names, strict=True):
        mine = found.importance[found.importance["cell"] == name].sort_values("importance", ascending=False)
        axes.set_title(name, loc="left", fontweight="bold")
        if mine["importance"].isna().all():
            reason = mine["reason"].iloc[0]
            axes.text(0.5, 0.5, reason, ha="center", va="center", color=".35", transform=axes.transAxes, wrap=True)
        else:
            sns.barplot(mine, x="importance", y="parameter", errorbar=None, ax=axes, color=PALETTE[0])
            axes.axvline(mine["chance"].max(), color=".45", linestyle="--", linewidth=1)
        axes.set(xlabel="share of variance", ylabel="", xlim=(0, 1), ylim=(longest - 0.5, -0.5))
    _say(figure, "fANOVA of the validation Score; dashed: what chance reaches")
    return figure


def _parallel(found: StudyResults) -> Figure:
    """A panel per cell: every trial a line over its parameters and its Score, the best one thick."""
    names = _scored_cells(found)
    scores = found.trials["score"]
    colour = ScalarMappable(Normalize(scores.min(), scores.max()), cmap="viridis")
    figure, panels = _panels(len(names), width=6.4, height=4.0)
    for axes, name in zip(panels, names, strict=True):
        mine = found.scored(name).sort_values("score")
        columns = tried(mine).assign(**{SCORE: mine["score"]})
        heights = pd.DataFrame({key: _heights(column) for key, column in columns.items()})
        for line, score in zip(heights.to_numpy(), mine["score"], strict=True):
            is_best = score == mine["score"].max()
            axes.plot(line, color=colour.to_rgba(score), linewidth=2.5 if is_best else 1, alpha=0.85)
        axes.set_title(name, loc="left", fontweight="bold")
        feet = [_foot(str(key), column) for key, column in columns.items()]
        axes.set_xticks(range(len(feet)), feet, rotation=30, ha="right", rotation_mode="anchor", fontsize="x-small")
        axes.set(yticks=[], ylim=(-0.05, 1.05))
    figure.colorbar(colour, ax=panels, label=SCORE)
    _say(figure, "every trial a line, coloured by its Score; below each axis: its name and its ends")
    return figure


def _margin(found: StudyResults) -> Figure:
    """A panel per cell and own parameter of its loss; failed trials are crosses at the bottom."""
    groups = found.margin_response.groupby(["cell", "parameter"], sort=False)
    figure, panels = _panels(len(groups), width=3.6, height=3.0)
    for axes, ((name, parameter), mine) in zip(panels, groups, strict=True):
        values = mine["value"].infer_objects()
        if not is_number(values):
            values = values.astype(str)
            axes.margins(x=0.3)
        for state, shown in mine.assign(value=values).sort_values("value").groupby("state"):
            # A failed trial has no height: it stands at the foot of the panel.
            transform = axes.get_xaxis_transform() if state == "failed" else axes.transData
            marker, colour = MARKERS[str(state)]
            heights = shown["score"].fillna(FOOT)
            axes.scatter(shown["value"], heights, s=22, c=colour, marker=marker, alpha=0.7, transform=transform)
        axes.set_title(str(name), loc="left", fontweight="bold")
        axes.set(xlabel=parameter, ylabel=SCORE)
    _say(figure, "dot: done; triangle: stopped early; cross: failed")
    return figure


def _budget(found: StudyResults) -> Figure:
    """A panel per backbone: expected best Score against the number of trials, a line per method."""
    curves = found.expected_best.merge(found.best[["cell", "method", "backbone"]], on="cell")
    methods = found.best["method"].unique()
    colours = {method: PALETTE[place % len(PALETTE)] for place, method in enumerate(methods)}
    backbones = curves["backbone"].unique()
    figure, panels = _panels(len(backbones), width=4.6, height=3.4)
    for axes, backbone in zip(panels, backbones, strict=True):
        mine = curves[curves["backbone"] == backbone]
        lines = {"hue": "method", "style": "method", "hue_order": methods, "style_order": methods, "palette": colours}
        sns.lineplot(mine, x="trials", y="score", estimator=None, ax=axes, **lines)
        axes.legend(fontsize="small", title="")
        axes.set_title(backbone, loc="left", fontweight="bold")
        whole_numbers(axes)
        axes.set(xlabel="trials", ylabel=f"expected best {SCORE}")
    _say(figure, "best of n trials drawn at random; a line that still climbs asks for more")
    return figure


def _scored_cells(found: StudyResults) -> list[str]:
    return list(found.expected_best["cell"].unique())


def _panels(count: int, width: float, height: float) -> tuple[Figure, list[Axes]]:
    """A figure of `count` panels, each of this size in inches, ACROSS to a row."""
    across = min(count, ACROSS)
    down = -(-count // across)
    with sns.axes_style("whitegrid", {"axes.edgecolor": ".8"}):
        figure = Figure(figsize=(width * across, height * down + 0.4), layout="constrained")
        panels = list(figure.subplots(down, across, squeeze=False).flat)
    for axes in panels[count:]:
        axes.remove()
    return figure, panels[:count]


def _say(figure: Figure, text: str) -> None:
    figure.suptitle(text, x=0.01, ha="left", fontsize="small", color=".35")


def _heights(values: pd.Series) -> pd.Series:
    """Values as heights in [0, 1], the lowest at 0; words by their place in the alphabet, NaN where there is none."""
    if is_number(values):
        numbers = np.log10(values) if _crowds_low(values) else values.astype(float)
    else:
        codes = values.astype("category").cat.codes
        numbers = codes.astype(float).where(codes >= 0)
    span = numbers.max() - numbers.min()
    return (numbers - numbers.min()) / span if span else numbers * 0 + 0.5


def _crowds_low(values: pd.Series) -> bool:
    """Whether half of the values lie in the lowest quarter of their range, as rates tried on a logarithmic scale do."""
    return bool(values.min() > 0 and values.median() < values.min() + (values.max() - values.min()) / 4)


def _foot(key: str, values: pd.Series) -> str:
    """What stands under an axis of parallel coordinates: its name, and its values from bottom to top."""
    if not is_number(values):
        return f"{key}: " + ", ".join(sorted(values.dropna().astype(str).unique()))
    scale = " (log)" if _crowds_low(values) else ""
    return f"{key}: {values.min():.2g} – {values.max():.2g}{scale}"
