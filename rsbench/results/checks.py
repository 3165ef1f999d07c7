"""What a record must hold beside being whole: names that are plain words, known rules, tables of their kind."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import ValidationError

from ..core.errors import ResultsError
from ..core.files import damaged
from ..core.spec import RunSpec
from ..core.text import SIGNS, is_plain_word
from ..data.tasks import Task
from ..evaluation.scoring import LATER_COLUMNS, prediction_columns
from ..evaluation.selection import RULES
from .schema import DataUsed
from .store import DATA, EPOCHS, METRICS, SPEC

NUMBERS = ("fold", "label", "quality", "margin_rad", "length_s")  # of stored predictions, beside the logits
WORDS = ("clip_id", "recording", "patient", "part", "selection")


def checked_spec(run: Path, written: Mapping[str, Any]) -> RunSpec:
    """The spec that a run's file holds.

    Raises ResultsError where it is none, where the run or something in it has no proper name, or nothing was to be
    judged.
    """
    try:
        spec = RunSpec.model_validate(written)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise ResultsError(
            f"{run / SPEC}: {key}: {first['msg']}. It was written by another version of rsbench: move the run "
            "elsewhere, or rank it with that version."
        ) from None
    _check_names(run / SPEC, {run.name, spec.loss.name, *spec.data.trains, *spec.data.test})
    if not (spec.data.test and spec.select):
        raise damaged(run / SPEC, "it names no test split, or no selection rule")
    _check_rules(run / SPEC, spec.select)
    return spec


def check_data(run: Path, data: DataUsed) -> None:
    """Raise ResultsError where a split or a data set has no proper name."""
    used = {name for split, of in data.splits.items() for name in (split, of.dataset)}
    _check_names(run / DATA, {*used, *data.datasets, *data.identity.labels})


def check_metrics(run: Path, rules: Iterable[str]) -> None:
    """Raise ResultsError for figures under a selection rule that there is not."""
    _check_rules(run / METRICS, rules)


def check_epochs(run: Path, frame: pd.DataFrame) -> None:
    """Raise ResultsError where the table of epochs holds anything but numbers, or lacks its columns."""
    numbers = frame.empty or all(dtype.kind in "if" for dtype in frame.dtypes)  # nobody trained, or elsewhere
    if not (numbers and {"epoch", "train_loss"} <= set(frame)):
        raise damaged(run / EPOCHS, "it is no table of numbers with epoch and train_loss")


def check_predictions(path: Path, frame: pd.DataFrame, task: Task) -> None:
    """Raise ResultsError for a table that is none of stored predictions."""
    missing = [name for name in prediction_columns(task) if name not in frame and name not in LATER_COLUMNS]
    if missing:
        raise damaged(path, f"it has no column {', '.join(missing)}", path.parents[1])
    wrong = [name for name in (*NUMBERS, *task.logit_columns) if name in frame and frame[name].dtype.kind not in "iuf"]
    wrong += [name for name in WORDS if frame[name].dtype.kind in "biufcmM"]
    if wrong:
        raise damaged(path, f"its column {wrong[0]} is {frame[wrong[0]].dtype}", path.parents[1])
    if not frame["fold"].dtype.kind == "i":
        raise damaged(path, "a fold is no whole number", path.parents[1])
    if frame["label"].dtype.kind == "f" or not frame["label"].between(0, len(task.classes) - 1).all():
        raise damaged(path, f"a label is none of the {len(task.classes)} classes", path.parents[1])


def _check_names(path: Path, names: Iterable[str]) -> None:
    """Names become files, and stand in tables and pages."""
    for name in sorted(names):
        if not is_plain_word(name):
            raise ResultsError(
                f"{path}: '{name}' is no name of a run, split, data set or loss, which are letters, digits and "
                f"{SIGNS}. rsbench did not write it: leave this run out."
            )


def _check_rules(path: Path, names: Iterable[str]) -> None:
    for name in names:
        if name not in RULES:
            raise damaged(path, f"it names a selection rule '{name}', which there is not")
