"""From stored predictions to the figures of a run. No model is needed: a run can be scored again at any time."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd

from ..core.errors import ResultsError
from ..data.clips import CLASSES, NORMAL
from ..data.splits import Split
from .counts import design_of
from .metrics import FloatArray, IntArray, at_operating_point, calibration, risk_coverage, threshold_free
from .operating_point import OperatingPoint, fit_operating_point
from .selection import Rule, rule

LOGIT_COLUMNS = tuple(f"logit_{name}" for name in CLASSES)

PREDICTION_COLUMNS = (
    "clip_id",
    "recording",
    "patient",
    "device",
    "location",
    "subset",
    "part",  # "fit", "validation" or "test": what the run used the clip for
    "label",  # index into CLASSES
    *LOGIT_COLUMNS,
    "quality",  # in [0, 1]
    "margin_rad",
    "selection",  # "val", "last" or "oracle:<split>": whose epoch made the prediction
)

HEADLINE = ("sp", "se", "score")
OF_A_DEVICE = 5  # normal clips, and abnormal ones, that a device needs for its Score to count as the worst
LATER_FIGURES = ("worst_device",)  # which records of before do not have


def score_run(
    predictions: Mapping[str, pd.DataFrame],
    splits: Sequence[Split],
    rules: Sequence[str],
    train_datasets: tuple[str, ...],
) -> dict[str, dict[str, dict[str, Any]]]:
    """Every figure of a run: rule → split → what `score_predictions` returns. JSON-able; undefined figures are None.

    Args:
        predictions: data set → PREDICTION_COLUMNS, a row per clip and selection.
        splits: the test splits asked for.
        rules: names of selection rules.
        train_datasets: those whose rows with part "validation" give the operating point, all together.

    Raises ResultsError naming the data set, selection or split for which predictions are missing.
    """
    scores = {
        name: {split.name: _score(predictions, split, rule(name), train_datasets) for split in splits} for name in rules
    }
    return without_nan(scores)


def _score(
    predictions: Mapping[str, pd.DataFrame], split: Split, selected: Rule, train_datasets: tuple[str, ...]
) -> dict[str, Any]:
    if split.dataset not in predictions:
        raise ResultsError(
            f"There are no predictions for data set '{split.dataset}'; stored: {', '.join(sorted(predictions))}. "
            f"Run again with '{split.name}' among the test splits."
        )
    selection = selected.selection(split.name)
    trained = [predictions[name] for name in train_datasets if name in predictions]
    point = _chosen_on_validation(trained, selection)
    return score_predictions(_selected(predictions[split.dataset], selection), split, point)


def _chosen_on_validation(trained: Sequence[pd.DataFrame], selection: str) -> OperatingPoint | None:
    """None where the run trained on everything: no row is validation, or no training set was predicted."""
    if not trained:
        return None
    rows = pd.concat([_selected(frame[frame["part"] == "validation"], selection) for frame in trained])
    return fit_operating_point(*_labels_and_logits(rows)) if len(rows) else None


def _selected(predictions: pd.DataFrame, selection: str) -> pd.DataFrame:
    return predictions[predictions["selection"] == selection]


def score_predictions(predictions: pd.DataFrame, split: Split, point: OperatingPoint | None = None) -> dict[str, Any]:
    """The figures of one split, from the predictions of one selected epoch.

    `argmax` and, given an operating point, `val-bias` hold the metrics of `at_operating_point`. Beside them:
    `operating_point`, `threshold_free`, `calibration`, `risk_coverage`, `by_device` (Sp, Se and Score at argmax),
    `worst_device` (the lowest Score of a device, per operating point; NaN where fewer than two have clips enough),
    `floor` (those of always-normal), `clips`, `patients` and `effective_patients` (Kish, per class).

    Args:
        predictions: PREDICTION_COLUMNS of the split's data set, one row per clip.
        split: which of the rows with part "test" are judged.
        point: chosen on validation; None without validation. Its NaN offset leaves `val-bias` out.

    Raises ResultsError when the split holds no predicted clip, or one clip twice.
    """
    rows = predictions[split.test_rows(predictions) & (predictions["part"] == "test")]
    _check_rows(rows, split)
    labels, logits = _labels_and_logits(rows)
    offsets = {"argmax": 0.0}
    if point is not None and not math.isnan(point.normal_offset):
        offsets["val-bias"] = point.normal_offset
    figures: dict[str, Any] = {at: at_operating_point(labels, logits, offset) for at, offset in offsets.items()}
    if point is not None:
        figures["operating_point"] = asdict(point)
    return figures | {
        "worst_device": {at: _worst_device(rows, offset) for at, offset in offsets.items()},
        "threshold_free": threshold_free(labels, logits),
        "calibration": calibration(labels, logits, point.temperature if point else None),
        "risk_coverage": risk_coverage(labels, logits, rows["quality"]),
        "by_device": {str(device): _headline(clips) for device, clips in rows.groupby("device")},
        "floor": _headline(rows, normal_offset=np.inf),
        "clips": len(rows),
        "patients": int(rows["patient"].nunique()),
        "effective_patients": design_of(rows).effective_patients(),
    }


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


def _headline(rows: pd.DataFrame, normal_offset: float = 0.0) -> dict[str, float]:
    metrics = at_operating_point(*_labels_and_logits(rows), normal_offset)
    return {key: metrics[key] for key in HEADLINE}


def _worst_device(rows: pd.DataFrame, normal_offset: float) -> float:
    """The lowest Score of a device in percent; NaN where fewer than two have clips enough to be compared."""
    scores = []
    for _, clips in rows.groupby("device"):
        normals = int((clips["label"] == NORMAL).sum())
        if min(normals, len(clips) - normals) >= OF_A_DEVICE:
            scores.append(_headline(clips, normal_offset)["score"])
    return min(scores) if len(scores) > 1 else math.nan


def _labels_and_logits(rows: pd.DataFrame) -> tuple[IntArray, FloatArray]:
    labels = rows["label"].to_numpy(dtype=np.int64)
    return labels, rows[list(LOGIT_COLUMNS)].to_numpy(dtype=np.float64)


def without_nan(figures: Any) -> Any:
    """The same nested dict with None for NaN, which JSON does not know."""
    if isinstance(figures, dict):
        return {key: without_nan(value) for key, value in figures.items()}
    return None if isinstance(figures, float) and math.isnan(figures) else figures
