"""What every quality index must do, on clips that are silent, constant, short, long, loud and clipped."""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ..data.datasets import DATASETS
from ..quality.index import Floats, QualityIndex, create_quality
from .checks import Case, Check, contract, expect, expect_defaults

RATES = (4000, 8000, 44_100)  # Hz
TRAINING = 24  # clips that a normaliser is fitted on


def sounds() -> Iterator[tuple[str, NDArray[np.float32], int]]:
    """Odd clips: what each is in words, its samples, and its rate in Hz."""
    for rate in RATES:
        generator = np.random.default_rng(rate)
        half, long = rate // 2, 8 * rate
        shapes = {
            "one sample": np.full(1, 0.3),
            "0.5 s of silence": np.zeros(half),
            "0.5 s of a constant": np.full(half, 0.5),
            "0.5 s of noise": 0.1 * generator.standard_normal(half),
            "8 s of noise": 0.1 * generator.standard_normal(long),
            "8 s of silence": np.zeros(long),
            "8 s of a tone beyond full scale": np.clip(2 * np.sin(2 * np.pi * 200 / rate * np.arange(long)), -1, 1),
        }
        for words, samples in shapes.items():
            yield f"{words} at {rate} Hz", samples.astype(np.float32), rate


@functools.cache
def training_clips() -> tuple[NDArray[np.float32], ...]:
    """Seconds of noise and tone at 4 kHz, that differ in level, in colour and in how much of them is noise."""
    generator = np.random.default_rng(0)
    time_s = np.arange(RATES[0]) / RATES[0]
    clips = []
    for number in range(TRAINING):
        noise = np.convolve(generator.standard_normal(len(time_s)), np.ones(1 + number % 5), mode="same")
        tone = np.sin(2 * np.pi * (100 + 50 * number) * time_s)
        share = number / (TRAINING - 1)
        clips.append((generator.uniform(0.01, 0.5) * (share * noise + (1 - share) * tone)).astype(np.float32))
    return tuple(clips)


def build(case: Case) -> QualityIndex:
    return create_quality(case.name, **dict(case.options))


def measured(index: QualityIndex) -> Floats:
    """(N, k) raw values of the training clips."""
    return np.array([index.measure(clip, RATES[0]) for clip in training_clips()], dtype=np.float64)


def measured_oddities(index: QualityIndex) -> Floats:
    """(M, k) raw values of the odd clips, none of which a normaliser was fitted on."""
    return np.array([index.measure(samples, rate) for _, samples, rate in sounds()], dtype=np.float64)


def expect_qualities(scores: Floats, count: int, of: str) -> None:
    expect(scores.shape == (count,), f"the scores of {count} {of} have the shape {scores.shape}")
    inside = (scores >= 0) & (scores <= 1)
    expect(bool(inside.all()), f"among the {of}, the scores {np.unique(scores[~inside])[:3]}")


@contract(
    "It is made with its options' defaults, and says what it is.",
    "Give every option a default, and the class or function a docstring, or register_quality a summary.",
)
def is_made_with_its_defaults(case: Case) -> None:
    expect_defaults(case)
    build(case)
    expect(bool(case.entry.summary), "no summary, and no docstring to take it from")


@contract(
    "It measures any clip of at least one sample, at any rate, as finite numbers, always as many.",
    "Say what silence and a clip shorter than a frame measure, before dividing or taking a logarithm.",
)
def measures_are_finite_for_any_clip(case: Case) -> None:
    index = build(case)
    count = len(index.measure(training_clips()[0], RATES[0]))
    for words, samples, rate in sounds():
        values = index.measure(samples, rate)
        expect(len(values) == count, f"{len(values)} values for {words}, and {count} for a second of tone")
        expect(all(map(math.isfinite, values)), f"{tuple(map(float, values))} for {words}")


@contract(
    "A clip measures the same whenever and by whatever instance it is measured.",
    "Seed what is drawn by a constant, and keep nothing of a clip for the next.",
)
def measuring_repeats_itself(case: Case) -> None:
    index = build(case)
    first = measured(index)
    expect(np.array_equal(measured(index), first), "other values the second time")
    expect(np.array_equal(measured(build(case)), first), "other values from a second instance")
    backwards = [index.measure(clip, RATES[0]) for clip in reversed(training_clips())]
    expect(np.array_equal(backwards[::-1], first), "other values in another order of the clips")


