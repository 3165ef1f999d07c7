"""Patient-grouped folds of the training part."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import pandas as pd
from sklearn.model_selection import StratifiedGroupKFold

from ..core.errors import DataError
from ..core.seeds import derive
from .clips import CLASSES


def choose_folds(clips: pd.DataFrame, folds: int, seed: int, never: Collection[str] = ()) -> list[tuple[str, ...]]:
    """The patients that each fold holds out, sorted; classes are spread as evenly as patients allow.

    Args:
        clips: columns patient and class_index, a row per clip of the training part.
        folds: how many, at least 2.
        seed: decides who is with whom.
        never: patients who are held out of no fold, because a test split has them too.

    Raises DataError when there are fewer patients than folds, or a class would be missing from a fitting part.
    """
    free = clips[~clips["patient"].isin(list(never))]
    patients, rarest = free["patient"].nunique(), free["class_index"].value_counts().min()
    if patients < folds or rarest < folds:
        raise DataError(
            f"validation.folds={folds}: the training part has {patients} patients to hold out, and {rarest} clips of "
            "its rarest class. Ask for fewer folds."
        )
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=derive(seed, "folds") % 2**32)
    chosen = []
    for _, held_out in splitter.split(free, free["class_index"], free["patient"]):
        held = free["patient"].iloc[held_out].unique()
        fitted = clips["class_index"][~clips["patient"].isin(held)]
        absent = np.setdiff1d(np.arange(len(CLASSES)), fitted)
        if len(absent):
            raise DataError(
                f"validation.folds={folds}: all patients with class '{CLASSES[absent[0]]}' fall into one fold, so that "
                "nothing of it is left to fit. Train on a larger split, or ask for another number of folds."
            )
        chosen.append(tuple(sorted(held)))
    return chosen
