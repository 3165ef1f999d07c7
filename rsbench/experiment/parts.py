"""Which clips are trained on and tested: of each fold, and where splits do not go together."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import pandas as pd

from ..core.errors import DataError
from ..core.spec import RunSpec
from ..data.clips import ClipTable
from ..data.datasets import home
from ..data.splits import Split, choose_validation, fixed_folds
from ..data.tasks import task

if TYPE_CHECKING:
    from .prepare import DatasetClips


def tested_folds(dataset: DatasetClips, train: Split, spec: RunSpec) -> list[tuple[tuple[str, ...], tuple[str, ...]]]:
    """Of each fold of a split with folds the patients who are tested, and those of the others who validate."""
    if not train.folds:
        return []
    clips = dataset.clips.loc[train.train_rows(dataset.clips), ["patient", "class_index"]]
    return [
        (tested, choose_validation(clips[~clips["patient"].isin(tested)], spec.validation.fraction, spec.seed))
        for tested in fixed_folds(clips, train.folds, task(spec.data.task))
    ]


def of_fold(
    dataset: DatasetClips, train: Split, tested: Collection[str], validated: Collection[str], number: int
) -> DatasetClips:
    """The data set as a fold sees it."""
    clips = dataset.clips
    parted = dataset.with_part("fit", train.train_rows(clips))
    for part, patients in (("validation", validated), ("test", tested)):
        parted = parted.with_part(part, train.train_rows(clips) & clips["patient"].isin(list(patients)))
    return replace(parted, clips=parted.clips.assign(fold=number))


def refuse_splits(
    datasets: Mapping[str, DatasetClips], train: Split, tests: Sequence[Split], training: pd.Series
) -> None:
    """Raise DataError where a split has no clip, or training has what a test split keeps out of it."""
    clips = datasets[train.dataset].clips
    if not training.any():
        raise DataError(f"data.train: split '{train.name}' has no training clip. Choose another with --train.")
    for item in tests:
        rows = item.test_rows(datasets[item.dataset].clips)
        if not rows.any():
            raise DataError(f"data.test: split '{item.name}' has no test clip. Choose another with --test.")
        if item.dataset == train.dataset and (rows & training).any():
            clip = clips["clip_id"][rows & training].iloc[0]
            raise DataError(
                f"data.test: split '{item.name}' holds clips that '{train.name}' trains on (for one, {clip}). "
                "Choose splits that share none."
            )
        kept_out = training & clips["patient"].isin(item.train_without_patients)
        if item.dataset == train.dataset and kept_out.any():
            patients = ", ".join(sorted(set(clips["patient"][kept_out])))
            raise DataError(
                f"data.test: split '{item.name}' keeps patients out of training ({patients}), and '{train.name}' "
                f"trains on them. Train on it too: --train {item.name}."
            )


def refuse_shared_patients(
    datasets: Mapping[str, DatasetClips], train: Split, tests: Sequence[Split], training: pd.Series
) -> None:
    """Raise DataError where a patient, who has one label, would be trained on and tested."""
    clips = datasets[train.dataset].clips
    for item in (item for item in tests if item.dataset == train.dataset):
        shared = set(clips["patient"][training]) & set(clips["patient"][item.test_rows(clips)])
        if shared:
            raise DataError(
                f"data.test: split '{item.name}' tests patients whom '{train.name}' trains on "
                f"({', '.join(sorted(shared))}), and the task is about patients. Choose splits that share none: "
                "icbhi-official-clean, say."
            )


def refuse_other_editions(trains: Sequence[Split], tests: Sequence[Split], tables: Mapping[str, ClipTable]) -> None:
    """Raise DataError where a test split of another edition of a data set holds a patient who is trained on."""
    for train, item in itertools.product(trains, tests):
        if item.dataset == train.dataset or home(item.dataset) != home(train.dataset):
            continue
        trained, tested = (
            set(tables[side.dataset].clips["patient"][rows(tables[side.dataset].clips)])
            for side, rows in ((train, train.train_rows), (item, item.test_rows))
        )
        if both := sorted(trained & tested):
            raise DataError(
                f"data.test: split '{item.name}' holds {len(both)} patients whom '{train.name}' trains on (for one, "
                f"{both[0]}): '{item.dataset}' is another edition of '{home(item.dataset)}'. Choose a split of new "
                "patients; see: rsbench list splits."
            )
