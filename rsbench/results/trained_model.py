"""A finished run as the model that it leaves behind."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..evaluation.operating_point import OperatingPoint
from ..evaluation.selection import Rule, rule
from .calls import VAL_BIAS

if TYPE_CHECKING:
    from .run import Run

INTENDED_USE = "Research use. Not a medical device."


@dataclass(frozen=True)
class TrainedModel:
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
            "window": self.run.spec.data.window,
            "intended_use": INTENDED_USE,
        }
