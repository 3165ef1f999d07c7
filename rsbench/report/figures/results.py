"""Pictures of single runs: two side by side, how some learnt, what a model says of recordings."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import seaborn as sns

from ...boards.pair import Comparison
from ...core.errors import ResultsError
from .board import colours_of, finished, row_panels
from .figure import ReportFigure
from .style import PALETTE, QUIET, STYLE, name_rows, say, whole_numbers

MOST_CLIPS = 60  # of recordings in one picture


def pair_figure(found: Comparison) -> ReportFigure:
    """The paired difference of two runs with its interval, a panel per split, a row per rule and operating point."""
    scores = found.scores.assign(row=found.scores["rule"] + ", " + found.scores["operating_point"])
    order = list(dict.fromkeys(scores["row"]))
    splits = list(dict.fromkeys(scores["split"]))
    figure, panels = row_panels(len(splits), order)
    for axes, split in zip(panels, splits, strict=True):
        for row in scores[scores["split"] == split].to_dict("records"):
            place = order.index(row["row"])
            axes.hlines(place, row["score_low"], row["score_high"], color=PALETTE[0], linewidth=2)
            axes.plot(row["score_delta"], place, "o", color=PALETTE[0])
            say(axes, f"{row['score_delta']:+z.1f}", (row["score_delta"], place), PALETTE[0])
        axes.axvline(0, color=QUIET, linestyle="--", linewidth=1)
        axes.set(xlabel="Δ Score", ylabel="")
        axes.set_title(split, loc="left", fontweight="bold")
        name_rows(axes, order)
    return finished(figure, f"{found.second}\nminus {found.first}\nline: 95 % over new patients, for these two models")


def curves_figure(epochs: pd.DataFrame) -> ReportFigure:
    """How runs learnt: their training loss and, where there is one, their validation Score; a line per run.

    Args:
        epochs: run_id, loss and seed beside the columns of epochs.csv, a row per run and epoch.
    """
    shown = {"train_loss": "training loss", "val_score": "validation Score"}
    names = [name for name in shown if name in epochs and epochs[name].notna().any()]
    if not names:
        raise ResultsError("There is nothing to draw: no epoch of these runs is done.")
    colours = colours_of(epochs["loss"])
    with sns.axes_style("whitegrid", STYLE):
        figure = ReportFigure(figsize=(4.4 * len(names) + 0.8, 3.4), layout="constrained")
        panels = figure.subplots(1, len(names), squeeze=False)[0]
    for axes, name in zip(panels, names, strict=True):
        lines = {"x": "epoch", "y": name, "hue": "loss", "units": "run_id", "palette": colours}
        sns.lineplot(epochs, **lines, estimator=None, ax=axes, marker=".", legend=name == names[0])
        axes.set(xlabel="epoch", ylabel=shown[name])
        whole_numbers(axes)
    panels[0].legend(title="", fontsize="small")
    return finished(figure, f"{epochs['run_id'].nunique()} runs, a line each")


def prediction_figure(rows: pd.DataFrame, probabilities: Sequence[str], told: str) -> ReportFigure:
    """The probabilities of clips, a row each, the first MOST_CLIPS of them.

    Args:
        rows: recording, start_s and end_s of each clip, and its probabilities.
        probabilities: their columns, one per class.
        told: what they were made by.
    """
    if rows.empty:
        raise ResultsError("There is nothing to draw: no recording could be read.")
    few = rows.head(MOST_CLIPS)
    names = [f"{row['recording']}, {row['start_s']:g}–{row['end_s']:g} s" for row in few.to_dict("records")]
    with sns.axes_style("white", STYLE):
        figure = ReportFigure(figsize=(6.4, 1.6 + 0.3 * len(few)), layout="constrained")
        axes = figure.subplots()
    sns.heatmap(
        few[list(probabilities)].to_numpy(dtype=float),
        **{"annot": True, "fmt": ".2f", "vmin": 0, "vmax": 1, "cmap": "Blues", "ax": axes},
        cbar_kws={"label": "probability"},
    )
    axes.set_xticks(
        [place + 0.5 for place in range(len(probabilities))], [name.removeprefix("p_") for name in probabilities]
    )
    axes.set_yticks([place + 0.5 for place in range(len(few))], names, rotation=0, fontsize="small")
    more = f"\nthe first {len(few)} of {len(rows)} clips" if len(rows) > len(few) else ""
    return finished(figure, told + more)
