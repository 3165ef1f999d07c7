"""What a finished run called each clip of a split, from its stored predictions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import softmax

from ..core.errors import ResultsError
from ..data.clips import CLASSES
from ..evaluation.metrics import FloatArray, IntArray, predicted_classes
from ..evaluation.scoring import LOGIT_COLUMNS
from .schema import OPERATING_POINTS, full_spec, judged_as, judged_clips
from .store import RunFolder


@dataclass(frozen=True, eq=False)
class Predictions:
    """The judged clips of a split under one selection rule.

    clips: predictions by clip_id, sorted; N rows.
    offsets: operating point → what it adds to the normal logit; without validation there is argmax alone.
    temperature: fitted on validation; None without.
    """

    clips: pd.DataFrame
    offsets: dict[str, float]
    temperature: float | None

    @property
    def labels(self) -> IntArray:
        """(N,) class indices."""
        return self.clips["label"].to_numpy(dtype=np.int64)

    @property
    def logits(self) -> FloatArray:
        """(N, 4)."""
        return self.clips[list(LOGIT_COLUMNS)].to_numpy(dtype=np.float64)

    def called(self, point: str) -> IntArray:
        """(N,) the class index that each clip was given at an operating point."""
        return predicted_classes(self.logits, self.offsets[point])

    def confusion(self, point: str) -> IntArray:
        """(4, 4) clips by their class (rows) and the class they were given (columns)."""
        size = len(CLASSES)
        cells = size * self.labels + self.called(point)
        return np.bincount(cells, minlength=size**2).reshape(size, size)

    def probabilities(self) -> FloatArray:
        """(N, 4) after the temperature, so that losses with other scales compare; raw where there is none."""
        probabilities: FloatArray = softmax(self.logits / (self.temperature or 1.0), axis=1)
        return probabilities


def calls_of(folder: RunFolder, split: str, rule: str) -> Predictions:
    """What a finished run called the clips of a split at the epoch of a rule.

    Raises ResultsError where it was not judged so, or where its record is damaged.
    """
    judged = judged_as(split, rule, full_spec(folder), folder.read_json("data.json"))
    if judged is None:
        raise ResultsError(f"{folder.run_id}: was not judged on '{split}' under '{rule}'.")
    scored = folder.read_json("metrics.json")[rule]
    clips = judged_clips(folder, split, rule, judged["dataset"], scored[split]["clips"] if split in scored else None)
    # A split that was not asked for has the operating point of the others: one epoch was chosen for all.
    figures = scored.get(split) or next(iter(scored.values()))
    chosen = figures.get("operating_point", {})
    known = {"argmax": 0.0, "val-bias": chosen.get("normal_offset")}
    offsets = {point: known[point] for point in OPERATING_POINTS if known[point] is not None}
    return Predictions(clips.set_index("clip_id").sort_index(), offsets, chosen.get("temperature"))
