"""The findings as pictures, in the visual language of boards and reports; one colour per index throughout."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from ...core.files import write_bytes
from ...data.tasks import ICBHI_4
from ...evaluation.patients import Floats
from ...quality.assessment.association import AUC, ETA, RARE, RHO
from ...quality.assessment.data import ADVENTITIOUS, CLEAN, POOR
from ...quality.assessment.discrimination import CLASS_OF_RECORDINGS, QUALITY
from ...quality.assessment.questions import Findings, by_index
from ...quality.assessment.selective import MEAN, WITHIN
from ...quality.degradation import DEGRADATIONS
from .panels import names_at_the_side
from .picture import Panel, Picture, render
from .style import INK, PALETTE, QUIET, name_rows, say

FILLED: Mapping[str, Any] = {"fill": True, "alpha": 0.35}
OUTLINED: Mapping[str, Any] = {"color": INK, "linewidth": 1.5}
BINS = np.linspace(0, 1, 26)
TITLE_WIDTH = 26  # letters that fit over a panel of rows
# The least and the largest that an effect can be, and between them what says nothing.
LIMITS = {AUC: (0.0, 0.5, 1.0), ETA: (0.0, 0.0, 1.0), RHO: (-1.0, 0.0, 1.0)}

Colours = Mapping[str, str]
Row = Mapping[Any, Any]


def draw(findings: Findings, folder: Path) -> None:
    """Write every picture of a data set as `<folder>/<dataset>_<question>.png` and `.svg`."""
    for picture in pictures(findings):
        for name, content in render(picture).files.items():
            write_bytes(folder / name, content)


def pictures(findings: Findings) -> Iterator[Picture]:
    """The pictures of a data set."""
    study, answers = findings.study, findings.answers
    # In the order that they were asked for in: the first palette colour is the first index's.
    colours = {name: PALETTE[place % len(PALETTE)] for place, name in enumerate(study.indices)}
    makers = {
        "distribution": _distributions,
        "contrasts": _contrasts,
        "association": _associations,
        "degradation_levels": _degradations,
        "ordering": _orderings,
        "risk_coverage": _risks,
        "margins": _margins,
    }
    for name, make in makers.items():
        if name in ("distribution", *answers):
            told, panels = make(findings, colours)
            if panels:
                yield Picture(f"{study.data.dataset}_{name}", f"{study.data.title}\n{told}", "", panels)


def _distributions(findings: Findings, colours: Colours) -> tuple[str, list[Panel]]:
    """q of good recordings beside that of poor ones; where none is poor, of normal beside adventitious ones."""
    study, contrasts = findings.study, findings.answers["contrasts"]
    kind, judged = study.data.recordings["kind"].to_numpy(), study.judged_recordings
    if (kind[judged] == POOR).any():
        contrast, sides = QUALITY, {"good": judged & (kind != POOR), "poor": judged & (kind == POOR)}
    else:
        contrast, sides = CLASS_OF_RECORDINGS, {name: judged & (kind == name) for name in (CLEAN, ADVENTITIOUS)}
    areas = contrasts[contrasts["contrast"] == contrast].set_index("index").to_dict("index")
    panels = [
        _distribution(index, {name: quality[side] for name, side in sides.items()}, areas[index], colours[index])
        for index, quality in study.recordings.items()
    ]
    return "whole recordings", panels


def _distribution(index: str, qualities: Mapping[str, Floats], area: Row, colour: str) -> Panel:
    """The first of two kinds of recordings filled, the second outlined, and the AUC of the one over the other."""

    def draw(axes: Axes) -> None:
        for quality, style in zip(qualities.values(), ({**FILLED, "color": colour}, OUTLINED), strict=True):
            axes.stairs(100 * np.histogram(quality, BINS)[0] / max(1, len(quality)), BINS, **style)
        axes.set(xlabel="q", ylabel="recordings, %", xlim=(0, 1))
        axes.set_ylim(0, 1.45 * axes.get_ylim()[1])  # room for the words
        words = [f"{name} ({len(quality)})" for name, quality in qualities.items()]
        if not np.isnan(area["value"]):
            words.append(f"AUC {area['value']:.2f}{_interval(area)}")
        for line, (text, ink) in enumerate(zip(words, (colour, INK, INK), strict=False)):
            axes.text(0.03, 0.93 - 0.1 * line, text, transform=axes.transAxes, color=ink, fontsize="small")

    return Panel(index, draw, 3.6)


def _interval(row: Row) -> str:
    return "" if np.isnan(row["low"]) else f" [{row['low']:.2f}, {row['high']:.2f}]"


def _contrasts(findings: Findings, colours: Colours) -> tuple[str, list[Panel]]:
    frame = findings.answers["contrasts"]
    known = frame[frame["value"].notna()]
    panels = [
        _rows_panel(str(name), rows, colours, AUC, LIMITS[AUC]) for name, rows in known.groupby("contrast", sort=False)
    ]
    return "95 % over new patients; dashed: chance", panels


def _associations(findings: Findings, colours: Colours) -> tuple[str, list[Panel]]:
    """A panel per association that has a figure; grey where q may as well go with nothing."""
    frame = findings.answers["association"]
    panels = []
    for name, rows in frame[frame["value"].notna()].groupby("with", sort=False):
        effect = rows["effect"].iloc[0]
        title = f"normal over {name} clips" if effect == AUC else str(name)
        panels.append(_rows_panel(title, rows, colours, effect, LIMITS[effect]))
    return f"clips; lines: 95 % over new patients; grey: p ≥ {RARE}", panels


def _orderings(findings: Findings, colours: Colours) -> tuple[str, list[Panel]]:
    frame = findings.answers["ordering"]
    runs = frame["run"].nunique() - (MEAN in set(frame["run"]))
    shown = frame[frame["run"] == MEAN] if runs > 1 else frame
    points = shown.assign(**{name: 100 * shown[name] for name in ("value", "low", "high")})
    ends = float(np.nanmax(points[["low", "high", "value"]].abs()))
    panels = [
        _rows_panel(str(name), rows, colours, "points of risk won", (-ends, 0, ends))
        for name, rows in points.groupby("class", sort=False)
    ]
    return f"errors of {runs} {'runs' if runs > 1 else 'run'}; 95 % over new patients; dashed: random order", panels


def _rows_panel(
    title: str, frame: pd.DataFrame, colours: Colours, what: str, limits: tuple[float, float, float]
) -> Panel:
    """A figure with its interval for each index, from the top.

    limits: the least and the largest there can be, and between them, dashed, what says nothing.
    """
    order = list(colours)
    lowest, nothing, highest = limits

    def draw(axes: Axes) -> None:
        for row in frame[frame["value"].notna()].to_dict("records"):
            at, common = order.index(row["index"]), row.get("p", 0.0) >= RARE
            colour = QUIET if common else colours[row["index"]]
            axes.hlines(at, row["low"], row["high"], color=colour, linewidth=2.5, alpha=0.45)
            axes.plot(row["value"], at, "o", color=colour, markersize=5)
            text = f"{row['value']:.1f}" if abs(row["value"]) > 1 else f"{row['value']:.2f}"
            say(axes, text, (row["value"], at), colour)
        axes.axvline(nothing, color=QUIET, linestyle="--", linewidth=1)
        room = 0.06 * (highest - lowest)
        axes.set(xlabel=what, xlim=(lowest - room, highest + room))
        name_rows(axes, order)

    return Panel(textwrap.fill(title, TITLE_WIDTH), draw, 3.4, 1.2 + 0.4 * len(order))


def _degradations(findings: Findings, colours: Colours) -> tuple[str, list[Panel]]:
    """Mean q against the level of damage, a panel per degradation, from the clip as it is to the worst."""
    frame = findings.answers["degradation_levels"]
    clips = int(findings.answers["degradation"]["clips"].iloc[0])
    panels = [_levels_panel(str(name), rows, colours) for name, rows in frame.groupby("degradation", sort=False)]
    return f"{clips} normal clips; shaded: 95 % over new patients", panels


def _levels_panel(name: str, frame: pd.DataFrame, colours: Colours) -> Panel:
    kind = DEGRADATIONS[name]

    def draw(axes: Axes) -> None:
        ends = []
        for index, rows in by_index(frame):
            # Gain's levels lie on both sides of the clip as it is; the others lead away from it.
            ordered = rows if kind.harms else rows.fillna({"level": 0.0}).sort_values("level")
            place = np.arange(len(ordered))
            axes.fill_between(place, ordered["low"], ordered["high"], color=colours[index], alpha=0.15, linewidth=0)
            axes.plot(place, ordered["value"], "o-", color=colours[index], linewidth=1.8, markersize=3)
            axes.set_xticks(place, ["clean" if np.isnan(level) else f"{level:g}" for level in ordered["level"]])
            ends.append((ordered["value"].iloc[-1], place[-1], index))
        axes.set(xlabel=f"{kind.summary} ({kind.unit})", ylabel="mean q", ylim=(0, 1))
        names_at_the_side(axes, ends, [colours[index] for _, _, index in ends], apart=0.09)

    return Panel(name.replace("_", " "), draw, 3.6, 2.6)


def _risks(findings: Findings, colours: Colours) -> tuple[str, list[Panel]]:
    frame, ordering = findings.answers["risk_coverage"], findings.answers["ordering"]
    runs = ordering["run"].nunique() - (MEAN in set(ordering["run"]))

    def draw(axes: Axes) -> None:
        ends = []
        for index, rows in by_index(frame):
            axes.plot(100 * rows["coverage"], 100 * rows["risk"], color=colours[index], linewidth=2)
            ends.append((100 * rows["risk"].iloc[0], 100 * rows["coverage"].iloc[0], index))
        axes.axhline(100 * frame["at_random"].iloc[0], color=QUIET, linestyle="--", linewidth=1)
        axes.set(xlabel="clips kept of each class, the best by q, %", ylabel="wrong calls, % (100 − Score)")
        axes.set_xlim(100, 0)  # the fewer are kept the further the indices part, with room for their names
        names_at_the_side(axes, ends, [colours[index] for _, _, index in ends], apart=0.06)

    told = f"errors of {runs} {'runs' if runs > 1 else 'run'}; dashed: kept at random"
    return told, [Panel(WITHIN, draw, 5.0, 3.4)]


def _margins(findings: Findings, colours: Colours) -> tuple[str, list[Panel]]:
    """The spread of the margin by class, a panel per index: 5th to 95th percentile, quartiles, median."""
    frame = findings.answers["margins"]
    low, high = frame["p5"].min(), frame["p95"].max()
    room = 0.12 * (high - low) or 0.05

    def panel(index: str, rows: Sequence[Row]) -> Panel:
        def draw(axes: Axes) -> None:
            for at, row in enumerate(rows):
                axes.hlines(at, row["p5"], row["p95"], color=colours[index], linewidth=1.2)
                axes.hlines(at, row["p25"], row["p75"], color=colours[index], linewidth=5, alpha=0.45)
                axes.plot(row["median"], at, "o", color=colours[index], markersize=5)
                say(axes, f"{row['median']:.2f}", (row["median"], at), colours[index])
            axes.set(xlabel="margin, rad", xlim=(low - room, high + room))
            name_rows(axes, ICBHI_4.classes)

        return Panel(index, draw, 3.6, 2.4)

    panels = [panel(index, rows.to_dict("records")) for index, rows in by_index(frame)]
    return f"{frame['loss'].iloc[0]} on {findings.study.data.fitted_on}", panels
