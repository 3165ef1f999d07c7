"""What a run says of clips: its calls on a split, and the epoch and operating point that it is used at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy.special import softmax

from ..core.errors import SpecError, did_you_mean
from ..data.clips import CLASSES
from ..evaluation.metrics import BoolArray, FloatArray, IntArray, predicted_classes
from ..evaluation.operating_point import OperatingPoint
from ..evaluation.scoring import LOGIT_COLUMNS
from ..evaluation.selection import Rule, rule

if TYPE_CHECKING:
    from .run import Run

OPERATING_POINTS = ARGMAX, VAL_BIAS = "argmax", "val-bias"

INTENDED_USE = "Research use. Not a medical device."


@dataclass(frozen=True, eq=False)
class Predictions:
    """Clips, and what a run called them.

    clips: predictions by clip_id, N rows.
    offsets: operating point → what it adds to the normal logit; without validation there is argmax alone.
    temperature: fitted on validation; None without.
    """

    clips: pd.DataFrame
    offsets: Mapping[str, float]
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

    def right(self, point: str) -> BoolArray:
        """(N,) which clips were called by their own class."""
        hits: BoolArray = self.called(point) == self.labels
        return hits

    def confusion(self, point: str) -> IntArray:
        """(4, 4) clips by their class (rows) and the class they were given (columns)."""
        size = len(CLASSES)
        cells = size * self.labels + self.called(point)
        return np.bincount(cells, minlength=size**2).reshape(size, size)

    def probabilities(self) -> FloatArray:
        """(N, 4) after the temperature, so that losses with other scales compare; raw where there is none."""
        probabilities: FloatArray = softmax(self.logits / (self.temperature or 1.0), axis=1)
        return probabilities


@dataclass(frozen=True)
class Choice:
    """A finished run, at the epoch of one selection and at one operating point.

    selection: "val", "last", "cv-refit" or "oracle:<split>". figures: split → what the run was judged by there, at that
    epoch. at: "argmax" or "val-bias". point: what holds there; the offset of argmax is 0. calibrated: whether
    validation chose the temperature, which is 1 otherwise.
    """

    run: Run
    selection: str
    epoch: int
    figures: Mapping[str, Mapping[str, Any]]
    at: str
    point: OperatingPoint
    calibrated: bool

    @property
    def rule(self) -> Rule:
        return rule(self.selection.partition(":")[0])

    def describe(self) -> str:
        """Run, epoch and operating point, in two lines."""
        return f"{self.run.run_id}, epoch {self.epoch}, {self.rule.header}\nat {self.at}: {self.describe_point()}"

    def describe_point(self) -> str:
        offset = f"{self.point.normal_offset:+.3f} on the logit of normal" if self.at == VAL_BIAS else "no offset"
        if not self.calibrated:
            return f"{offset}, temperature 1: without validation, probabilities are not calibrated"
        return f"{offset}, temperature {self.point.temperature:.3f}, as chosen on validation"

    def about(self) -> dict[str, Any]:
        """What a program has to know of predictions that are made so."""
        return {
            "run": self.run.run_id,
            "select": self.selection,
            "epoch": self.epoch,
            "at": self.at,
            "normal_offset": self.point.normal_offset,
            "temperature": self.point.temperature,
            "clip_s": self.run.spec.data.clip_s,
            "intended_use": INTENDED_USE,
        }


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
