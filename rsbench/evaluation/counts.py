"""Hits per patient: what every figure at an operating point is made of, and what patients are resampled by."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..data.clips import CLASSES, NORMAL
from .metrics import IntArray
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

    def digest(self) -> str:
        """A short name: equal for equal designs."""
        return hashlib.sha256(self.text().encode()).hexdigest()[:16]

    def effective_patients(self) -> dict[str, float]:
        """Kish's effective number of patients per class: (Σn)² / Σn² over clips per patient; 0 for no clip."""
        return {name: effective_number(clips) for name, clips in zip(CLASSES, self.support.T, strict=True)}


def design_of(rows: pd.DataFrame) -> Design:
    """The design of judged clips: columns patient and label (class index), a row per clip."""
    code, patients = pd.factorize(rows["patient"].astype(str), sort=True)
    cell = len(CLASSES) * code + rows["label"].to_numpy()
    return Design(tuple(patients), _tally(cell, len(patients), len(CLASSES)))


def count_hits(rows: pd.DataFrame, called: IntArray) -> Hits:
    """(P, 5) by patient, in the order of `design_of`: clips of each class called by it, abnormal ones called abnormal.

    Args:
        rows: N judged clips; columns patient and label (class index).
        called: (N,) the class index that each was given.
    """
    code, patients = pd.factorize(rows["patient"].astype(str), sort=True)
    truth = rows["label"].to_numpy()
    hit, noticed = called == truth, (truth != NORMAL) & (called != NORMAL)
    cell = np.concatenate([COUNTED * code[hit] + truth[hit], COUNTED * code[noticed] + len(CLASSES)])
    return _tally(cell, len(patients), COUNTED).astype(np.int32)


def _tally(cell: IntArray, rows: int, columns: int) -> IntArray:
    return np.bincount(cell, minlength=rows * columns).reshape(rows, columns)
