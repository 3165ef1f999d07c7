"""What could be had without listening: how much of a figure do length, device, site, patient, rate or level explain?

None of these is a sound of breathing. Where one of them tells the class, a model can follow it instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from ..data.splits import Split
from ..data.tasks import ICBHI_4, NORMAL, Task
from .metrics import FloatArray, IntArray, abnormal_odds, at_operating_point, auroc
from .patients import area_under_curve, patient_codes

DECILES = 10  # bins of equally many clips that a number is cut into
NUISANCES = {  # name → its column; numbers are cut into deciles of the training side
    "device": "device",
    "site": "location",
    "patient": "patient",
    "rate": "rate",
    "length": "length_s",
    "level": "level_db",
}
NUMBERS = ("length", "level")

TELLING = 0.1  # an AUROC of length this far from .5 is warned of
TURNED = 0.05  # so are two on different sides of .5, each this far from it

MOST_UNSEEN = 0.1  # share of test clips whose value train has not, from which nothing is said of the split

SIDES = ("train", "test")


def auroc_within(labels: ArrayLike, logits: ArrayLike, number: ArrayLike) -> float:
    """AUROC of abnormal against normal among clips that are alike in a number, as their length.

    Only clips within one decile of the number are compared, a pair as much as any other: the mean over the deciles,
    weighted by their pairs of an abnormal and a normal clip. What ranks by the number alone comes out near .5, though
    not at it: within a decile clips still differ a little.

    Args:
        labels: (N,) class indices.
        logits: (N, C).
        number: (N,). The figure is NaN where one is missing, or no decile holds both kinds of clip.
    """
    abnormal, odds = np.asarray(labels) != NORMAL, abnormal_odds(logits)
    values = np.asarray(number, dtype=np.float64)
    if np.isnan(values).any():
        return np.nan
    bins = _bins(values, _edges(values))
    pairs, ranked = 0, 0.0
    for one in np.unique(bins):
        inside = bins == one
        kinds = int(abnormal[inside].sum()) * int((~abnormal[inside]).sum())
        if kinds:
            pairs += kinds
            ranked += kinds * auroc(abnormal[inside], odds[inside])
    return ranked / pairs if pairs else np.nan


def _edges(values: ArrayLike) -> FloatArray:
    """The values that deciles end with, but for the last; fewer than 9 where values are equal, which stay together."""
    numbers = np.asarray(values, dtype=np.float64)
    edges = np.quantile(numbers, np.arange(1, DECILES) / DECILES, method="inverted_cdf")
    return np.unique(edges[edges < numbers.max()])


def _bins(values: ArrayLike, edges: FloatArray) -> IntArray:
    """The decile of each value; what lies past the ends is in the first or the last."""
    return np.searchsorted(edges, values).astype(np.int64)


def length_audit(clips: pd.DataFrame, splits: Sequence[Split]) -> pd.DataFrame:
    """Does the length of a clip tell whether it is abnormal?

    Args:
        clips: a row per clip: class_index, length_s, and subset, patient and recording.
        splits: of their data set.

    Returns:
        A row per side of a split that has normal and abnormal clips. Columns split, side; clips; value, the AUROC of
        length for abnormal (above .5: abnormal clips are longer), with low and high, its 95 % interval over new
        patients.
    """
    rows = []
    for split in splits:
        for side, chosen in zip(SIDES, (split.train_rows(clips), split.test_rows(clips)), strict=True):
            part = clips[chosen]
            abnormal = (part["class_index"] != NORMAL).to_numpy(dtype=bool)
            if 0 < abnormal.sum() < len(abnormal):
                lengths, patients = part["length_s"].to_numpy(np.float64), patient_codes(part["patient"])
                found = asdict(area_under_curve(lengths, abnormal, patients))
                rows.append({"split": split.name, "side": side, "clips": len(part), **found})
    return pd.DataFrame(rows, columns=["split", "side", "clips", "value", "low", "high"])


def length_warnings(audit: pd.DataFrame) -> list[str]:
    """A line for each split in whose `length_audit` length tells the class, or turns round between train and test."""
    lines = []
    for name, rows in audit.groupby("split", sort=False):
        value = dict(zip(rows["side"], rows["value"], strict=True))
        told = [
            f"{'longer' if area > 0.5 else 'shorter'} on {side} (AUROC of length {area:.3f})"
            for side, area in value.items()
            if abs(area - 0.5) > TELLING
        ]
        if told:
            lines.append(f"{name}: abnormal clips are {' and '.join(told)}: a model can follow the length instead.")
        if min(value.values()) < 0.5 - TURNED and max(value.values()) > 0.5 + TURNED:
            lines.append(f"{name}: what train says of length, test says the other way round: following it misleads.")
    return lines


def explained(clips: pd.DataFrame, splits: Sequence[Split], by: str, task: Task = ICBHI_4) -> pd.DataFrame:
    """How much of a result could a nuisance alone explain?

    Of every value of it (numbers: deciles of the training side) the training side says how the classes share it. Each
    test clip is called what maximises the expected Score given that: the class of which the largest share has the
    value, shares of normal clips among all normal, of the others among all abnormal ones. A value that train has not
    says nothing: its clips are called normal.

    Args:
        clips: a row per clip: class_index, the column of the nuisance, and subset, patient and recording.
        splits: of their data set. Those without one of the sides, or that test on what they train on, give no row.
        by: one of NUISANCES.
        task: whose classes these are.

    Returns:
        Columns split; values, how many there are in train; unseen, the share of test clips whose value train has not;
        sp, se, score (percent) and auroc on test, NaN where MOST_UNSEEN or more are unseen; auroc_train, on the
        training side, each patient's clips by what the other patients say: a value that only names one patient says
        nothing there.
    """
    rows = []
    for split in splits:
        train, test = clips[split.train_rows(clips)], clips[split.test_rows(clips)]
        if train.empty or test.empty or set(split.train) & set(split.test):
            continue
        known, asked = _values(train, test, by)
        unseen = float((~asked.isin(known.unique())).mean())
        row = {"split": split.name, "values": known.nunique(), "unseen": unseen}
        row |= _judged(train, test, known, asked, task) if unseen < MOST_UNSEEN else {}
        rows.append(row | {"auroc_train": _auroc_of_others(train, known, task)})
    figures = ["sp", "se", "score", "auroc", "auroc_train"]
    return pd.DataFrame(rows, columns=["split", "values", "unseen", *figures])


def _values(train: pd.DataFrame, test: pd.DataFrame, by: str) -> tuple[pd.Series, pd.Series]:
    """The value of each clip of both sides."""
    column = NUISANCES[by]
    if by not in NUMBERS:
        return train[column].astype(str), test[column].astype(str)
    edges = _edges(train[column])
    known, asked = (pd.Series(_bins(side[column], edges), side.index) for side in (train, test))
    return known, asked


def _counts(clips: pd.DataFrame, task: Task, *by: pd.Series) -> pd.DataFrame:
    """Clips of each class (a column each), a row per value, or per pair of values."""
    counted = clips.groupby([*by, clips["class_index"]]).size()
    return counted.unstack(fill_value=0).reindex(columns=range(len(task.classes)), fill_value=0)


def _judged(
    train: pd.DataFrame, test: pd.DataFrame, known: pd.Series, asked: pd.Series, task: Task
) -> dict[str, float]:
    found = _counts(train, task, known)
    counts, support = found.reindex(asked, fill_value=0).to_numpy(), found.sum().to_numpy()
    gains = counts / np.maximum([support[NORMAL], *[support[NORMAL + 1 :].sum()] * len(task.abnormal)], 1)
    labels = test["class_index"].to_numpy(np.int64)
    figures = at_operating_point(labels, gains, task=task)  # of equal gains normal is called
    of_test = {key: figures[key] for key in ("sp", "se", "score")}
    return of_test | {"auroc": auroc(labels != NORMAL, _odds(counts, support[np.newaxis]))}


def _auroc_of_others(train: pd.DataFrame, known: pd.Series, task: Task) -> float:
    """AUROC on the training side, each clip ranked by the clips of other patients."""
    patients, value = train["patient"].astype(str).rename("patient"), known.rename("value")
    of_value, of_patient = _counts(train, task, value), _counts(train, task, patients)
    of_both = _counts(train, task, value, patients)
    others = of_value.reindex(value).to_numpy() - of_both.reindex(list(zip(value, patients, strict=True))).to_numpy()
    support = of_value.sum().to_numpy() - of_patient.reindex(patients).to_numpy()
    return auroc((train["class_index"] != NORMAL).to_numpy(), _odds(others, support))


def _odds(counts: IntArray, support: IntArray) -> FloatArray:
    """(N,) how much larger a share of the abnormal than of the normal clips has the value, as a logarithm.

    Shares, so that a patient who is left out does not move the odds of a value that all clips have. 0 where nobody has
    the value.

    Args:
        counts: (N, C) clips of each class with the value.
        support: (N, C) or (1, C) clips of each class.
    """
    normal, abnormal = (
        counts[:, of].sum(axis=1) / np.maximum(support[:, of].sum(axis=1), 1)
        for of in (slice(NORMAL, NORMAL + 1), slice(NORMAL + 1, None))
    )
    with np.errstate(divide="ignore"):
        odds: FloatArray = np.log(np.where(normal + abnormal > 0, abnormal, 1.0))
        odds -= np.log(np.where(normal + abnormal > 0, normal, 1.0))
    return odds
