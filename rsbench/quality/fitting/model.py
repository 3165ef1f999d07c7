"""A logistic model of quality from examples: balanced, calibrated, and blind to the diagnosis.

Blind: the direction in which normal and adventitious recordings differ on average is taken out of the weights, for
short, middling and long pieces alike, so that the mean log odds of the two are equal.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold

from ...evaluation.patients import area_under_curve, patient_codes
from ..index import Floats
from ..indices._description import FEATURES
from ..indices.learned import length_place, standardised
from .examples import WHOLE, Examples

FOLDS = 5
SEED = 0  # of who is in which fold
INVERSE_PENALTY = 0.3  # scikit-learn's C; from 0.1 to 1 the AUC among held-out patients moves by 0.002
DAMAGED_SHARE = 0.1  # of all weight, taken by damaged copies beside recordings that listeners judged
WHOLE_SHARE = 0.5  # of a recording's weight, kept by the whole of it; its windows share the rest
LENGTH_GROUPS = (1 / 3, 2 / 3)  # of `length_place`: short, middling and long pieces


@dataclass(frozen=True)
class Fit:
    """Weights before they are calibrated. mean, scale, weights: as of a `FittedModel`."""

    mean: Floats
    scale: Floats
    weights: Floats

    def odds(self, examples: Examples) -> Floats:
        """(N,) log odds of being good."""
        standard = standardised(examples.features, self.mean, self.scale)
        return _by_length(standard, examples.about["seconds"]) @ self.weights.ravel()


def fit(examples: Examples) -> Fit:
    """One logistic regression over examples of which good and poor weigh the same."""
    mean, scale = _centre_and_scale(examples)
    terms = _by_length(standardised(examples.features, mean, scale), examples.about["seconds"])
    blind = _blind_directions(terms, examples.about)
    model = LogisticRegression(C=INVERSE_PENALTY, fit_intercept=False, max_iter=5000)
    model.fit(terms @ blind, examples.about["good"], sample_weight=_weights(examples.about))
    return Fit(mean, scale, (blind @ model.coef_[0]).reshape(2, -1))


def judged(about: pd.DataFrame) -> pd.Series:
    """Which examples a fit is judged by: whole recordings, if listeners called any poor; else all, damaged ones too."""
    recorded = about["damage"] == ""
    if (recorded & ~about["good"]).any():
        return recorded & (about["window_s"] == WHOLE)
    return pd.Series(True, about.index)


def held_out_odds(examples: Examples, advance: Callable[[int], None]) -> Floats:
    """(N,) log odds of every example by a fit on others' patients; `advance` is called after each of FOLDS fits."""
    odds = np.full(len(examples.about), np.nan)
    folds = GroupKFold(FOLDS, shuffle=True, random_state=SEED)
    for fitted, held_out in folds.split(examples.features, groups=examples.about["patient"]):
        odds[held_out] = fit(examples.at(fitted)).odds(examples.at(held_out))
        advance(1)
    return odds


def auc(odds: Floats, about: pd.DataFrame, chosen: pd.Series, better: pd.Series | None = None) -> dict[str, float]:
    """AUC of good over poor among the chosen rows, or of `better` over the others, with its interval over patients."""
    kept = chosen.to_numpy()
    better = about["good"] if better is None else better
    found = area_under_curve(odds[kept], better.to_numpy()[kept], patient_codes(about["patient"][chosen]))
    return {"value": round(found.value, 3), "low": round(found.low, 3), "high": round(found.high, 3)}


def calibrated(fitted: Fit, odds: Floats, about: pd.DataFrame) -> Fit:
    """The fit with its log odds stretched and moved to what held-out ones were worth (Platt 1999).

    Args:
        fitted: on all examples.
        odds: (N,) of examples that their fold did not fit.
        about: of these examples.
    """
    model = LogisticRegression(C=np.inf).fit(odds[:, None], about["good"], sample_weight=_weights(about))
    weights = fitted.weights * model.coef_[0, 0]
    weights[:, -1] += model.intercept_[0]
    return Fit(fitted.mean, fitted.scale, weights)


def _centre_and_scale(examples: Examples) -> tuple[Floats, Floats]:
    """(K,) mean and spread of the features among whole pieces as recorded."""
    about = examples.about
    whole = examples.rows((about["window_s"] == WHOLE) & (about["damage"] == "")).features
    fixed = np.array([feature.scale or np.nan for feature in FEATURES])
    return whole.mean(axis=0), np.where(np.isnan(fixed), whole.std(axis=0), fixed)


def _by_length(standard: Floats, seconds: pd.Series) -> Floats:
    """(N, 2·(K + 1)) the features and a one, as much as a piece is short, and again as much as it is long."""
    place = length_place(seconds.to_numpy())[:, None]
    terms = np.column_stack([standard, np.ones(len(standard))])
    return np.hstack([(1 - place) * terms, place * terms])


def _blind_directions(terms: Floats, about: pd.DataFrame) -> Floats:
    """A projection onto what does not tell normal from adventitious pieces, as recorded, of any length."""
    group = np.digitize(length_place(about["seconds"].to_numpy()), LENGTH_GROUPS)
    recorded = (about["damage"] == "").to_numpy()

    def mean(contrast: str, of: int) -> Floats:
        average: Floats = terms[recorded & (group == of) & (about["contrast"] == contrast).to_numpy()].mean(axis=0)
        return average

    difference = [mean("normal", of) - mean("adventitious", of) for of in np.unique(group[recorded])]
    basis, _ = np.linalg.qr(np.stack(difference, axis=1))
    return np.eye(terms.shape[1]) - basis @ basis.T


def _weights(about: pd.DataFrame) -> Floats:
    """(N,) weights of which good and poor have half each; they sum to the number of recordings."""
    whole = about["window_s"] == WHOLE
    of_kind = about.groupby([about["recording"], whole, about["damage"]])["good"].transform("size")
    weight = np.where(whole, WHOLE_SHARE, 1 - WHOLE_SHARE) / of_kind
    damaged = about["damage"] != ""
    parts = {"good": about["good"], "poor": ~about["good"] & ~damaged, "damaged": damaged}
    poor = 0.5 - DAMAGED_SHARE if parts["poor"].any() else 0.0
    for name, share in {"good": 0.5, "poor": poor, "damaged": 0.5 - poor}.items():
        weight = weight.where(~parts[name], weight * share / max(weight[parts[name]].sum(), 1e-12))
    return weight.to_numpy() * about["recording"].nunique()
