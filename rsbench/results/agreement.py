"""Whether two runs of one id came to the same: copies of one another, or one run made twice."""

from __future__ import annotations

import filecmp
from collections.abc import Iterator

import numpy as np
import pandas as pd

from ..data.tasks import Task
from .rescore import flat_figures, whole_predictions
from .run import Run

# A run made again with other threads or vector instructions differs in the last bits of every sum, and training
# multiplies that. After 50 epochs on embeddings no logit of 1129 clips had moved by more than 1.3e-4 of their sd, and
# no Score at all. After 5 epochs of CNN6 logits had moved by 0.5 sd and Scores by up to 6 points: such a re-run says
# something of the method, but it is no longer the same run, and no tolerance would tell it from another one.
LOGIT_TOLERANCE = 0.01  # largest difference of a logit, in sds of that epoch's logits
SCORE_TOLERANCE = 0.1  # points


def disagreement(one: Run, other: Run) -> list[str]:
    """In what two finished runs of one id differ beyond the tolerances, in words; [] where they came to the same.

    Raises ResultsError where stored predictions or metrics are damaged.
    """
    if _same_files(one, other):
        return []
    stored, others = whole_predictions(one), whole_predictions(other)
    if stored.keys() != others.keys():
        return [f"predictions of {', '.join(stored)}, and of {', '.join(others)}"]
    found = [
        line for dataset in stored for line in _other_predictions(dataset, stored[dataset], others[dataset], one.task)
    ]
    return found or _other_scores(one, other)


def _same_files(one: Run, other: Run) -> bool:
    names = [name for name in one.folder.files() if name.startswith("predictions/")]
    if names != [name for name in other.folder.files() if name.startswith("predictions/")]:
        return False
    return all(filecmp.cmp(one.path / name, other.path / name, shallow=False) for name in names)


def _other_predictions(dataset: str, one: pd.DataFrame, other: pd.DataFrame, task: Task) -> Iterator[str]:
    key, known = ["selection", "fold", "clip_id"], ["recording", "patient", "part", "label"]
    one, other = (frame.set_index(key).sort_index() for frame in (one, other))
    if not one.index.equals(other.index) or not one[known].equals(other[known]):
        yield f"other clips, patients, parts or labels of {dataset}"
        return
    columns = list(task.logit_columns)
    for selection in one.index.unique("selection"):
        logits, others = (frame.loc[selection, columns].to_numpy(dtype=np.float64) for frame in (one, other))
        gap, spread = np.abs(logits - others).max(), logits.std()
        if not gap <= LOGIT_TOLERANCE * spread:  # NaN is no agreement
            yield f"logits of {dataset} under {selection} differ by up to {gap:.3g} (their sd is {spread:.3g})"


def _other_scores(one: Run, other: Run) -> list[str]:
    scores, others = _scores(one), _scores(other)
    return [
        f"Score {name} is {scores.get(name)} and {others.get(name)}"
        for name in sorted(scores.keys() | others.keys())
        if not abs(scores.get(name, np.nan) - others.get(name, np.nan)) <= SCORE_TOLERANCE
    ]


def _scores(run: Run) -> dict[str, float]:
    """Every defined Score, by rule, split and operating point."""
    return {
        ", ".join(key[:3]): figure
        for key, figure in flat_figures(run.metrics)
        if len(key) == 4 and key[-1] == "score" and isinstance(figure, int | float)
    }
