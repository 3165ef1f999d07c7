"""Hits per patient: what every figure at an operating point is made of, and what patients are resampled by."""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..data.clips import CLASSES, NORMAL
from .metrics import FloatArray, IntArray, abnormal_odds
from .patients import effective_number

COUNTED = len(CLASSES) + 1  # the hits of each class, and last the abnormal clips called anything abnormal

Hits = NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class Design:
    """Who was judged: what all runs on one split of one data set share.

    patients: P names, sorted.
    support: (P, 4) test clips of each patient and class, classes as in CLASSES.
    """

    patients: tuple[str, ...]
    support: IntArray

    def text(self) -> str:
        """The design as JSON; equal designs have equal texts."""
        return json.dumps([self.patients, self.support.tolist()], separators=(",", ":"))

    @classmethod
    def parse(cls, text: str) -> Design:
        """The design of a `text()`."""
        patients, support = json.loads(text)
        return cls(tuple(patients), np.asarray(support, dtype=np.int64).reshape(-1, len(CLASSES)))

    def effective_patients(self) -> dict[str, float]:
        """Kish's effective number of patients per class: (Σn)² / Σn² over clips per patient; 0 for no clip."""
        return {name: effective_number(clips) for name, clips in zip(CLASSES, self.support.T, strict=True)}


@dataclass(frozen=True, eq=False)
class CodedClips:
    """N judged clips as arrays, so that many models' calls of them are counted without looking at names again.

    design: who was judged. code: (N,) each clip's patient, its place in `design.patients`. labels: (N,) class indices.
    """

    design: Design
    code: IntArray
    labels: IntArray

    @classmethod
    def of(cls, rows: pd.DataFrame) -> CodedClips:
        """Those of a frame with the columns patient and label (class index), a row per clip."""
        code, patients = pd.factorize(rows["patient"].astype(str), sort=True)
        labels = rows["label"].to_numpy()
        support = _tally(len(CLASSES) * code + labels, len(patients), len(CLASSES))
        return cls(Design(tuple(patients), support), code, labels)

    def hits(self, called: IntArray) -> Hits:
        """(P, 5), see `count_hits`."""
        truth = self.labels
        hit, noticed = called == truth, (truth != NORMAL) & (called != NORMAL)
        cell = np.concatenate([COUNTED * self.code[hit] + truth[hit], COUNTED * self.code[noticed] + len(CLASSES)])
        return _tally(cell, len(self.design.patients), COUNTED).astype(np.int32)

    def ranked(self, logits: FloatArray) -> FloatArray:
        """(P, 2), see `rank_hits`."""
        abnormal = self.labels != NORMAL
        odds, patients = abnormal_odds(logits), len(self.design.patients)
        of_abnormal, of_normal = odds[abnormal], odds[~abnormal]
        placed = _share_below(of_normal, of_abnormal), 1 - _share_below(of_abnormal, of_normal)
        kinds = zip((abnormal, ~abnormal), placed, strict=True)
        return np.stack([np.bincount(self.code[kind], shares, patients) for kind, shares in kinds], axis=1)


def design_of(rows: pd.DataFrame) -> Design:
    """The design of judged clips: columns patient and label (class index), a row per clip."""
    return CodedClips.of(rows).design


def count_hits(rows: pd.DataFrame, called: IntArray) -> Hits:
    """(P, 5) by patient, in the order of `design_of`: clips of each class called by it, abnormal ones called abnormal.

    Args:
        rows: N judged clips; columns patient and label (class index).
        called: (N,) the class index that each was given.
    """
    return CodedClips.of(rows).hits(called)


HIT_COLUMNS = (*(f"hits_{name}" for name in CLASSES), "called_abnormal")


def hits_table(rows: pd.DataFrame, called: IntArray) -> pd.DataFrame:
    """`count_hits` with the names: columns patient and HIT_COLUMNS, a row per patient, in the order of `design_of`."""
    patients = sorted(rows["patient"].astype(str).unique())
    return pd.DataFrame(count_hits(rows, called), columns=list(HIT_COLUMNS)).assign(patient=patients)


def rank_hits(rows: pd.DataFrame, logits: FloatArray) -> FloatArray:
    """(P, 2) by patient, in the order of `design_of`: how its clips are ranked, abnormal ones and normal ones.

    Of an abnormal clip the share of all normal clips that have lower odds of being abnormal, of a normal clip the share
    of all abnormal ones that have higher odds, ties counting half; both summed over the patient's clips. Either column,
    summed over patients and divided by its clips, is the AUROC (DeLong et al., Biometrics 1988; patients as its units:
    Obuchowski, Biometrics 1997). NaN where all clips are of one kind.

    Args:
        rows: N judged clips; columns patient and label (class index).
        logits: (N, 4).
    """
    return CodedClips.of(rows).ranked(logits)


def _share_below(others: FloatArray, values: FloatArray) -> FloatArray:
    """(N,) the share of others (M,) that are below each value, equal ones counting half; NaN without others."""
    others = np.sort(others)
    twice = np.searchsorted(others, values, "left") + np.searchsorted(others, values, "right")
    return twice / 2 / len(others) if len(others) else np.full(len(values), np.nan)


def _tally(cell: IntArray, rows: int, columns: int) -> IntArray:
    return np.bincount(cell, minlength=rows * columns).reshape(rows, columns)
