"""Boards as pictures, in one visual language: every seed a dot, the mean a line with its sd, chance a dashed line."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .leaderboard import Board

FLOOR = 50.0  # Score of always answering "normal"
# Okabe and Ito's palette: told apart by colour-blind readers.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")


def score_figure(boards: Sequence[Board], path: Path, operating_point: str = "argmax") -> None:
    """Score of every run, a panel per split, written to `path` (its ending says the format: .png, .svg, .pdf).

    Methods have the same order, that of the first board, and the same colour in every panel.
    """
    runs = [_labelled(board.runs, operating_point) for board in boards]
    order = runs[0].groupby("method")["score"].mean().sort_values(ascending=False).index.tolist()
    order += sorted({method for frame in runs for method in frame["method"]} - set(order))
    colours = {method: PALETTE[position % len(PALETTE)] for position, method in enumerate(sorted(order))}
    with sns.axes_style("whitegrid", {"axes.edgecolor": ".8"}):
        figure = Figure(figsize=(4.2 * len(boards), 1.3 + 0.6 * len(order)), layout="constrained")
        panels = figure.subplots(1, len(boards), sharex=True, sharey=True, squeeze=False)[0]
    for axes, board, frame in zip(panels, boards, runs, strict=True):
        _panel(axes, frame, order, colours)
        axes.set_title(board.split, loc="left", fontweight="bold")
    figure.suptitle(_subtitle(boards, operating_point), x=0.01, ha="left", fontsize="small", color=".35")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=160)


def _labelled(runs: pd.DataFrame, operating_point: str) -> pd.DataFrame:
    chosen = runs[runs["operating_point"] == operating_point]
    return chosen.assign(method=chosen["loss"] + " · " + chosen["backbone"] + chosen["setting"])


def _panel(axes: Axes, runs: pd.DataFrame, order: list[str], colours: dict[str, str]) -> None:
    shared = {"data": runs, "x": "score", "y": "method", "order": order, "hue": "method", "palette": colours}
    sns.stripplot(**shared, ax=axes, size=4, alpha=0.55, jitter=0.12, legend=False)
    sns.pointplot(**shared, ax=axes, errorbar="sd", marker="|", markersize=14, linestyle="none", legend=False)
    for method, mean in runs.groupby("method")["score"].mean().items():
        axes.annotate(
            f"{mean:.1f}",
            (mean, order.index(str(method))),
            xytext=(0, 11),
            textcoords="offset points",
            ha="center",
            fontsize="small",
            color=colours[str(method)],
        )
    axes.axvline(FLOOR, color=".45", linestyle="--", linewidth=1)
    axes.set(xlabel="Score", ylabel="")


def _subtitle(boards: Sequence[Board], operating_point: str) -> str:
    seeds = sorted({int(count) for board in boards for count in board.table["n_ok"] if count})
    span = f"{seeds[0]}" if len(seeds) == 1 else f"{seeds[0]}–{seeds[-1]}"
    kinds = sorted({word for board in boards for word in ("SYNTHETIC", "PARTIAL") if _says(board, word)})
    told = "; ".join([boards[0].header, f"at {operating_point}", f"{span} seeds, mean ± sd", *kinds])
    return f"{told}; dashed: always-normal"


def _says(board: Board, word: str) -> bool:
    return any(warning.startswith(word) for warning in board.warnings)
