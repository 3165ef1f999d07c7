"""Hits per patient: what every figure at an operating point is made of, and what patients are resampled by."""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..data.tasks import ICBHI_4, NORMAL, Task
from .metrics import FloatArray, IntArray, abnormal_odds
from .patients import effective_number

Hits = NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class Design:
    """Who was judged: what all runs on one split of one data set share.

    patients: P names, sorted.
    support: (P, C) test clips of each patient and class, in the order of the task's classes.
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
        return cls(tuple(patients), np.asarray(support, dtype=np.int64))

    def effective_patients(self, task: Task = ICBHI_4) -> dict[str, float]:
        """Kish's effective number of patients per class: (Σn)² / Σn² over clips per patient; 0 for no clip."""
        return {name: effective_number(clips) for name, clips in zip(task.classes, self.support.T, strict=True)}


@dataclass(frozen=True, eq=False)
class CodedClips:
    """N judged clips as arrays, so that many models' calls of them are counted without looking at names again.

    design: who was judged. code: (N,) each clip's patient, its place in `design.patients`. labels: (N,) class indices.
    """

    design: Design
    code: IntArray
    labels: IntArray

    @classmethod
    def of(cls, rows: pd.DataFrame, task: Task = ICBHI_4) -> CodedClips:
        """Those of a frame with the columns patient and label (class index), a row per clip."""
        classes = len(task.classes)
        code, patients = pd.factorize(rows["patient"].astype(str), sort=True)
        labels = rows["label"].to_numpy()
        support = _tally(classes * code + labels, len(patients), classes)
        return cls(Design(tuple(patients), support), code, labels)

    def hits(self, called: IntArray) -> Hits:
        """(P, C + 1), see `count_hits`."""
        truth, classes = self.labels, self.design.support.shape[1]
        hit, noticed = called == truth, (truth != NORMAL) & (called != NORMAL)
        counted = classes + 1
        cell = np.concatenate([counted * self.code[hit] + truth[hit], counted * self.code[noticed] + classes])
        return _tally(cell, len(self.design.patients), counted).astype(np.int32)

    def ranked(self, logits: FloatArray) -> FloatArray:
        """(P, 2), see `rank_hits`."""
        abnormal = self.labels != NORMAL
        odds, patients = abnormal_odds(logits), len(self.design.patients)
        of_abnormal, of_normal = odds[abnormal], odds[~abnormal]
        placed = _share_below(of_normal, of_abnormal), 1 - _share_below(of_abnormal, of_normal)
        kinds = zip((abnormal, ~abnormal), placed, strict=True)
        return np.stack([np.bincount(self.code[kind], shares, patients) for kind, shares in kinds], axis=1)


def design_of(rows: pd.DataFrame, task: Task = ICBHI_4) -> Design:
    """The design of judged clips: columns patient and label (class index), a row per clip."""
    return CodedClips.of(rows, task).design


def count_hits(rows: pd.DataFrame, called: IntArray, task: Task = ICBHI_4) -> Hits:
    """(P, C + 1) by patient, in the order of `design_of`: hits of each class, and last abnormal clips called abnormal.

    Args:
        rows: N judged clips; columns patient and label (class index).
        called: (N,) the class index that each was given.
        task: whose classes these are.
    """
    return CodedClips.of(rows, task).hits(called)


def hit_columns(task: Task) -> list[str]:
    """What the columns of `count_hits` are called where they are stored."""
    return [*(f"hits_{name}" for name in task.classes), "called_abnormal"]


def hits_table(rows: pd.DataFrame, called: IntArray, task: Task = ICBHI_4) -> pd.DataFrame:
    """`count_hits` with the names: columns patient and hit_columns, a row per patient, in the order of `design_of`."""
    patients = sorted(rows["patient"].astype(str).unique())
    return pd.DataFrame(count_hits(rows, called, task), columns=hit_columns(task)).assign(patient=patients)


def rank_hits(rows: pd.DataFrame, logits: FloatArray, task: Task = ICBHI_4) -> FloatArray:
    """(P, 2) by patient, in the order of `design_of`: how its clips are ranked, abnormal ones and normal ones.

    Of an abnormal clip the share of all normal clips that have lower odds of being abnormal, of a normal clip the share
    of all abnormal ones that have higher odds, ties counting half; both summed over the patient's clips. Either column,
    summed over patients and divided by its clips, is the AUROC (DeLong et al., Biometrics 1988; patients as its units:
    Obuchowski, Biometrics 1997). NaN where all clips are of one kind.

    Args:
        rows: N judged clips; columns patient and label (class index).
        logits: (N, C).
        task: whose classes these are.
    """
    return CodedClips.of(rows, task).ranked(logits)


def _share_below(others: FloatArray, values: FloatArray) -> FloatArray:
    """(N,) the share of others (M,) that are below each value, equal ones counting half; NaN without others."""
    others = np.sort(others)
    twice = np.searchsorted(others, values, "left") + np.searchsorted(others, values, "right")
    return twice / 2 / len(others) if len(others) else np.full(len(values), np.nan)


def _tally(cell: IntArray, rows: int, columns: int) -> IntArray:
    return np.bincount(cell, minlength=rows * columns).reshape(rows, columns)
