"""From stored predictions to the figures of a run. No model is needed: a run can be scored again at any time."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd

from ..core.errors import ResultsError
from ..data.splits import Split
from ..data.tasks import ICBHI_4, NORMAL, Task
from .counts import design_of
from .metrics import FloatArray, IntArray, at_operating_point, calibration, risk_coverage, threshold_free
from .nuisance import auroc_within
from .operating_point import OperatingPoint, fit_operating_point, per_clip
from .selection import Rule, rule


def prediction_columns(task: Task) -> tuple[str, ...]:
    """The columns of stored predictions, a row per clip and selection."""
    return (
        "clip_id",
        "recording",
        "patient",
        "device",
        "location",
        "subset",
        "part",  # "fit", "validation" or "test": what the run used the clip for
        "fold",  # of a split with folds, from 0: whose model made the prediction; −1 without
        "label",  # index of the task's class
        *task.logit_columns,
        "quality",  # in [0, 1]
        "margin_rad",
        "length_s",  # of the clip as annotated; records made before it was stored have none
        "selection",  # "val", "last" or "oracle:<split>": whose epoch made the prediction
    )


LATER_COLUMNS = ("length_s",)  # which records made earlier lack

HEADLINE = ("sp", "se", "score")
OF_DEGREES = (  # figures that need to know how sure a prediction is
    *(("calibration", name) for name in ("nll", "brier", "ece")),
    *(("threshold_free", name) for name in ("se_at_sp80", "se_at_sp90")),
    ("risk_coverage", "aurc_confidence"),
)
OF_A_DEVICE = 5  # normal clips, and abnormal ones, that a device needs for its Score to count as the worst
LATER_FIGURES = frozenset({"worst_device", "macro_auroc"})  # which records of before do not have


def score_run(
    predictions: Mapping[str, pd.DataFrame],
    splits: Sequence[Split],
    rules: Sequence[str],
    train_datasets: tuple[str, ...],
    task: Task = ICBHI_4,
) -> dict[str, dict[str, dict[str, Any]]]:
    """Every figure of a run: rule → split → what `score_predictions` returns. JSON-able; undefined figures are None.

    Args:
        predictions: data set → `prediction_columns`, a row per clip and selection.
        splits: the test splits asked for.
        rules: names of selection rules.
        train_datasets: those whose rows with part "validation" give the operating point, all together.
        task: whose classes were predicted.

    Raises ResultsError naming the data set, selection or split for which predictions are missing.
    """
    scores = {
        name: {split.name: _score(predictions, split, rule(name), train_datasets, task) for split in splits}
        for name in rules
    }
    return without_nan(scores)


def _score(
    predictions: Mapping[str, pd.DataFrame],
    split: Split,
    selected: Rule,
    train_datasets: tuple[str, ...],
    task: Task,
) -> dict[str, Any]:
    if split.dataset not in predictions:
        raise ResultsError(
            f"There are no predictions for data set '{split.dataset}'; stored: {', '.join(sorted(predictions))}. "
            f"Run again with '{split.name}' among the test splits."
        )
    selection = selected.selection(split.name)
    trained = [predictions[name] for name in train_datasets if name in predictions]
    points = _chosen_on_validation(trained, selection, task)
    return score_predictions(_selected(predictions[split.dataset], selection), split, *points, task=task)


def _chosen_on_validation(trained: Sequence[pd.DataFrame], selection: str, task: Task) -> list[OperatingPoint]:
    """One, or each fold's own, on its own validation clips.

    Empty where the run trained on everything: no row is validation, or no training set was predicted.
    """
    if not trained:
        return []
    rows = pd.concat([_selected(frame[frame["part"] == "validation"], selection) for frame in trained])
    return [fit_operating_point(*_labels_and_logits(of_fold, task)) for _, of_fold in rows.groupby("fold")]


def _selected(predictions: pd.DataFrame, selection: str) -> pd.DataFrame:
    return predictions[predictions["selection"] == selection]


def score_predictions(
    predictions: pd.DataFrame, split: Split, *points: OperatingPoint, task: Task = ICBHI_4
) -> dict[str, Any]:
    """The figures of one split, from the predictions of one selected epoch.

    `argmax` and, given an operating point, `val-bias` hold the metrics of `at_operating_point`. Beside them:
    `operating_point` (of folds, a list of each number), `threshold_free` (with `auroc_within_length` where lengths are
    stored), `calibration`, `risk_coverage`, `by_device` (Sp, Se and Score at argmax), `worst_device` (the lowest Score
    of a device, per operating point; NaN where fewer than two have clips enough), `floor` (those of always-normal),
    `clips`, `patients` and `effective_patients` (Kish, per class).

    Args:
        predictions: `prediction_columns` of the split's data set, one row per clip.
        split: which of the rows with part "test" are judged.
        points: chosen on validation, one for all clips or one for each fold; none without validation. A NaN offset
            leaves `val-bias` out.
        task: whose classes were predicted.

    Where nothing but a class was predicted there is no `val-bias`, nor any figure that takes more: calibration, the
    order of clips by confidence, and Se at other Sp are NaN, and an AUROC is that of the one threshold.

    Raises ResultsError when the split holds no predicted clip, or one clip twice.
    """
    rows = predictions[split.test_rows(predictions) & (predictions["part"] == "test")]
    _check_rows(rows, split)
    labels, logits = _labels_and_logits(rows, task)
    labels_only = bool((np.sort(logits, axis=1) == [0.0] * len(task.abnormal) + [1.0]).all())
    points = () if labels_only else points
    offsets: dict[str, float | FloatArray] = {"argmax": 0.0}
    chosen: dict[str, Any] = {}
    temperature = None
    if points:
        chosen = asdict(points[0]) if not split.folds else _listed(points)
        temperature = per_clip(chosen["temperature"], rows["fold"])
        offset = per_clip(chosen["normal_offset"], rows["fold"])
        if not np.isnan(offset).any():
            offsets["val-bias"] = offset
    figures: dict[str, Any] = {at: at_operating_point(labels, logits, offset, task) for at, offset in offsets.items()}
    if chosen:
        figures["operating_point"] = chosen
    figures |= {
        "worst_device": {at: _worst_device(rows, offset, task) for at, offset in offsets.items()},
        "threshold_free": threshold_free(labels, logits, task) | _within_length(rows, task),
        "calibration": calibration(labels, logits, temperature),
        "risk_coverage": risk_coverage(labels, logits, rows["quality"]),
        "by_device": {str(device): _headline(clips, task) for device, clips in rows.groupby("device")},
        "floor": _headline(rows, task, normal_offset=np.inf),
        "clips": len(rows),
        "patients": int(rows["patient"].nunique()),
        "effective_patients": design_of(rows, task).effective_patients(task),
    }
    for part, name in OF_DEGREES if labels_only else ():
        figures[part][name] = math.nan
    return figures


def _within_length(rows: pd.DataFrame, task: Task) -> dict[str, float]:
    """Nothing of a record that does not say how long its clips are, so that its figures stay what they were."""
    if "length_s" not in rows:
        return {}
    return {"auroc_within_length": auroc_within(*_labels_and_logits(rows, task), rows["length_s"])}


def _listed(points: Sequence[OperatingPoint]) -> dict[str, list[float]]:
    """Each number of all folds, in their order."""
    every = [asdict(point) for point in points]
    return {name: [one[name] for one in every] for name in every[0]}


def _check_rows(rows: pd.DataFrame, split: Split) -> None:
    if rows.empty:
        raise ResultsError(
            f"Split '{split.name}' holds none of the predicted clips of '{split.dataset}'. "
            "Was the run made with this split and this selection rule?"
        )
    twice = rows["clip_id"][rows["clip_id"].duplicated()]
    if len(twice):
        raise ResultsError(
            f"Clip '{twice.iloc[0]}' of '{split.dataset}' is predicted twice under one selection. "
            "The predictions are not those of one run; delete them and run again."
        )


def _headline(rows: pd.DataFrame, task: Task, normal_offset: float | FloatArray = 0.0) -> dict[str, float]:
    metrics = at_operating_point(*_labels_and_logits(rows, task), normal_offset, task)
    return {key: metrics[key] for key in HEADLINE}


def _worst_device(rows: pd.DataFrame, normal_offset: float | FloatArray, task: Task) -> float:
    """The lowest Score of a device in percent; NaN where fewer than two have clips enough to be compared."""
    offsets = np.broadcast_to(normal_offset, len(rows))
    scores = []
    for places in rows.groupby("device").indices.values():
        clips = rows.iloc[places]
        normals = int((clips["label"] == NORMAL).sum())
        if min(normals, len(clips) - normals) >= OF_A_DEVICE:
            scores.append(_headline(clips, task, offsets[places])["score"])
    return min(scores) if len(scores) > 1 else math.nan


def _labels_and_logits(rows: pd.DataFrame, task: Task) -> tuple[IntArray, FloatArray]:
    labels = rows["label"].to_numpy(dtype=np.int64)
    return labels, rows[list(task.logit_columns)].to_numpy(dtype=np.float64)


def without_nan(figures: Any) -> Any:
    """The same nested dict with None for NaN, which JSON does not know."""
    if isinstance(figures, dict):
        return {key: without_nan(value) for key, value in figures.items()}
    if isinstance(figures, list):
        return [without_nan(value) for value in figures]
    return None if isinstance(figures, float) and math.isnan(figures) else figures
