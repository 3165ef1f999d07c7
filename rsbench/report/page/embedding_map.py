"""Where a run's embeddings put clips in and out of distribution, on one map."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np
import pandas as pd

from ...boards.leaderboard import POINT, Board
from ...results.run import Run
from ..figures.panels import ClipKind, ClipMap, draw_kinds, draw_qualities
from ..figures.picture import Panel
from .groups import Group

MOST_CLIPS = 1500
PERPLEXITY = 30.0
LAYOUT = 30  # usual panels that are drawn while a map is laid out
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


def map_panels(run: Run, boards: Sequence[Board]) -> list[Panel]:
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
    clip_map = ClipMap(axes, min(PERPLEXITY, (len(axes) - 1) / 3))
    classes = run.task.classes
    labels = clips["label"].map(dict(enumerate(classes)))
    by_class = _kinds(labels, dict(zip(classes, itertools.cycle(CLASS_COLOURS), strict=False)))
    by_domain = _kinds(clips["dataset"], dict(zip(datasets, DOMAIN_COLOURS * len(datasets), strict=False)))
    quality = clips["quality"].to_numpy()
    return [
        Panel("by class", partial(draw_kinds, clips=clip_map, kinds=by_class), effort=LAYOUT),
        Panel("by data set", partial(draw_kinds, clips=clip_map, kinds=by_domain)),
        Panel("by quality", partial(draw_qualities, clips=clip_map, quality=quality)),
    ]


def _kinds(words: pd.Series, colours: Mapping[str, str]) -> list[ClipKind]:
    found = [ClipKind(word, np.flatnonzero(words == word), colour) for word, colour in colours.items()]
    return [kind for kind in found if kind.clips.size]
