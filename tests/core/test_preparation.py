"""Splits made ready: no clip on both sides, no validation patient who is tested, no training on what was left out."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from tiny import TINY_PLUGIN, BringSplit, tiny_settings

from rsbench.core.errors import DataError
from rsbench.data.splits import Split
from rsbench.experiment.context import make_context, make_spec
from rsbench.experiment.prepare import Experiment, prepare_experiment

Prepare = Callable[..., Experiment]


@pytest.fixture
def root(tiny_root: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_root, tmp_path / "root"))


@pytest.fixture
def prepare(root: Path, tmp_path: Path) -> Prepare:
    def call(**changes: Any) -> Experiment:
        context = make_context(root, tmp_path, threads=1, quiet=True)
        spec = make_spec(tiny_settings(**changes), context, [TINY_PLUGIN])
        return prepare_experiment(spec, context.data_cache())

    return call


def own_split(name: str, test: tuple[str, ...], without: tuple[str, ...] = ()) -> Split:
    return Split(name, 1, "tiny", "", ("train",), test, without)


def test_a_test_split_that_holds_training_clips_is_refused(prepare: Prepare, bring_split: BringSplit) -> None:
    bring_split(own_split("tiny-all", ("train", "test")))
    with pytest.raises(DataError, match=r"'tiny-all' holds clips that 'tiny-all' trains on.*train00:0"):
        prepare(train="tiny-all", test="tiny-all")


def test_patients_whom_a_test_split_keeps_out_of_training_are_not_trained_on(
    prepare: Prepare, bring_split: BringSplit
) -> None:
    bring_split(own_split("tiny-clean", ("test",), without=("train00", "train07")))
    with pytest.raises(
        DataError, match=r"'tiny-clean' keeps patients out of training \(train00, train07\), and 'tiny'"
    ):
        prepare(train="tiny", test="tiny-clean")
    assert prepare(train="tiny-clean", test="tiny-clean,tiny").tests


def test_a_patient_on_both_sides_is_never_a_validation_patient(prepare: Prepare, root: Path) -> None:
    path = root / "tiny" / "clips.csv"
    clips = pd.read_csv(path)
    both_sides = {f"test{index:02d}": f"train{index:02d}" for index in range(4)}  # four of ten, as 156 and 218 are
    clips.assign(patient=clips["patient"].replace(both_sides)).to_csv(path, index=False)
    for seed in range(20):
        chosen = set(prepare(seed=seed).validation_patients)
        assert chosen
        assert not chosen & set(both_sides.values())


def test_who_validates_follows_from_data_set_split_and_seed_alone(prepare: Prepare, bring_split: BringSplit) -> None:
    """Whatever is tested, even a split that holds other clips of patients who could validate."""
    bring_split(Split("tiny-some", 1, "tiny", "", ("train",), ("test",), test_without_patients=("test00",)))
    bring_split(Split("tiny-again", 1, "tiny", "", ("train",), ("test",)))
    chosen = [prepare(test=test) for test in ("tiny", "far", "tiny,far", "tiny-some", "tiny-again")]
    assert len({one.validation_patients for one in chosen}) == 1
    fitted = {tuple(one.train_data.clips["clip_id"].iloc[one.train_data.rows("fit")]) for one in chosen}
    assert len(fitted) == 1
    assert len({prepare(seed=seed).validation_patients for seed in range(5)}) > 1


def test_patients_left_out_of_training_are_neither_fitted_nor_validated(
    prepare: Prepare, bring_split: BringSplit
) -> None:
    bring_split(own_split("tiny-clean", ("test",), without=("train00", "train01")))
    clips = prepare(train="tiny-clean", test="tiny-clean").train_data.clips
    assert not set(clips["patient"][clips["part"].isin(["fit", "validation"])]) & {"train00", "train01"}
