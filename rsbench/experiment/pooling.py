"""Several predictions made one: a patient's from recordings, as tasks of patients have it; a recording's from clips."""

from __future__ import annotations

import numpy as np
import pandas as pd
import scipy

from ..data.tasks import Task
from ..evaluation.scoring import prediction_columns

RULE = "mean log-probability"  # how predictions are pooled, as output and model card name it
ONE_OF_EACH = ("patient", "subset", "part", "fold", "selection")  # columns that the rows of a patient have in common


def of_patients(frame: pd.DataFrame, task: Task) -> pd.DataFrame:
    """`prediction_columns` with a row per patient, of those with a row per recording.

    A patient's logits are the mean log-probabilities of the recordings; clip_id is the patient's name, length_s that of
    all recordings together, quality and margin are means, and what recordings differ in is "".
    """
    frame = with_log_probabilities(frame, task)
    # Of a split with folds all subsets are tested; of others each by itself, since a split may leave one out.
    first = frame.groupby("patient")["subset"].transform("first")
    frame = frame.assign(subset=frame["subset"].where(frame["fold"] < 0, first))
    means = dict.fromkeys((*task.logit_columns, "quality", "margin_rad"), "mean")
    words = dict.fromkeys(("device", "location"), _in_common)
    groups = frame.groupby(list(ONE_OF_EACH), sort=False)
    pooled = groups.agg({**means, **words, "label": "first", "length_s": "sum"}).reset_index()
    pooled = pooled.assign(clip_id=pooled["patient"], recording=pooled["patient"])
    return pooled[list(prediction_columns(task))]


def with_log_probabilities(frame: pd.DataFrame, task: Task) -> pd.DataFrame:
    """The frame with log-probabilities in its columns of logits: their means are the logits of what is pooled."""
    logits = frame[list(task.logit_columns)].to_numpy(dtype=np.float64)
    log_probabilities = scipy.special.log_softmax(logits, axis=1)
    return frame.assign(**dict(zip(task.logit_columns, log_probabilities.T, strict=True)))


def _in_common(words: pd.Series) -> str:
    """What all have, or ""."""
    return str(words.iloc[0]) if words.nunique() == 1 else ""
