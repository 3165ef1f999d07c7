"""Quality indices: how well a clip was recorded, as a number in [0, 1] for every clip.

An index measures a clip's own samples at their native rate: resampling, repeat padding and fades would each
change what it sees. What maps raw values to [0, 1] is fitted on training clips alone, and kept with the run.
"""

from __future__ import annotations

import inspect
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..core.errors import PluginError
from ..core.fingerprint import code_sha256
from ..core.registry import Registry, adopt_options

Floats = NDArray[np.float64]
Normaliser = dict[str, float]
Control = Literal["none", "constant", "shuffled", "inverted"]

QUALITY: Registry[type[QualityIndex]] = Registry("quality")

_Q = TypeVar("_Q", bound=Callable[..., Any])


class QualityIndex(ABC):
    """Base of every quality index. Subclasses take options as keyword-only arguments with defaults.

    Subclasses define `measure`; `fit` and `score` as they are suit an index of one raw value, high for good.

    Attributes:
        fitted_on: names of the data sets or parts of them whose recordings the index itself was fitted on, as
            "sprsound-train"; nothing for an index that only measures.
        seen: patients whom it saw, by data set. No split that holds one of them may judge what depends on the index.
        shipped: whether its code is rsbench's own, which every process can import; set by `create_quality`.
        fitted_sha256: of the file that keeps what was fitted; part of the identity of the index, and of a run's.
    """

    identity = ""  # name, options, source and what was fitted; set by `create_quality`, used by the cache
    fitted_on: tuple[str, ...] = ()
    seen: Mapping[str, frozenset[str]] = {}
    fitted_sha256 = ""
    shipped = False

    @abstractmethod
    def measure(self, samples: NDArray[np.float32], rate: int) -> tuple[float, ...]:
        """Raw values of one clip, all finite, for silence too. Several clips are measured at once, in threads.

        Args:
            samples: (n,) the clip's own samples, mono, n ≥ 1.
            rate: their native rate in Hz.
        """

    def fit(self, measures: Floats) -> Normaliser:
        """The normaliser, from the raw values (N, k) of training clips: here their 5th and 95th percentile.

        Unlike the extremes, they do not let a single odd recording squeeze all the others together.
        """
        if measures.shape[1] != 1:
            raise PluginError(
                f"Quality index {type(self).__name__} measures {measures.shape[1]} values a clip: "
                "it must define fit and score for them."
            )
        low, high = np.percentile(measures[:, 0], [5, 95])
        return {"low": float(low), "high": float(high)}

    def score(self, measures: Floats, normaliser: Mapping[str, float]) -> Floats:
        """(N,) qualities in [0, 1] from raw values (N, k)."""
        return _between(measures[:, 0], normaliser["low"], normaliser["high"])


def _between(values: Floats, low: float, high: float) -> Floats:
    """(N,) positions between two bounds, clipped to [0, 1]; a step where the bounds coincide."""
    if low == high:
        return (values > low).astype(np.float64)
    return (np.clip(values, low, high) - low) / (high - low)


def _index_from_function(function: Callable[..., float]) -> type[QualityIndex]:
    """A plain `f(samples, rate, *, …)` as an index; its keyword-only arguments are options."""

    class FunctionIndex(QualityIndex):
        def __init__(self, **options: Any) -> None:
            self.options = options

        def measure(self, samples: NDArray[np.float32], rate: int) -> tuple[float, ...]:
            return (float(function(samples, rate, **self.options)),)

    FunctionIndex.__name__ = FunctionIndex.__qualname__ = function.__name__
    FunctionIndex.__doc__ = function.__doc__
    adopt_options(FunctionIndex.__init__, function)
    return FunctionIndex


def register_quality(name: str, *, summary: str = "", paper: str = "") -> Callable[[_Q], _Q]:
    """Register a `QualityIndex` subclass, or a plain function `f(samples, rate)` that is high for good clips.

    Raises PluginError when the name is taken or the decorated thing is neither.
    """

    def decorate(thing: _Q) -> _Q:
        if isinstance(thing, type) and issubclass(thing, QualityIndex):
            index: type[QualityIndex] = thing
        elif inspect.isfunction(thing):
            index = _index_from_function(thing)
        else:
            raise PluginError(
                f"@register_quality('{name}') takes a QualityIndex subclass or a function f(samples, rate)."
            )
        QUALITY.register(name, index, summary=summary, paper=paper, source=thing)
        return thing

    return decorate


def create_quality(name: str, **options: Any) -> QualityIndex:
    """A registered index by name, e.g. `create_quality("aqs", alpha=0.5)`."""
    from ..core.plugins import discover

    discover()
    index: QualityIndex = QUALITY.create(name, **options)
    entry = QUALITY.entry(name)
    index.shipped = getattr(entry.source, "__module__", "").startswith(f"{__package__}.")
    if entry.origin.is_file():
        code = code_sha256(entry)  # with its helpers: what is kept of it is measured again when one of them changes
        index.identity = json.dumps([name, QUALITY.resolve(name, options), code, index.fitted_sha256], sort_keys=True)
    return index


def apply_control(quality: Floats, control: Control, train: NDArray[np.bool_], seed: int) -> Floats:
    """(N,) qualities with what they say of a clip taken away, to tell whether it matters.

    Args:
        quality: (N,) in [0, 1].
        control: "none"; "constant", the mean over training clips for all; "shuffled", the qualities of other
            clips, training clips among themselves and the rest among themselves; "inverted", 1 − quality.
        train: (N,) which clips are trained on.
        seed: of the shuffling.
    """
    if control == "constant":
        return np.full_like(quality, quality[train].mean())
    if control == "inverted":
        return 1 - quality
    if control == "none":
        return quality
    shuffled = quality.copy()
    generator = np.random.default_rng(seed)
    for part in (train, ~train):
        shuffled[part] = generator.permutation(quality[part])
    return shuffled
