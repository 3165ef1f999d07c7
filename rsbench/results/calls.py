"""What a run called clips, and the operating points at which it calls them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
import scipy

from ..core.errors import SpecError, did_you_mean
from ..data.tasks import Task
from ..evaluation.metrics import BoolArray, FloatArray, IntArray, divided, predicted_classes

OPERATING_POINTS = ARGMAX, VAL_BIAS = "argmax", "val-bias"


@dataclass(frozen=True, eq=False)
class Predictions:
    """Clips, and what a run called them.

    task: whose classes these are.
    clips: predictions by clip_id, N rows.
    offsets: operating point → what it adds to the normal logit, of a split with folds (N,), that of each clip's fold;
        without validation there is argmax alone.
    temperature: fitted on validation, likewise; None without.
    """

    task: Task
    clips: pd.DataFrame
    offsets: Mapping[str, float | FloatArray]
    temperature: float | FloatArray | None

    @cached_property
    def labels(self) -> IntArray:
        """(N,) class indices."""
        return self.clips["label"].to_numpy(dtype=np.int64)

    @cached_property
    def logits(self) -> FloatArray:
        """(N, C)."""
        return self.clips[list(self.task.logit_columns)].to_numpy(dtype=np.float64)

    def called(self, point: str) -> IntArray:
        """(N,) the class index that each clip was given at an operating point."""
        return predicted_classes(self.logits, self.offsets[point])

    def right(self, point: str) -> BoolArray:
        """(N,) which clips were called by their own class."""
        hits: BoolArray = self.called(point) == self.labels
        return hits

    def confusion(self, point: str) -> IntArray:
        """(C, C) clips by their class (rows) and the class they were given (columns)."""
        size = len(self.task.classes)
        cells = size * self.labels + self.called(point)
        return np.bincount(cells, minlength=size**2).reshape(size, size)

    def probabilities(self) -> FloatArray:
        """(N, C) after the temperature, so that losses with other scales compare; raw where there is none."""
        temperature = 1.0 if self.temperature is None else self.temperature
        probabilities: FloatArray = scipy.special.softmax(divided(self.logits, temperature), axis=1)
        return probabilities


def known_point(at: str | None, figures: Mapping[str, Any]) -> str:
    """The operating point that was asked for, or the best one that figures of a split have. Raises SpecError."""
    if at is None:
        return VAL_BIAS if VAL_BIAS in figures else ARGMAX
    if at not in OPERATING_POINTS:
        raise SpecError(f"--at {at}: there is no such operating point.{did_you_mean(at, OPERATING_POINTS)}")
    if at not in figures:
        raise SpecError(
            f"--at {at}: validation gave this run no offset, because it had no validation, or one without normal or "
            f"without abnormal clips. Say --at {ARGMAX}."
        )
    return at
