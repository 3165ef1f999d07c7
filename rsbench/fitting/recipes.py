"""What each learned index is fitted on, and what its file says of how well it does."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

import numpy as np
import pandas as pd

from ..data.clips import ClipTable
from ..data.identity import labels_id
from ..data.sources import Roots, load_table
from ..data.splits import split
from ..display import Display
from ..indices.learned import FittedModel
from ..signal.quality import Floats
from .examples import WHOLE, WINDOWS, Examples, clip_examples, labelled_examples
from .model import FOLDS, INVERSE_PENALTIES, Fit, auc, calibrated, chosen_penalty, fit, patient_folds

SEED = 0  # of folds
LIBRARIES = ("numpy", "scipy", "scikit-learn", "soundfile")


def fit_learned(roots: Roots, partial: bool, display: Display) -> FittedModel:
    """SPRSound's train2022, by the labels of its annotators; inter2022, whose patients it lacks, says how well."""
    table = load_table("sprsound", roots, partial=partial)
    examples = labelled_examples(table, display)
    train = examples.rows(examples.about["subset"] == "train2022")
    unseen = examples.rows((examples.about["subset"] == "inter2022") & (examples.about["damage"] == ""))
    fitted, odds, inverse_penalty = _fit_and_judge(train, display)
    recorded = train.about["damage"] == ""
    fitted = calibrated(fitted, odds[recorded], train.about[recorded])
    return _model(
        fitted,
        train,
        table,
        "sprsound-train",
        {
            "command": "python -m rsbench.fitting learned",
            "good": "recordings of train2022, unless annotated as Poor Quality; copies damaged on purpose are poor",
            "inverse_penalty": inverse_penalty,
            "held_out": _held_out(odds, train.about),
            "inter2022": _recordings(fitted.odds(unseen), unseen.about),
        },
    )


def fit_learned_icbhi(roots: Roots, partial: bool, display: Display) -> FittedModel:
    """ICBHI's training clips as recorded against damaged copies of them: no listener's word, and no SPRSound."""
    table = load_table("icbhi", roots, partial=partial)
    side = split("icbhi-official-clean")
    train = clip_examples(table, side.train_rows(table.clips), display)
    fitted, odds, inverse_penalty = _fit_and_judge(train, display)
    return _model(
        calibrated(fitted, odds, train.about),
        train,
        table,
        side.name,
        {
            "command": "python -m rsbench.fitting learned_icbhi",
            "good": "training clips as recorded; copies damaged on purpose are poor",
            "inverse_penalty": inverse_penalty,
            "held_out": _recordings(odds, train.about),
        },
    )


def _fit_and_judge(examples: Examples, display: Display) -> tuple[Fit, Floats, float]:
    """A fit on all examples; log odds (N,) by fits that did not see the patient; and the penalty of the former.

    Each of these fits chose its penalty without the patient too.
    """
    odds = np.full(len(examples.about), np.nan)
    with display.track("folds", FOLDS + 1) as advance:
        for fitted, held_out in patient_folds(examples.about, SEED):
            part = examples.rows(fitted)
            odds[held_out] = fit(part, chosen_penalty(part, SEED)).odds(examples.rows(held_out))
            advance(1, "")
        inverse_penalty = chosen_penalty(examples, SEED)
        advance(1, "")
    return fit(examples, inverse_penalty), odds, inverse_penalty


def _held_out(odds: Floats, about: pd.DataFrame) -> dict[str, Any]:
    """How well recordings and windows of patients that no fit saw are told apart."""
    recorded = about["damage"] == ""
    windows = {f"{window_s:g}s": auc(odds, about, recorded & (about["window_s"] == window_s)) for window_s in WINDOWS}
    return _recordings(odds, about) | {"auc_of_windows": windows}


def _recordings(odds: Floats, about: pd.DataFrame) -> dict[str, Any]:
    whole = about["window_s"] == WHOLE
    known = whole & (about["damage"] == "") & (about["contrast"] != "")
    return {
        "auc_good_over_poor": auc(odds, about, whole),
        "auc_normal_over_adventitious": auc(odds, about, known, about["contrast"] == "normal"),
    }


def _model(fitted: Fit, train: Examples, table: ClipTable, fitted_on: str, provenance: dict[str, Any]) -> FittedModel:
    whole = train.about[(train.about["window_s"] == WHOLE) & (train.about["damage"] == "")]
    about = {
        "recordings": len(whole),
        "patients": int(whole["patient"].nunique()),
        "poor": int((~whole["good"]).sum()),
        "missing_recordings": len(table.missing),
        "labels_id": labels_id(table),
        "folds": FOLDS,
        "inverse_penalties": list(INVERSE_PENALTIES),
        "libraries": {name: version(name) for name in LIBRARIES},
    }
    seen = {table.dataset: frozenset(whole["patient"])}
    return FittedModel(fitted.mean, fitted.scale, fitted.weights, (fitted_on,), seen, provenance | about)
