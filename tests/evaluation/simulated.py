"""Studies whose truth is known: patients, seeds and methods with effects of a stated size."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

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
