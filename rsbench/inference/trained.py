"""A finished run as something to use: which epoch, and at which operating point. Reads its record alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..core.errors import ResultsError, SpecError, did_you_mean
from ..core.spec import RunSpec
from ..evaluation.operating_point import OperatingPoint
from ..evaluation.selection import Rule, rule
from ..results.schema import OPERATING_POINTS, full_spec
from ..results.store import RunFolder

ARGMAX, VAL_BIAS = OPERATING_POINTS

INTENDED_USE = "Research use. Not a medical device."


@dataclass(frozen=True)
class TrainedRun:
    """A finished run, at the epoch of one selection and at one operating point.

    data: its data.json. selection: "val", "last", "cv-refit" or "oracle:<split>". figures: split → what it was judged
    by there, at that epoch. at: "argmax" or "val-bias". point: what holds there; the offset of argmax is 0.
    calibrated: whether validation chose the temperature, which is 1 otherwise.
    """

    folder: RunFolder
    spec: RunSpec
    data: Mapping[str, Any]
    selection: str
    epoch: int
    figures: Mapping[str, Mapping[str, Any]]
    at: str
    point: OperatingPoint
    calibrated: bool

    @property
    def rule(self) -> Rule:
        return rule(_rule_name(self.selection))

    @property
    def class_counts(self) -> tuple[int, ...]:
        """Training clips per class."""
        return tuple(self.data["class_counts"].values())

    def describe(self) -> str:
        """Run, epoch and operating point, in two lines."""
        return f"{self.folder.run_id}, epoch {self.epoch}, {self.rule.header}\nat {self.at}: {self.describe_point()}"

    def describe_point(self) -> str:
        offset = f"{self.point.normal_offset:+.3f} on the logit of normal" if self.at == VAL_BIAS else "no offset"
        if not self.calibrated:
            return f"{offset}, temperature 1: without validation, probabilities are not calibrated"
        return f"{offset}, temperature {self.point.temperature:.3f}, as chosen on validation"

    def about(self) -> dict[str, Any]:
        """What a program has to know of the predictions."""
        return {
            "run": self.folder.run_id,
            "select": self.selection,
            "epoch": self.epoch,
            "at": self.at,
            "normal_offset": self.point.normal_offset,
            "temperature": self.point.temperature,
            "clip_s": self.spec.data.clip_s,
            "intended_use": INTENDED_USE,
        }


def trained_run(folder: RunFolder, selection: str | None = None, at: str | None = None) -> TrainedRun:
    """A finished run to be used.

    Args:
        folder: the run's.
        selection: whose epoch; None: that of the run's first rule ("val", unless it was made otherwise).
        at: "argmax" or "val-bias"; None: "val-bias", or "argmax" where validation gave no offset.

    Raises:
        ResultsError: the run is not finished, or its record is damaged.
        SpecError: it has no such selection or operating point.
    """
    state = folder.status()["state"]
    if state != "done":
        raise ResultsError(
            f"{folder.path}: the run is {state}, and only one that is done can be used. Finish it first."
        )
    chosen = folder.read_json("selection.json")
    selection = selection or next(iter(chosen))
    if selection not in chosen:
        raise SpecError(f"--select {selection}: this run chose no epoch so.{did_you_mean(selection, chosen)}")
    spec = RunSpec.model_validate(full_spec(folder))
    judged = folder.read_json("metrics.json")[_rule_name(selection)]
    own_split = selection.partition(":")[2]  # an oracle's epoch was chosen for one split, and is judged there alone
    figures = {own_split: judged[own_split]} if own_split else judged
    of_any = next(iter(figures.values()))  # the operating point is the same on all splits
    at = _known_point(at, of_any)
    fitted = of_any.get("operating_point", {"temperature": 1.0})
    point = OperatingPoint(fitted["normal_offset"] if at == VAL_BIAS else 0.0, fitted["temperature"])
    return TrainedRun(
        folder,
        spec,
        folder.read_json("data.json"),
        selection,
        chosen[selection]["epoch"],
        figures,
        at,
        point,
        "operating_point" in of_any,
    )


def _known_point(at: str | None, figures: Mapping[str, Any]) -> str:
    """The operating point that was asked for, or the run's best known one."""
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


def _rule_name(selection: str) -> str:
    """ "oracle" of "oracle:icbhi-official"."""
    return selection.partition(":")[0]
