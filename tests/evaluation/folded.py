"""Small studies that really learn, so that models of different folds err together as far as they share patients.

Clips are points: normal ones around a patient's own place, abnormal ones shifted by what abnormal is, and by what it is
in that patient. Every method is a discriminant (Fisher's) on its own half of the dimensions, so that all are equally
good in the long run; a seed decides who validates, and with whom the threshold is chosen.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Problem:
    """What is learnt. Lengths are in standard deviations of a clip of its patient.

    dimensions: of a clip; each method sees half of them. shift: from normal to abnormal, along all dimensions. patient:
    sd of a patient's place. own: sd of what abnormal is in one patient, per dimension. clips: of a patient, on average.
    ridge: added to the covariance that is learnt, in its mean variance.
    """

    dimensions: int = 24
    shift: float = 1.2
    patient: float = 0.5
    own: float = 0.3
    clips: int = 20
    ridge: float = 0.05


def folded_study(
    generator: np.random.Generator, problem: Problem, patients: int, seeds: int, folds: int = 5
) -> tuple[tuple[Floats, Floats], Floats]:
    """((hits at a threshold of 0, hits at the one of validation), clips) of two methods, every patient tested once.

    Hits are (2, seeds, patients, 5) and clips (patients, 4), as in `evaluation.statistics.counts_of`.
    """
    place, abnormal, points = _clips(generator, problem, patients)
    fold = generator.permutation(np.arange(patients) % folds)
    kinds = 2 * place + abnormal
    sums = np.stack([np.bincount(kinds, column, 2 * patients) for column in points.T], axis=1)
    clips = np.bincount(kinds, minlength=2 * patients).reshape(patients, 2).astype(np.float64)
    squares = np.stack([points[place == one].T @ points[place == one] for one in range(patients)])
    hits = np.zeros((2, 2, seeds, patients, 5))
    half = np.array_split(generator.permutation(problem.dimensions), 2)
    for seed in range(seeds):
        for held_out in range(folds):
            others = generator.permutation(np.flatnonzero(fold != held_out))
            validated, fitted = np.split(others, [len(others) // 5])
            tested = fold[place] == held_out
            judged = np.isin(place, validated)
            for method, seen in enumerate(half):
                normal_sum, abnormal_sum = sums.reshape(patients, 2, -1)[fitted].sum(axis=0)[:, seen]
                counts = clips[fitted].sum(axis=0)
                centres = np.stack([normal_sum / counts[0], abnormal_sum / counts[1]])
                scatter = squares[fitted].sum(axis=0)[np.ix_(seen, seen)]
                scatter = scatter / counts.sum() - (counts[:, None] / counts.sum() * centres).T @ centres
                scatter += problem.ridge * np.trace(scatter) / len(seen) * np.eye(len(seen))
                direction = np.linalg.solve(scatter, centres[1] - centres[0])
                score = points[:, seen] @ direction - centres.mean(axis=0) @ direction
                for point, threshold in enumerate((0.0, _best_threshold(score[judged], abnormal[judged]))):
                    right = tested & ((score > threshold) == abnormal)
                    counted = np.bincount(kinds[right], minlength=2 * patients).reshape(patients, 2)
                    hits[point, method, seed, :, :2] += counted
    support = np.concatenate([clips, np.zeros((patients, 2))], axis=1)
    return (hits[0], hits[1]), support


def _clips(
    generator: np.random.Generator, problem: Problem, patients: int
) -> tuple[NDArray[np.int64], NDArray[np.bool_], Floats]:
    """Patient, kind and point of every clip; two in five patients have abnormal ones, some many."""
    sizes = np.maximum(3, np.round(problem.clips * generator.lognormal(-0.2, 0.6, patients))).astype(int)
    place = np.repeat(np.arange(patients), sizes)
    share = np.where(generator.random(patients) < 0.5, generator.beta(1.5, 1.5, patients), 0.0)
    abnormal = generator.random(len(place)) < share[place]
    size = (patients, problem.dimensions)
    where = problem.patient * generator.normal(size=size)
    what = problem.shift / np.sqrt(problem.dimensions) + problem.own * generator.normal(size=size)
    noise = generator.normal(size=(len(place), problem.dimensions))
    return place, abnormal, where[place] + abnormal[:, None] * what[place] + noise


def _best_threshold(score: Floats, abnormal: NDArray[np.bool_]) -> float:
    """Where the Score of these clips is best."""
    order = np.argsort(score)
    ill = abnormal[order]
    gained = np.cumsum(~ill) / max(1, (~ill).sum()) - np.cumsum(ill) / max(1, ill.sum())
    best = int(np.argmax(gained))
    return float(score[order][best : best + 2].mean())
