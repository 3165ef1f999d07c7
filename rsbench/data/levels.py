"""Whole recordings in place of clips: what tasks of recordings and of patients are about."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd

from ..core.errors import DataError
from .clips import CLIP_COLUMNS, ClipTable
from .tasks import Level


def at_level(table: ClipTable, level: Level) -> ClipTable:
    """The data set with one clip per recording, labelled by what its level says; as it is at the level of clips.

    A recording that nobody gave a label at that level is no clip.

    Raises DataError where no recording has one.
    """
    if level == "clip":
        return table
    labels, lacking = _LABELS[level](table)
    recordings = table.recordings.assign(
        clip_id=table.recordings["recording"] + ":whole", start_s=0.0, end_s=np.inf, label=labels
    )
    clips = recordings.loc[labels != "", list(CLIP_COLUMNS)].reset_index(drop=True)
    if clips.empty:
        raise DataError(f"Data set '{table.dataset}' has {lacking}, and the task is about that. Choose another --task.")
    return replace(table, clips=clips, places={}, words={})


def _of_recordings(table: ClipTable) -> tuple[pd.Series, str]:
    return table.recordings["record_label"], "no label of whole recordings"


def _of_patients(table: ClipTable) -> tuple[pd.Series, str]:
    return table.recordings["patient"].map(dict(table.diagnoses())).fillna(""), "no diagnoses of patients"


_LABELS: dict[str, Callable[[ClipTable], tuple[pd.Series, str]]] = {
    "recording": _of_recordings,
    "patient": _of_patients,
}
