"""What a study will be able to show, against what boards of such studies then could."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from simulated import Effects, patients, study

from rsbench.data.icbhi import read_cycles, read_official_list
from rsbench.data.splits import split
from rsbench.data.sprsound import read_sprsound
from rsbench.evaluation.patients import effective_number
from rsbench.evaluation.power import TYPICAL, Spread, patient_weight, smallest_difference
from rsbench.evaluation.statistics import Estimates, counts_of, estimate, family


def paired(generator: np.random.Generator, support: np.ndarray, seeds: int) -> Estimates:
    counts = counts_of("score", study(generator, support, 6, seeds, Effects()), support.astype(float))
    return estimate(counts[slice(1, None)] - counts[[0] * 5], 1000)


def two_sides(support: np.ndarray) -> np.ndarray:
    return np.stack([support[:, 0], support[:, 1:].sum(axis=1)], axis=1).astype(float)


@pytest.mark.parametrize("seeds", [8, 16])
def test_the_spread_of_earlier_runs_says_what_more_seeds_will_show(seeds: int) -> None:
    """Measured at eight seeds, for eight and for sixteen: the mean over simulated studies."""
    generator = np.random.default_rng(seeds)
    support = patients(generator)
    before = [Spread.behind(paired(generator, support, 8), two_sides(support)) for _ in range(8)]
    said = np.mean([smallest_difference(one, two_sides(support), seeds, 5) for one in before])
    found = np.mean([paired(generator, support, seeds).smallest_claim().mean() for _ in range(8)])
    assert said == pytest.approx(found, rel=0.2)


def even(patients_: int, ill: int) -> np.ndarray:
    support = np.full((patients_, 2), 10.0)
    support[ill:, 1] = 0
    return support


def test_a_typical_study_is_like_the_two_that_were_measured(real_root: Path) -> None:
    """6.2 points on ICBHI's official test part, 10.8 on SPRSound's inter part; ten seeds, five losses, two points."""
    subsets, _ = read_official_list(real_root / "icbhi" / "ICBHI_challenge_train_test.txt")
    files = [path for path in (real_root / "icbhi" / "annotations_all").glob("*.txt") if subsets[path.stem] == "test"]
    cycles = [(path.stem[:3], cycle["label"] != "normal") for path in files for cycle in read_cycles(path)]
    clips = read_sprsound(real_root / "sprsound").clips
    inter = clips[split("sprsound-inter").test_rows(clips)]
    events = list(zip(inter["patient"], inter["label"] != "Normal", strict=True))
    for judged, said in ((cycles, 6.2), (events, 10.8)):
        table = pd.DataFrame(judged, columns=["patient", "abnormal"])
        support = pd.crosstab(table["patient"], table["abnormal"]).to_numpy(dtype=float)
        assert smallest_difference(TYPICAL, support, 10, 10) == pytest.approx(said, abs=0.4)


def test_more_patients_and_more_seeds_show_more_and_more_questions_less() -> None:
    few, many = even(20, 16), even(80, 64)
    one = smallest_difference(TYPICAL, few, 8, 5)
    assert smallest_difference(TYPICAL, many, 8, 5) < one
    assert smallest_difference(TYPICAL, few, 16, 5) < one
    assert smallest_difference(TYPICAL, few, 8, 20) > one
    assert smallest_difference(TYPICAL, few, 8, 5, family(3)) > one


def test_the_weight_of_a_patient_is_that_of_kish() -> None:
    support = even(30, 12)
    assert patient_weight(support) == pytest.approx((1 / 30 + 1 / 12) / 4)
    assert effective_number(support[:, 1]) == 12
