"""Learned indices: a logistic model over a few named features, kept as a file that people can read.

q is the probability that a listener would not have called a recording of this sound Poor Quality, if one recording in
two were. `python -m rsbench.quality.fitting` makes the models, and their files say of what and how well they do.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import scipy
from numpy.typing import ArrayLike, NDArray

from ..index import Floats, Normaliser, QualityIndex, register_quality
from ._description import FEATURES, describe

# A feature tells more in a long clip: each has a weight at both ends, and in between it moves with the logarithm.
SHORT_S, LONG_S = 0.5, 8.0
LIMITS = np.array([feature.limit for feature in FEATURES])


@dataclass(frozen=True)
class FittedModel:
    """A logistic model of quality.

    mean, scale: (K,) of FEATURES among the recordings it was fitted on.
    weights: (2, K + 1) log odds per scale in clips of SHORT_S and of LONG_S; the last is the intercept.
    fitted_on, seen: as of a `QualityIndex`.
    provenance: how it was made and how well it does, for people.
    """

    mean: Floats
    scale: Floats
    weights: Floats
    fitted_on: tuple[str, ...]
    seen: Mapping[str, frozenset[str]]
    provenance: Mapping[str, Any]

    def quality(self, features: Floats, seconds: float) -> float:
        """q in [0, 1] of a clip with these FEATURES that lasts so long."""
        place = length_place(seconds)
        weights = (1 - place) * self.weights[0] + place * self.weights[1]
        return float(scipy.special.expit(standardised(features, self.mean, self.scale) @ weights[:-1] + weights[-1]))

    def as_json(self) -> str:
        """The file: a line per feature."""
        short, long = self.weights.round(4).tolist()
        features = [
            {
                "name": feature.name,
                "unit": feature.unit,
                "meaning": feature.meaning,
                "mean": float(f"{mean:.6g}"),
                "scale": float(f"{scale:.6g}"),
                "limit": feature.limit,
                f"weight_{SHORT_S:g}s": at_short,
                f"weight_{LONG_S:g}s": at_long,
            }
            for feature, mean, scale, at_short, at_long in zip(
                FEATURES, self.mean, self.scale, short[:-1], long[:-1], strict=True
            )
        ]
        intercept = {f"weight_{SHORT_S:g}s": short[-1], f"weight_{LONG_S:g}s": long[-1]}
        fields = {
            "provenance": self.provenance,
            "fitted_on": list(self.fitted_on),
            "intercept": intercept,
            "features": features,
            "seen": {name: sorted(patients) for name, patients in self.seen.items()},
        }
        return json.dumps(fields, indent=1, ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> FittedModel:
        fields = json.loads(text)
        rows = [*fields["features"], fields["intercept"]]
        return cls(
            np.array([row["mean"] for row in fields["features"]]),
            np.array([row["scale"] for row in fields["features"]]),
            np.array([[row[f"weight_{end:g}s"] for row in rows] for end in (SHORT_S, LONG_S)]),
            tuple(fields["fitted_on"]),
            {name: frozenset(patients) for name, patients in fields["seen"].items()},
            fields["provenance"],
        )


def length_place(seconds: ArrayLike) -> Floats:
    """Where lengths lie between SHORT_S, 0, and LONG_S, 1, on a logarithmic scale; beyond them at the end."""
    place: Floats = np.clip(np.log(np.divide(seconds, SHORT_S)) / np.log(LONG_S / SHORT_S), 0, 1)
    return place


def standardised(features: Floats, mean: Floats, scale: Floats) -> Floats:
    """(…, K) distances from the mean in scales, each at most its feature's limit."""
    return np.clip((features - mean) / scale, -LIMITS, LIMITS)


def fitted_file(name: str) -> Path:
    """Where the model of a learned index is kept."""
    return Path(__file__).with_name(f"{name}.json")


@functools.cache
def fitted_model(name: str) -> tuple[FittedModel, str]:
    """A learned index's model, and the hash of its file."""
    content = fitted_file(name).read_bytes()
    return FittedModel.from_json(content.decode()), hashlib.sha256(content).hexdigest()


class LearnedIndex(QualityIndex):
    """An index whose quality is its model's: no training clip scales it."""

    name = ""

    def __init__(self) -> None:
        self.model, self.fitted_sha256 = fitted_model(self.name)
        self.fitted_on, self.seen = self.model.fitted_on, self.model.seen

    def measure(self, samples: NDArray[np.float32], rate: int) -> tuple[float]:
        """q in [0, 1]."""
        return (self.model.quality(describe(samples, rate), len(samples) / rate),)

    def fit(self, measures: Floats) -> Normaliser:
        return {}

    def score(self, measures: Floats, normaliser: Mapping[str, float]) -> Floats:
        return measures[:, 0]


@register_quality(
    "learned",
    summary="logistic over named features, fitted on SPRSound's Poor Quality labels (train2022): see fitted_on",
    paper="labels: Zhang et al., IEEE TBioCAS 16, 2022",
)
class Learned(LearnedIndex):
    """What listeners called Poor Quality on SPRSound's training recordings. It saw their patients."""

    name = "learned"


@register_quality(
    "learned_icbhi",
    summary="the same without any SPRSound: recorded ICBHI training clips against damaged copies of them",
)
class LearnedICBHI(LearnedIndex):
    """What tells ICBHI's training clips as recorded from copies damaged in known ways. No listener judged them."""

    name = "learned_icbhi"
