"""Quality indices that break a contract each, named after the check that must say so."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from rsbench import QualityIndex, register_quality


class Loudness(QualityIndex):
    """The root mean square, which keeps every contract."""

    def measure(self, samples: NDArray[np.float32], rate: int) -> tuple[float, ...]:
        return (float(np.sqrt(np.mean(samples.astype(np.float64) ** 2))),)


register_quality("sound", summary="breaks nothing")(Loudness)


@register_quality("is_made_with_its_defaults", summary="an option without a default")
class NoDefault(Loudness):
    def __init__(self, *, window_s: float) -> None:
        self.window_s = window_s


@register_quality("measures_are_finite_for_any_clip", summary="the logarithm of silence")
def level(samples: NDArray[np.float32], rate: int) -> float:
    with np.errstate(divide="ignore"):
        return float(np.log(np.abs(samples).max()))


@register_quality("measuring_repeats_itself", summary="counts the clips")
class Counting(Loudness):
    def __init__(self) -> None:
        self.clips = itertools.count()

    def measure(self, samples: NDArray[np.float32], rate: int) -> tuple[float, ...]:
        return (super().measure(samples, rate)[0] + next(self.clips),)


@register_quality("samples_are_left_as_they_are", summary="works in place")
class InPlace(Loudness):
    def measure(self, samples: NDArray[np.float32], rate: int) -> tuple[float, ...]:
        samples *= 0.5
        return super().measure(samples, rate)


@register_quality("scores_are_qualities", summary="a share of the loudest training clip")
class Unbounded(Loudness):
    def fit(self, measures: NDArray[np.float64]) -> dict[str, float]:
        return {"loudest": float(measures.max())}

    def score(self, measures: NDArray[np.float64], normaliser: Mapping[str, float]) -> NDArray[np.float64]:
        return measures[:, 0] / normaliser["loudest"]


@register_quality("normaliser_survives_a_record", summary="keeps all that it was fitted on")
class KeepsAll(Loudness):
    def fit(self, measures: NDArray[np.float64]) -> dict[str, float]:
        return {"low": measures.min(), "high": measures.max(), "all": measures.tolist()}


@register_quality("score_of_a_clip_does_not_depend_on_its_neighbours", summary="ranks what it is given")
class Ranking(Loudness):
    def score(self, measures: NDArray[np.float64], normaliser: Mapping[str, float]) -> NDArray[np.float64]:
        return measures[:, 0].argsort().argsort() / len(measures)


@register_quality("quality_rises_with_a_single_value", summary="high for bad")
class Falling(Loudness):
    def score(self, measures: NDArray[np.float64], normaliser: Mapping[str, float]) -> NDArray[np.float64]:
        return 1 - super().score(measures, normaliser)


@register_quality("what_it_saw_is_declared", summary="fitted on whom it does not say")
class Secretive(Loudness):
    fitted_on = ("sprsound-train",)


@register_quality("what_it_saw_is_declared-unknown", summary="patients of a set that nobody knows")
class OfNowhere(Loudness):
    fitted_on = ("nowhere-train",)
    seen = {"nowhere": frozenset({"1"})}


@register_quality("what_it_saw_is_declared-file", summary="keeps what was fitted, and says not on whom")
class FileOfNobody(Loudness):
    fitted_sha256 = "0" * 64
