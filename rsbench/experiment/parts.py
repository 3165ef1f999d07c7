"""What each fold of a split with folds uses a clip for."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import TYPE_CHECKING

from ..core.spec import RunSpec
from ..data.splits import Split, choose_validation, fixed_folds

if TYPE_CHECKING:
    from .prepare import DatasetClips


def tested_folds(dataset: DatasetClips, train: Split, spec: RunSpec) -> list[tuple[tuple[str, ...], tuple[str, ...]]]:
    """Of each fold of a split with folds the patients who are tested, and those of the others who validate."""
    if not train.folds:
        return []
    clips = dataset.clips.loc[train.train_rows(dataset.clips), ["patient", "class_index"]]
    return [
        (tested, choose_validation(clips[~clips["patient"].isin(tested)], spec.validation.fraction, spec.seed))
        for tested in fixed_folds(clips, train.folds)
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
