"""Where a run's embeddings put clips in and out of distribution, on one map."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from ...boards.leaderboard import POINT, Board
from ...results.run import Run
from ..figures.picture import Panel
from .groups import Group
from .kept import KeptReports

MOST_CLIPS = 1500
PERPLEXITY = 30.0
# Paul Tol's "bright" palette: colour-blind safe, and none of the colours that losses have.
CLASS_COLOURS = ("#BBBBBB", "#4477AA", "#EE6677", "#228833", "#CCBB44", "#66CCEE", "#AA3377")
DOMAIN_COLOURS = ("#4477AA", "#CCBB44", "#AA3377", "#66CCEE")


def run_to_map(group: Group) -> Run | None:
    """Of the best method in distribution with stored embeddings, the run whose Score is in the middle."""
    if not group.boards:
        return None
    board = group.boards[0]
    runs = board.runs[board.runs[POINT] == "argmax"]
    stored = runs["run_id"].map(lambda run_id: group.runs[run_id].has_map)
    runs = runs[stored.astype(bool)]  # of no run at all, `map` makes no booleans
    best = next((method for method in board.table["method"] if method in set(runs["method"])), None)
    if best is None:
        return None
    mine = runs[runs["method"] == best].sort_values("score")
    return group.runs[str(mine["run_id"].iloc[(len(mine) - 1) // 2])]


def map_panels(run: Run, boards: Sequence[Board], kept: KeptReports) -> list[Panel]:
    """The map of a run's test clips, coloured by class, by data set and by quality.

    At most MOST_CLIPS are drawn, as many of each data set as there are data sets to share them. The map is t-SNE of the
    stored principal axes.

    Raises ResultsError when the stored embeddings are not those of the stored predictions.
    """
    datasets = list(dict.fromkeys(board.runs["dataset"].iloc[0] for board in boards))
    found = {dataset: run.embedded_clips(dataset) for dataset in datasets}
    tested = {
        name: clips[clips["part"] == "test"].assign(dataset=name) for name, clips in found.items() if clips is not None
    }
    generator = np.random.default_rng(0)
    share = MOST_CLIPS // len(tested)
    clips = pd.concat([part.sample(min(share, len(part)), random_state=generator) for part in tested.values()])
    axes = np.stack(clips["axes"].tolist())
    perplexity = min(PERPLEXITY, (len(axes) - 1) / 3)
    places = kept.on_map(axes, perplexity)
    classes = run.task.classes
    clips = clips.assign(across=places[:, 0], up=places[:, 1], label=[classes[index] for index in clips["label"]])
    class_colours = dict(zip(classes, itertools.cycle(CLASS_COLOURS), strict=False))
    domain_colours = dict(zip(datasets, DOMAIN_COLOURS * len(datasets), strict=False))
    return [
        Panel("by class", _by_word(clips, "label", class_colours)),
        Panel("by data set", _by_word(clips, "dataset", domain_colours)),
        Panel("by quality", _by_quality(clips)),
    ]


def _by_word(clips: pd.DataFrame, column: str, colours: Mapping[str, str]) -> Callable[[Axes], None]:
    def draw(axes: Axes) -> None:
        for word, colour in colours.items():
            mine = clips[clips[column] == word]
            if len(mine):
                axes.scatter(mine["across"], mine["up"], s=5, color=colour, linewidth=0, rasterized=True, label=word)
        axes.legend(loc="upper left", bbox_to_anchor=(0, 0), ncols=2, frameon=False, markerscale=3)
        _bare(axes)

    return draw


def _by_quality(clips: pd.DataFrame) -> Callable[[Axes], None]:
    def draw(axes: Axes) -> None:
        across, up = clips["across"], clips["up"]
        points = axes.scatter(
            across, up, 5, clips["quality"], cmap="cividis", vmin=0, vmax=1, linewidth=0, rasterized=True
        )
        scale = axes.inset_axes((0.02, -0.06, 0.5, 0.03))
        axes.figure.colorbar(points, cax=scale, orientation="horizontal", ticks=[0, 0.5, 1])
        _bare(axes)

    return draw


def _bare(axes: Axes) -> None:
    """Neither place nor distance on such a map has a unit."""
    axes.set(xticks=[], yticks=[])
    axes.grid(visible=False)
