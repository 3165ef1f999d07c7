"""What each kind of panel shows: figures of boards and runs, condensed to what is drawn of them."""

from __future__ import annotations

import itertools
import textwrap
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from ...boards.leaderboard import POINT, Board
from ...evaluation.metrics import FloatArray
from ..figures.panels import (
    FLAT,
    MARKS,
    Band,
    ClassCurve,
    Crossing,
    Curve,
    draw_confusion,
    draw_curve,
    draw_margin,
    draw_reliability,
    draw_risk,
    draw_shift,
    draw_training,
)
from ..figures.picture import Panel
from ..figures.rows import RunsRow, draw_recall
from ..figures.style import NAME_WIDTH
from .summaries import COVERAGE, QUALITY_BINS, SP_GRID, OfBoard, OfMethod, Reliability

# Classes are no losses: on one panel they are told apart by line and name, never by a loss's colour.
CLASS_LINES = ("-", "--", ":", "-.")
FEWEST = 10  # clips in a bin of confidence for its frequency to be drawn

Colours = Mapping[str, str]


def _title(name: str) -> str:
    return textwrap.fill(name, NAME_WIDTH)


def shift_panel(inside: Board, outside: Board, colours: Colours, methods: Sequence[str], point: str) -> Panel:
    """Score on one split against Score on another, each with its 95 % interval."""
    here, there = (_rows_at(board, point, "loss", "score_mean", "low", "high") for board in (inside, outside))
    crossings = [
        Crossing(
            name,
            here[name]["score_mean"],
            (here[name]["low"], here[name]["high"]),
            there[name]["score_mean"],
            (there[name]["low"], there[name]["high"]),
            colours[here[name]["loss"]],
        )
        for name in methods
        if name in here and name in there
    ]
    draw = partial(draw_shift, crossings=crossings, inside=inside.split, outside=outside.split)
    return Panel(f"at {point}", draw, 5.0, 3.8)


def _rows_at(board: Board, point: str, *columns: str) -> dict[Any, dict[Any, Any]]:
    """Method → some of its figures at an operating point."""
    return board.table[board.table[POINT] == point].set_index("method")[list(columns)].to_dict("index")


def curve_panels(of_board: OfBoard, colours: Colours) -> list[Panel]:
    """The Sp–Se curve of each method, before those of the others, with its operating points."""
    bands = [_band(SP_GRID, method.se) for method in of_board.methods]
    rows = {point: _rows_at(of_board.board, point, "sp_mean", "se_mean") for point in MARKS}
    return [
        Panel(
            _title(method.name),
            partial(
                draw_curve,
                se=band,
                others=[other.mean for other in bands if other is not band],
                points={
                    point: (found[method.name]["sp_mean"], found[method.name]["se_mean"])
                    for point, found in rows.items()
                    if method.name in found
                },
                colour=colours[method.loss],
            ),
        )
        for method, band in zip(of_board.methods, bands, strict=True)
    ]


def _band(at: FloatArray, curves: Sequence[FloatArray]) -> Band:
    return Band(at, np.mean(curves, axis=0), np.min(curves, axis=0), np.max(curves, axis=0))


def recall_panel(board: Board, name: str, about: str, order: Sequence[str], colours: Colours) -> Panel:
    """The recall of a class by every method at argmax: a dot per run, a bar at their mean."""
    runs = board.runs[(board.runs[POINT] == "argmax") & board.runs["method"].isin(order)]
    recall = f"recall_{name}"
    rows = [
        RunsRow(str(method), mine[recall].to_numpy(), mine[recall].mean(), colours[mine["loss"].iloc[0]])
        for method, mine in runs.groupby("method")
    ]
    return Panel(about, partial(draw_recall, order=order, rows=rows), 5.0, 1.1 + 0.38 * len(order))


def confusion_panel(method: OfMethod, classes: Sequence[str], colours: Colours) -> Panel:
    """Shares of each true class that were called so, mean over runs; right calls in the colour of the loss."""
    shares = np.mean(method.confusion, axis=0)
    draw = partial(draw_confusion, shares=shares, classes=list(classes), colour=colours[method.loss])
    room = max(0, len(classes) - FLAT)
    return Panel(_title(method.name), draw, 3.2 + 0.4 * room, 2.6 + 0.4 * room)


def reliability_panel(method: OfMethod, colours: Colours) -> Panel:
    """How often calls of a confidence are right: before the temperature dotted, after it solid."""
    raw, scaled = _frequencies(method.raw), _frequencies(method.scaled) if method.scaled else None
    return Panel(_title(method.name), partial(draw_reliability, raw=raw, scaled=scaled, colour=colours[method.loss]))


def _frequencies(parts: Sequence[Reliability]) -> Curve:
    """Mean confidence and share of right calls in each bin with enough clips."""
    whole = sum(parts[1:], parts[0])
    filled = whole.clips >= FEWEST * len(parts)
    return whole.confidence[filled] / whole.clips[filled], whole.hits[filled] / whole.clips[filled]


def risk_panel(method: OfMethod, colours: Colours) -> Panel:
    """The share of wrong calls among the clips kept, by confidence solid, by quality dashed."""
    risk = {by: 100 * np.mean(curves, axis=0) for by, curves in method.risk.items() if curves}
    of_all = 100 * float(np.mean([curve[-1] for curve in method.risk["confidence"]]))
    draw = partial(draw_risk, kept=100 * COVERAGE, risk=risk, of_all=of_all, colour=colours[method.loss])
    return Panel(_title(method.name), draw)


def margin_panel(method: OfMethod, classes: Sequence[str], colours: Colours) -> Panel:
    """The angular margin of clips against their quality, a line per class through bins of equally many clips."""
    clips = pd.concat(method.margins)
    curves = []
    for index, (name, line) in enumerate(zip(classes, itertools.cycle(CLASS_LINES), strict=False)):
        mine = clips[clips["label"] == index]
        if len(mine):
            bins = pd.qcut(mine["quality"], min(QUALITY_BINS, len(mine)), duplicates="drop")
            means = mine.groupby(bins, observed=True)[["quality", "margin_rad"]].mean()
            curves.append(ClassCurve(name, means["quality"].to_numpy(), means["margin_rad"].to_numpy(), line))
    limits = (min(0.0, clips["margin_rad"].min()), max(0.0, clips["margin_rad"].max()))
    draw = partial(draw_margin, curves=curves, limits=limits, colour=colours[method.loss])
    return Panel(_title(method.name), draw)


def training_panel(
    name: str, histories: Sequence[pd.DataFrame], chosen: Mapping[str, Sequence[int]], colour: str
) -> Panel:
    """Validation Score (where there is one) and training loss over epochs, and at the foot the epochs that rules chose.

    Args:
        name: of the method.
        histories: epochs.csv of each run.
        chosen: rule → the epoch of each run.
        colour: of its loss.
    """
    frame = pd.concat(histories)
    by_epoch = frame.groupby("epoch")
    loss = by_epoch["train_loss"].mean()
    epochs = loss.index.to_numpy()
    scored = next((name for name in ("val_score", "val-auroc_score") if name in frame), None)
    score = None
    if scored:
        of_epoch = by_epoch[scored].agg(["mean", "min", "max"])
        score = Band(epochs, *(of_epoch[name].to_numpy() for name in ("mean", "min", "max")))
    draw = partial(
        draw_training, loss=(epochs, loss.to_numpy()), score=score, chosen=list(chosen.items()), colour=colour
    )
    return Panel(_title(name), draw, 3.2, 2.9)
