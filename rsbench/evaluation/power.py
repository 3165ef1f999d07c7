"""The smallest difference that a study will be able to show, said before it is run."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .patients import CONFIDENCE, effective_number
from .statistics import Estimates, critical, influence, satterthwaite

_DRAWS = 20_000  # of the largest |t| of a family


@dataclass(frozen=True)
class Spread:
    """What the difference of two methods varies by, in squared points of Score.

    patient: how differently one method does with one patient of average weight; seed: one training of both; both: one
    training with one patient.
    """

    patient: float
    seed: float
    both: float

    @classmethod
    def behind(cls, differences: Estimates, support: NDArray[np.float64]) -> Spread:
        """The spread that was measured: the median over some differences.

        Args:
            differences: with an error each.
            support: (P, 2) clips of each patient, normal and abnormal.
        """
        of_patients, of_seeds, of_both = differences.parts
        weight, seeds = patient_weight(support), differences.seeds
        patient, seed = (of_patients - of_both) / weight, (of_seeds - of_both) * seeds
        return cls(*(float(np.median(values)) for values in (patient, seed, of_both * seeds / weight)))

    def parts(self, weight: float, seeds: int) -> NDArray[np.float64]:
        """(3,) what patients move, what seeds move, and what takes both; the first two hold the third."""
        both = self.both * weight / seeds
        return np.array([self.patient * weight + both, self.seed / seeds + both, both])


# Of real studies of five losses against ce with ten seeds, boards on ICBHI's official test part could have shown 6.2
# points and on SPRSound's inter part 10.8. Frozen YAMNet embeddings of a part of ICBHI vary less: (47, 7, 85).
TYPICAL = Spread(patient=120.0, seed=6.0, both=120.0)


def patient_weight(support: NDArray[np.float64]) -> float:
    """How much of a patient's variance is in a Score: (1/n + 1/a) / 4 over effective normal and abnormal patients.

    Args:
        support: (P, 2) clips of each patient, normal and abnormal.
    """
    return sum(1 / effective_number(side) for side in support.T) / 4


def smallest_difference(
    spread: Spread, support: NDArray[np.float64], seeds: int, differences: int, confidence: float = CONFIDENCE
) -> float:
    """Points of Score by which two methods must differ for a board to say so, on average.

    It is what `Estimates.smallest_claim` will come to: Student's t with Satterthwaite's degrees of freedom, for the
    largest of so many differences from one baseline at once (they share its luck: a correlation of one half).

    Args:
        spread: of a difference.
        support: (P, 2) clips of each patient, normal and abnormal, both above 0 in all.
        seeds: at least 2.
        differences: that the board will show.
        confidence: see `Question.confidence`.
    """
    parts = spread.parts(patient_weight(support), seeds)
    df = satterthwaite(parts, effective_number(influence(support)) - 1, np.array(seeds - 1))
    generator = np.random.default_rng(0)
    shared = generator.standard_normal((_DRAWS, 1))
    z = (generator.standard_normal((_DRAWS, differences)) + shared) / math.sqrt(2)
    return float(critical(np.abs(z).max(axis=1), df, confidence)) * math.sqrt(parts[0] + parts[1] - parts[2])
