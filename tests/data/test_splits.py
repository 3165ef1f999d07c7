"""Named splits, patient-grouped validation, and how many patients a class really rests on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from rsbench.core.errors import DataError, SpecError
from rsbench.data.icbhi import read_icbhi
from rsbench.data.splits import choose_validation, fixed_folds, known_split, named_splits, split
from rsbench.data.tasks import ICBHI_4

FRAME = pd.DataFrame(
    {
        "subset": ["train", "train", "test", "train2022", "intra2022", "inter2022", "test", "intra2022"],
        "patient": ["156", "101", "156", "x", "x", "y", "102", "41279835"],
        "recording": ["a", "b", "c", "d", "e", "f", "g", "41279835_14.1_0_p1_2050"],
    }
)


@pytest.mark.parametrize(
    ("name", "train", "test"),
    [
        ("icbhi-official", [0, 1], [2, 6]),
        ("icbhi-official-clean", [1], [2, 6]),
        ("icbhi-official-testclean", [0, 1], [6]),
        ("sprsound", [3, 4, 5, 7], [3, 4, 5, 7]),
        ("sprsound-inter", [3], [5]),
        ("sprsound-intra", [3], [4]),
        ("sprsound-train", [3], [3]),
        ("sprsound-qlung", [], [3, 5]),
        ("synthetic", [0, 1], [2, 6]),
        ("synthetic-shift", [], [2, 6]),
    ],
)
def test_a_split_is_a_filter_over_subset_and_patient(name: str, train: list[int], test: list[int]) -> None:
    rule = split(name)
    assert np.flatnonzero(rule.train_rows(FRAME)).tolist() == train
    assert np.flatnonzero(rule.test_rows(FRAME)).tolist() == test


def test_every_split_is_known_by_its_own_name() -> None:
    assert all(split(name).name == name for name in named_splits())


def test_a_data_set_of_ones_own_has_the_split_of_its_name() -> None:
    rule = split("clinic", ["clinic"])
    assert (rule.dataset, rule.train, rule.test) == ("clinic", ("train",), ("test",))


@pytest.mark.parametrize(("name", "near"), [("icbhi-oficial", "icbhi-official"), ("sprsound_inter", "sprsound-inter")])
def test_an_unknown_split_is_told_of_the_nearest(name: str, near: str) -> None:
    with pytest.raises(SpecError, match=f"There is no split '{name}'. Did you mean '{near}'"):
        split(name)


def test_a_data_set_with_named_splits_has_none_of_its_own_name() -> None:
    with pytest.raises(SpecError, match="There is no split 'sprsound-later'"):
        split("sprsound-later")


def test_every_data_set_has_splits_with_folds_that_are_not_listed() -> None:
    folded = split("sprsound-cv5")
    assert (folded.dataset, folded.folds, folded.version) == ("sprsound", 5, 1)
    assert np.flatnonzero(folded.train_rows(FRAME)).tolist() == np.flatnonzero(folded.test_rows(FRAME)).tolist()
    assert np.flatnonzero(folded.test_rows(FRAME)).tolist() == [3, 4, 5, 7]
    assert split("icbhi-cv20").test == ("train", "test")
    assert split("clinic-cv2", ["clinic"]).test == ("train", "test")
    assert "sprsound-cv5" not in named_splits()
    assert split("clinic-cv2", ["clinic-cv2"]).folds == 0  # a data set of that name comes first
    for name in ("sprsound-cv1", "sprsound-cv21", "sprsound-cv", "clinic-cv5", "sprsound-inter-cv5"):
        assert known_split(name) is None


@given(st.integers(2, 6), st.integers(0, 2**31), st.booleans())
@settings(max_examples=12)
def test_fixed_folds_test_everybody_once_in_whatever_order_clips_come(folds: int, seed: int, renamed: bool) -> None:
    generator = np.random.default_rng(seed)
    held = generator.integers(0, 9, (20, 4))
    held[:8] += 1
    frame = clips({f"p{number:02}": counts.tolist() for number, counts in enumerate(held)})
    chosen = fixed_folds(frame, folds)
    assert sorted(patient for fold in chosen for patient in fold) == sorted(frame["patient"].unique())
    assert fixed_folds(frame.sample(frac=1, random_state=seed), folds) == chosen
    if renamed:  # the counts decide, and names where counts are alike
        other = fixed_folds(frame.assign(patient="a" + frame["patient"]), folds)
        assert other == [tuple("a" + patient for patient in fold) for fold in chosen]


def test_fixed_folds_are_these() -> None:
    """Whoever changes them raises FOLDED_VERSION."""
    frame = clips({f"p{n}": [n + 1, n % 3, (n * n) % 4, n % 2] for n in range(9)})
    assert fixed_folds(frame, 3) == [("p1", "p3", "p8"), ("p4", "p5", "p6"), ("p0", "p2", "p7")]


def clips(patients: dict[str, list[int]]) -> pd.DataFrame:
    """Clips from patient → clips of each class."""
    rows = [(name, index) for name, held in patients.items() for index, n in enumerate(held) for _ in range(n)]
    return pd.DataFrame(rows, columns=["patient", "class_index"])


@settings(max_examples=60)
@given(
    held=st.lists(st.lists(st.integers(0, 4), min_size=4, max_size=4), min_size=2, max_size=25),
    fraction=st.floats(0.05, 0.5),
    seed=st.integers(0, 2**32),
    n_never=st.integers(0, 4),
)
def test_validation_keeps_its_promises(held: list[list[int]], fraction: float, seed: int, n_never: int) -> None:
    table = clips({f"p{index:02}": counts for index, counts in enumerate(held)})
    never = {f"p{index:02}" for index in range(n_never)}
    try:
        chosen = choose_validation(table, fraction, seed, never)
    except DataError:
        event("too few patients")
        return
    validation = table["patient"].isin(chosen)
    assert not never & set(chosen)
    assert len(chosen) == max(1, round(fraction * table["patient"].nunique()))
    assert set(table["class_index"][~validation]) == set(table["class_index"])
    classes = set(table["class_index"][validation])
    assert 0 in classes
    assert classes - {0}
    shuffled = table.sample(frac=1, random_state=seed % 1000)
    assert choose_validation(shuffled, fraction, seed, never) == chosen == tuple(sorted(chosen))


def test_every_class_is_in_validation_where_patients_allow() -> None:
    patients = {f"p{index:02}": [10, 5, 5, int(index < 4)] for index in range(20)}
    for seed in range(10):
        table = clips(patients)
        chosen = choose_validation(table, 0.2, seed)
        kept = table["class_index"][table["patient"].isin(chosen)].value_counts()
        assert set(kept.index) == {0, 1, 2, 3}
        assert kept[3] < 4


def test_seeds_draw_different_patients_and_fraction_zero_none() -> None:
    table = clips({f"p{index:02}": [3, 2, 1, 1] for index in range(30)})
    assert len({choose_validation(table, 0.2, seed) for seed in range(5)}) > 1
    assert choose_validation(table, 0, 1) == ()


@pytest.mark.parametrize(
    ("patients", "never"),
    [
        ({"a": [5, 5, 0, 0]}, set()),
        ({"a": [5, 5, 5, 5], "b": [5, 0, 0, 0]}, set()),
        ({"a": [5, 5, 5, 5], "b": [5, 5, 5, 5]}, {"a", "b"}),
    ],
)
def test_too_few_patients(patients: dict[str, list[int]], never: set[str]) -> None:
    with pytest.raises(DataError, match=r"validation\.fraction=0"):
        choose_validation(clips(patients), 0.2, 0, never)


def test_validation_of_the_recordings_at_hand(real_root: Path) -> None:
    read = read_icbhi(real_root / "icbhi")
    table = read.clips.assign(class_index=ICBHI_4.indices(read))
    rule = split("icbhi-official")
    training = table[rule.train_rows(table)]
    never = set(table["patient"][rule.test_rows(table)])
    for seed in range(3):
        chosen = choose_validation(training, 0.2, seed, never)
        kept = training[training["patient"].isin(chosen)]
        assert len(chosen) == 8
        assert "218" not in chosen
        assert set(kept["class_index"]) == {0, 1, 2, 3}
        assert 0.1 < len(kept) / len(training) < 0.35
