"""What is said of clips, pooled to recordings or patients by the rule of tasks that are about these."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import pandas as pd
import scipy

from ..data.tasks import NORMAL, Task
from ..evaluation.metrics import predicted_classes
from ..evaluation.operating_point import OperatingPoint
from ..experiment.pooling import RULE, with_log_probabilities
from .prediction import QUALITY_COLUMNS, Heard, probability_columns

Per = Literal["clip", "recording", "patient"]
POOLED_IN_WORDS = {
    "recording": f"{RULE} of its clips",
    "patient": f"{RULE} of its recordings, each the {RULE} of its clips",
}


def pooled(heard: Heard, task: Task, point: OperatingPoint, per: Per) -> pd.DataFrame:
    """A row per clip, as heard, or per recording or patient.

    Those of recordings have recording, patient and clips (how many), those of patients patient, recordings and clips;
    then called, the probabilities, and the means of QUALITY_COLUMNS. The operating point is applied once, to what is
    pooled. Of patients, every recording's has to be known.
    """
    if per == "clip":
        return heard.rows
    clips = heard.rows[["recording", *QUALITY_COLUMNS]].join(heard.logits).assign(clips=1)
    rows = _means(clips, task, "recording", ["clips"])
    rows = rows.assign(patient=rows["recording"].map(heard.patients).astype(str))
    own = ["recording", "patient", "clips"]
    if per == "patient":
        rows = _means(rows.assign(recordings=1), task, "patient", ["recordings", "clips"])
        own = ["patient", "recordings", "clips"]
    logits = rows[list(task.logit_columns)].to_numpy()
    shifted = logits.copy()
    shifted[:, NORMAL] += point.normal_offset
    probabilities = scipy.special.softmax(shifted / point.temperature, axis=1)
    rows = rows.assign(
        called=[task.classes[number] for number in predicted_classes(logits, point.normal_offset)],
        **dict(zip(probability_columns(task), probabilities.T, strict=True)),
    )
    return rows[[*own, "called", *probability_columns(task), *QUALITY_COLUMNS]]


def _means(frame: pd.DataFrame, task: Task, by: str, counts: Sequence[str]) -> pd.DataFrame:
    """A row per group: means of log-probabilities and of quality, sums of counts."""
    means = dict.fromkeys((*task.logit_columns, *QUALITY_COLUMNS), "mean")
    groups = with_log_probabilities(frame, task).groupby(by, sort=False)
    return groups.agg({**means, **dict.fromkeys(counts, "sum")}).reset_index().astype(dict.fromkeys(counts, np.int64))
