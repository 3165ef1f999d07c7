"""What else goes with an index: the class, the device, the place on the chest, the rate, the length of a clip."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict

import numpy as np
import pandas as pd

from ...data.tasks import ICBHI_4, NORMAL
from ...evaluation.patients import (
    CORRELATION,
    DRAWS,
    Estimate,
    Floats,
    Integers,
    area_under_curve,
    effective_number,
    interval,
    patient_codes,
    patient_weights,
)
from .study import QualityStudy

ETA, RHO, AUC = "η²", "Spearman's ρ", "AUC"
RARE = 0.05  # p below which an association is marked
GROUPED = {"class": "class_index", "device": "device", "site": "location", "rate": "rate"}


def associations(study: QualityStudy) -> pd.DataFrame:
    """How an index goes with what is not quality, over the judged clips, a row per index and association.

    Columns: dataset, index; with; effect: ETA, the share of the variance of q between the values of `with`, RHO of q
    and the length of the clip, or AUC, how often a normal clip has a higher q than one of the class; value; low, high:
    95 % over new patients; p: of an effect as large where q goes with nothing; levels: values that `with` has. Figures
    are NaN where it has one value alone.
    """
    kept = study.judged_clips
    clips = study.data.clips[kept]
    patients = patient_codes(clips["patient"])
    rows = []
    for index, quality in study.clips.items():
        for row in _of_index(clips, quality[kept], patients):
            rows.append({"dataset": study.data.dataset, "index": index, **row})
    return pd.DataFrame(rows)


def _of_index(clips: pd.DataFrame, quality: Floats, patients: Integers) -> Iterator[dict[str, object]]:
    for name, column in GROUPED.items():
        codes, values = pd.factorize(clips[column])
        share, p = variance_between(quality, codes, patients)
        yield {
            "with": name,
            "effect": ETA,
            "value": share,
            "low": np.nan,
            "high": np.nan,
            "p": p,
            "levels": len(values),
        }
    rho, p = rank_correlation(quality, clips["duration_s"].to_numpy(), patients)
    lengths = clips["duration_s"].nunique()
    yield {"with": "duration", "effect": RHO, **asdict(rho), "p": p, "levels": lengths}
    labels = clips["class_index"].to_numpy()
    for label, name in enumerate(ICBHI_4.classes):
        if label != NORMAL:
            of_two = np.isin(labels, [NORMAL, label])
            found = area_under_curve(quality[of_two], labels[of_two] == NORMAL, patients[of_two])
            yield {"with": name, "effect": AUC, **asdict(found), "p": np.nan, "levels": 2}


def variance_between(quality: Floats, groups: Integers, patients: Integers) -> tuple[float, float]:
    """η² of q (N,) between groups (N,), and its p by patient; (NaN, NaN) where there is one group, or one q.

    p: patients' deviations from the common mean keep or change their sign together (the wild cluster bootstrap of
    Cameron, Gelbach & Miller 2008): it grants that a patient's clips are alike, and that a device is used on few.
    """
    deviation = quality - quality.mean()
    total = float((deviation**2).sum())
    if groups.max() == 0 or np.isclose(total, 0):
        return np.nan, np.nan
    cell = np.zeros((patients.max() + 1, groups.max() + 1))
    np.add.at(cell, (patients, groups), deviation)
    size = np.bincount(groups)

    def between(sums: Floats) -> Floats:
        found: Floats = (sums**2 / size).sum(axis=1) - sums.sum(axis=1) ** 2 / len(quality)
        return found

    signs = _signs(len(cell))
    observed, flipped = between(cell.sum(axis=0)[None])[0], between(signs @ cell)
    return float(observed / total), _rarity(flipped, observed)


def rank_correlation(one: Floats, other: Floats, patients: Integers) -> tuple[Estimate, float]:
    """Spearman's ρ (N, N) with its interval over new patients, and its p by patient; NaN where one is constant.

    Draws weigh the ranks of all clips, which they do not make anew.
    """
    first, second = (pd.Series(values).rank().to_numpy() - (len(values) + 1) / 2 for values in (one, other))
    if not (first.any() and second.any()):
        return Estimate(np.nan, np.nan, np.nan), np.nan
    terms = np.stack([np.ones_like(first), first, second, first**2, second**2, first * second], axis=1)
    of_patients = np.zeros((patients.max() + 1, terms.shape[1]))
    np.add.at(of_patients, patients, terms)
    rho = float(_pearson(of_patients.sum(axis=0)[None])[0])
    drawn = _pearson(patient_weights(len(of_patients)) @ of_patients)
    products = of_patients[:, -1]
    p = _rarity(np.abs(_signs(len(products)) @ products), abs(products.sum()))
    return interval(rho, drawn, effective_number(of_patients[:, 0]), CORRELATION), p


def _pearson(sums: Floats) -> Floats:
    """(draws,) correlations from sums of (1, x, y, x², y², xy), (draws, 6)."""
    count, x, y, xx, yy, xy = sums.T
    found: Floats = (xy - x * y / count) / np.sqrt((xx - x**2 / count) * (yy - y**2 / count))
    return found


def _signs(patients: int) -> Floats:
    """(DRAWS, patients) of −1 and 1."""
    return np.random.default_rng(0).choice([-1.0, 1.0], size=(DRAWS, patients))


def _rarity(drawn: Floats, observed: float) -> float:
    """The share of draws at least as large, the observed one among them."""
    return float((1 + np.count_nonzero(drawn >= observed * (1 - 1e-12))) / (1 + len(drawn)))
