"""A finished run as the model that it leaves behind."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..data.sources import SYNTHETIC
from ..evaluation.operating_point import OperatingPoint
from ..evaluation.selection import Rule, rule
from .calls import VAL_BIAS

if TYPE_CHECKING:
    from .run import Run

INTENDED_USE = "Research use. Not a medical device."
SYNTHETIC_WARNING = "SYNTHETIC: it learnt from generated recordings; what it says of real ones means nothing"


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
    def trained_on_synthetic(self) -> bool:
        """Whether it learnt from generated recordings."""
        # Which of a plugin's data sets is generated the record does not say: each is then taken for one.
        trained, shipped = self.run.data.trained_on(self.run.spec), set(SYNTHETIC) & set(self.run.data.datasets)
        return self.run.data.synthetic and (not shipped or bool(shipped & set(trained)))

    @property
    def rule(self) -> Rule:
        return rule(self.selection.partition(":")[0])

    def describe(self) -> str:
        """Run, epoch and operating point, in two lines; a third where it learnt from generated recordings."""
        lines = [f"{self.run.run_id}, epoch {self.epoch}, {self.rule.header}", f"at {self.at}: {self.describe_point()}"]
        return "\n".join([*lines, SYNTHETIC_WARNING] if self.trained_on_synthetic else lines)

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
            "trained_on_synthetic": self.trained_on_synthetic,
            "intended_use": INTENDED_USE,
        }
