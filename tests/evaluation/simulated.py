"""Studies whose truth is known: patients, seeds and methods with effects of a stated size."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rsbench.evaluation.counts import rank_hits

CHANCES = (0.70, 0.45)  # of a hit on a normal and on an abnormal clip, of every method: the true Score is 57.5
SCORE = 57.5


@dataclass(frozen=True)
class Effects:
    """Standard deviations, as shares of clips.

    patient: how hard a patient is for all methods. patient_and_method: how much harder for one. seed: of a training.
    trade: by how much a training moves Sp up and Se down.
    """

    patient: float = 0.15
    patient_and_method: float = 0.05
    seed: float = 0.02
    trade: float = 0.05


def patients(generator: np.random.Generator, count: int = 49, clips: int = 2756) -> NDArray[np.int64]:
    """(count, 4) clips per patient and class, as uneven as ICBHI's: a third have no abnormal clip, a few have many."""
    size = generator.lognormal(0, 0.7, count)
    size = np.maximum(2, np.round(clips * size / size.sum()))
    is_ill = generator.random(count) < 0.67
    is_ill[:2] = True
    abnormal = np.round(size * np.where(is_ill, generator.beta(2, 2.5, count), 0))
    return np.stack([size - abnormal, abnormal, 0 * size, 0 * size], axis=1).astype(np.int64)


def study(
    generator: np.random.Generator, support: NDArray[np.int64], methods: int, seeds: int, effects: Effects
) -> NDArray[np.float64]:
    """(methods, seeds, P, 5) hits of methods that are all equally good in the long run."""

    def draw(sd: float, *shape: int) -> NDArray[np.float64]:
        return generator.uniform(-np.sqrt(3) * sd, np.sqrt(3) * sd, shape)

    hits = np.zeros((methods, seeds, len(support), 5))
    trade = draw(effects.trade, methods, seeds, 1)
    for index, (chance, direction) in enumerate(zip(CHANCES, (1, -1), strict=True)):
        rate = (
            chance
            + draw(effects.patient, 1, 1, len(support))
            + draw(effects.patient_and_method, methods, 1, len(support))
            + draw(effects.seed, methods, seeds, 1)
            + direction * trade
        )
        hits[..., index] = generator.binomial(support[:, index], np.clip(rate, 0, 1))
    return hits


def few_ill_patients(generator: np.random.Generator) -> NDArray[np.int64]:
    """(41, 4) clips per patient and class, as on SPRSound's inter part: seven effective patients have abnormal ones."""
    support = patients(generator, 41, 1429)
    healthy = generator.random(41) < 0.55
    healthy[:2] = False
    support[healthy, 0] += support[healthy, 1]
    support[healthy, 1] = 0
    return support


@dataclass(frozen=True)
class Scored:
    """A study whose methods give each clip a score, all alike in the long run.

    hits: operating point → (methods, seeds, P, 5). ranked: (methods, seeds, P, 2), see `counts.rank_hits`.
    """

    hits: tuple[NDArray[np.float64], ...]
    ranked: NDArray[np.float64]


def scored_study(
    generator: np.random.Generator, support: NDArray[np.int64], methods: int, seeds: int, effects: Effects
) -> Scored:
    """Scores with effects of patients, of patients under a method, of trainings, and of each clip; two thresholds.

    `effects` are those of `study`, times four: a clip's own noise has a standard deviation of 1.
    """
    patient = np.repeat(np.arange(len(support)), support.sum(axis=1))
    abnormal = np.concatenate([np.repeat([False, True], clips[:2]) for clips in support])
    shape = (methods, seeds, len(patient))
    score = generator.normal(size=shape) + abnormal
    score += 4 * effects.patient * generator.normal(size=len(support))[patient]
    score += 4 * effects.patient_and_method * generator.normal(size=(methods, 1, len(support)))[..., patient]
    score += 4 * effects.trade * generator.normal(size=(methods, seeds, 1))
    slope = 1 + 4 * effects.seed * generator.normal(size=(methods, seeds, 1))
    score += abnormal * (slope - 1)
    hits = []
    for threshold in (0.5, 0.8):
        right = (score > threshold) == abnormal
        counted = np.zeros((methods, seeds, len(support), 5))
        for kind in (False, True):
            chosen = abnormal == kind
            by_patient = np.zeros((len(support), chosen.sum()))
            by_patient[patient[chosen], np.arange(chosen.sum())] = 1
            counted[..., int(kind)] = right[..., chosen] @ by_patient.T
        hits.append(counted)
    rows = pd.DataFrame({"patient": [f"{number:03}" for number in patient], "label": abnormal.astype(int)})
    zeros = np.zeros_like(score[0, 0])
    ranked = np.array(
        [
            [rank_hits(rows, np.stack([zeros, of_seed, zeros - 50, zeros - 50], axis=1)) for of_seed in of_method]
            for of_method in score
        ]
    )
    return Scored(tuple(hits), ranked)