@contract(
    "Samples are left as they are.",
    "Work on a copy: no operation in place (`-=`, `sort()`) on what measure is given.",
)
def samples_are_left_as_they_are(case: Case) -> None:
    index = build(case)
    for words, samples, rate in sounds():
        kept = samples.copy()
        index.measure(samples, rate)
        expect(np.array_equal(samples, kept), f"{words} is changed")


@contract(
    "score gives (N,) numbers in [0, 1], for clips that the normaliser was not fitted on too.",
    "Clip to [0, 1], and mind normalisers of clips that are all alike.",
)
def scores_are_qualities(case: Case) -> None:
    index = build(case)
    training, oddities = measured(index), measured_oddities(index)
    for fitted_on in (training, training[:1], np.repeat(training[:1], 5, axis=0), oddities):
        normaliser = index.fit(fitted_on)
        expect_qualities(index.score(training, normaliser), len(training), "training clips")
        expect_qualities(index.score(oddities, normaliser), len(oddities), "silent, short and clipped clips")


@contract(
    "A normaliser is a table of finite numbers by name, which a record keeps as JSON.",
    "Return a dict of str to float from fit.",
)
def normaliser_survives_a_record(case: Case) -> None:
    index = build(case)
    measures = measured(index)
    normaliser = index.fit(measures)
    kept = json.loads(json.dumps(normaliser, allow_nan=False))
    numbers = all(isinstance(name, str) and isinstance(number, float) for name, number in normaliser.items())
    expect(numbers, f"the normaliser {normaliser}")
    expect(np.array_equal(index.score(measures, kept), index.score(measures, normaliser)), "other scores after JSON")


@contract(
    "The quality of a clip depends on its own values and the normaliser, not on the clips scored beside it.",
    "Put what is learnt of many clips into the normaliser that fit returns.",
)
def score_of_a_clip_does_not_depend_on_its_neighbours(case: Case) -> None:
    index = build(case)
    measures = measured(index)
    normaliser = index.fit(measures)
    together = index.score(measures, normaliser)
    alone = np.concatenate([index.score(row[np.newaxis], normaliser) for row in measures])
    expect(np.allclose(alone, together, rtol=0, atol=1e-9), "other scores alone")
    turned = index.score(measures[::-1], index.fit(measures[::-1]))[::-1]
    expect(np.allclose(turned, together, rtol=0, atol=1e-9), "other scores in another order")


@contract(
    "An index of one raw value is high for good: its quality never falls as the value rises.",
    "Turn the value round in measure (return its negative), or give the index a monotone score.",
)
def quality_rises_with_a_single_value(case: Case) -> None:
    index = build(case)
    measures = measured(index)
    if measures.shape[1] == 1:
        low, high = measures.min(), measures.max()
        rising = np.linspace(low - 1, high + 1, 201)[:, np.newaxis]
        falls = np.diff(index.score(rising, index.fit(measures))).min()
        expect(falls >= 0, f"a step of {falls:.2g} as the value rises")


@contract(
    "An index that was itself fitted on recordings says on which (fitted_on), and whose they were (seen).",
    "Set both: fitted_on to names that begin with a data set's, and seen to the patients of each.",
)
def what_it_saw_is_declared(case: Case) -> None:
    index = build(case)
    named = isinstance(index.fitted_on, tuple) and all(isinstance(name, str) and name for name in index.fitted_on)
    expect(named, f"fitted_on={index.fitted_on!r} is no tuple of names")
    expect(bool(index.seen) == bool(index.fitted_on), f"fitted_on={index.fitted_on}, and seen of {sorted(index.seen)}")
    expect(bool(index.fitted_on) or not index.fitted_sha256, "a file of what was fitted, and no fitted_on")
    known = DATASETS.names()
    for name in index.fitted_on:
        expect(any(name.startswith(dataset) for dataset in index.seen), f"no patients in seen for {name}")
    for dataset, patients in index.seen.items():
        expect(dataset in known, f"seen names '{dataset}', and the data sets are {', '.join(known)}")
        expect(bool(patients), f"no patient of {dataset} in seen")


CHECKS: tuple[Check, ...] = (
    is_made_with_its_defaults,
    measures_are_finite_for_any_clip,
    measuring_repeats_itself,
    samples_are_left_as_they_are,
    scores_are_qualities,
    normaliser_survives_a_record,
    score_of_a_clip_does_not_depend_on_its_neighbours,
    quality_rises_with_a_single_value,
    what_it_saw_is_declared,
)
