"""How small a difference of Score a design can show, before it is run."""

from __future__ import annotations

import math

# Fitted to the protocol's simulations on ICBHI's official test part (section 5): ±4 points of Score at 5 seeds and
# ±3.2 at 10, with 25.2 and 18.7 effective patients for normal and abnormal clips. Squared points of Score.
OF_A_SEED = 57.6
OF_A_PATIENT = 48.0


def smallest_difference(seeds: int, normal_patients: float, abnormal_patients: float) -> float:
    """Points of Score by which two paired methods must differ to be told apart, about.

    What seeds add shrinks with their number; what patients add does not.

    Args:
        seeds: at least 1.
        normal_patients: effective patients (Kish) of the normal clips of the test split; above 0.
        abnormal_patients: likewise of the abnormal ones.
    """
    patients = 1 / normal_patients + 1 / abnormal_patients
    return math.sqrt(OF_A_SEED / seeds + OF_A_PATIENT * patients)
