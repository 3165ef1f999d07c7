"""What each learned index is fitted on, and what its file says of how well it does."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

import pandas as pd

from ...core.display import Display
from ...data.clips import ClipTable
from ...data.identity import labels_id
from ...data.sources import Roots, load_table
from ...data.splits import split
from ..index import Floats
from ..indices.learned import FittedModel
from .examples import WHOLE, WINDOWS, Examples, imitated_examples, labelled_examples
from .model import FOLDS, INVERSE_PENALTY, Fit, auc, calibrated, fit, held_out_odds, judged

LIBRARIES = ("numpy", "scipy", "scikit-learn", "soundfile")


def fit_learned(roots: Roots, partial: bool, display: Display) -> FittedModel:
    """SPRSound's train2022, by the labels of its annotators; inter2022, whose patients it lacks, says how well."""
    table = load_table("sprsound", roots, partial=partial)
    examples = labelled_examples(table, display)
    train = examples.rows(examples.about["subset"] == "train2022")
    unseen = examples.rows((examples.about["subset"] == "inter2022") & (examples.about["damage"] == ""))
    odds = _held_out(train, display)
    recorded = train.about["damage"] == ""
    fitted = calibrated(fit(train), odds[recorded], train.about[recorded])
    return _model(
        fitted,
        train,
        table,
        "sprsound-train",
        {
            "command": "python -m rsbench.quality.fitting learned",
            "good": "recordings of train2022, unless annotated as Poor Quality; copies damaged on purpose are poor",
            "caution": "bands and features were chosen on these recordings too: held_out is a little too kind",
            "held_out": {**_discrimination(odds, train.about), "auc_of_windows": _windows(odds, train.about)},
            "inter2022": _discrimination(fitted.odds(unseen), unseen.about),
        },
    )


def fit_learned_icbhi(roots: Roots, partial: bool, display: Display) -> FittedModel:
    """ICBHI's training clips as recorded against damaged copies of them: no listener's word, and no SPRSound."""
    table = load_table("icbhi", roots, partial=partial)
    side = split("icbhi-official-clean")
    train = imitated_examples(table, side.train_rows(table.clips), display)
    odds = _held_out(train, display)
    return _model(
        calibrated(fit(train), odds, train.about),
        train,
        table,
        side.name,
        {
            "command": "python -m rsbench.quality.fitting learned_icbhi",
            "good": "stretches of training clips as recorded; degraded copies and imitations of bad ones are poor",
            "caution": "no recording of SPRSound is used, but its poor ones taught what to describe and to imitate",
            "held_out": _discrimination(odds, train.about),
        },
    )


def _held_out(examples: Examples, display: Display) -> Floats:
    with display.track("folds", FOLDS) as advance:
        return held_out_odds(examples, lambda steps: advance(steps, ""))


def _discrimination(odds: Floats, about: pd.DataFrame) -> dict[str, Any]:
    """What log odds (N,) tell apart among the examples that a fit is judged by, and what they should not."""
    known = (about["window_s"] == WHOLE) & (about["contrast"] != "")
    return {
        "auc_good_over_poor": auc(odds, about, judged(about)),
        "auc_normal_over_adventitious": auc(odds, about, known, about["contrast"] == "normal"),
    }


def _windows(odds: Floats, about: pd.DataFrame) -> dict[str, Any]:
    """AUC of good over poor among windows, by their length."""
    return {f"{window_s:g}s": auc(odds, about, about["window_s"] == window_s) for window_s in WINDOWS}


def _model(fitted: Fit, train: Examples, table: ClipTable, fitted_on: str, provenance: dict[str, Any]) -> FittedModel:
    whole = train.about[(train.about["window_s"] == WHOLE) & (train.about["damage"] == "")]
    about = {
        "recordings": len(whole),
        "patients": int(whole["patient"].nunique()),
        "poor": int((~whole["good"]).sum()),
        "missing_recordings": len(table.missing),
        "labels_id": labels_id(table),
        "folds": FOLDS,
        "inverse_penalty": INVERSE_PENALTY,
        "libraries": {name: version(name) for name in LIBRARIES},
    }
    seen = {table.dataset: frozenset(whole["patient"])}
    return FittedModel(fitted.mean, fitted.scale, fitted.weights, (fitted_on,), seen, provenance | about)
