"""What the runs of a method say of every clip of a split, condensed to what figures show."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import scipy

from ...boards.leaderboard import Board
from ...evaluation.metrics import (
    CALIBRATION_BINS,
    FloatArray,
    IntArray,
    risk_at_coverage,
    sp_se_curve,
)
from ...results.calls import ARGMAX
from ...results.run import Run

SP_GRID = np.arange(0, 101, 2.0)  # percent
COVERAGE = np.linspace(0.02, 1, 50)
QUALITY_BINS = 12  # of equally many clips


@dataclass(frozen=True)
class Reliability:
    """Clips, hits and summed confidence in each of CALIBRATION_BINS equal bins of confidence; (bins,) each."""

    clips: IntArray
    hits: IntArray
    confidence: FloatArray

    def __add__(self, other: Reliability) -> Reliability:
        return Reliability(self.clips + other.clips, self.hits + other.hits, self.confidence + other.confidence)


@dataclass(frozen=True)
class OfRun:
    """One run on one split.

    clips: the judged predictions, by clip id. probabilities: (N, 4), after the run's temperature where it has one.
    se: (len(SP_GRID),) percent. called: (N,) classes at argmax. confusion: (4, 4) shares of each true class, rows sum
    to 1, NaN without clips. raw, scaled: before and after the temperature; scaled is None without one.
    risk: "confidence" and "quality" → (len(COVERAGE),) share of wrong calls among the clips kept.
    """

    clips: pd.DataFrame
    probabilities: FloatArray
    called: IntArray
    se: FloatArray
    confusion: FloatArray
    raw: Reliability
    scaled: Reliability | None
    risk: Mapping[str, FloatArray]


@dataclass
class OfMethod:
    """The runs of a method on one split, together.

    se, confusion, risk: as in OfRun, a row per run. raw, scaled: over all runs. margins: quality, margin_rad and label
    of every clip of every run. probabilities: (N, 4), mean over runs. wrong: (N,) runs that called the clip otherwise.
    """

    name: str
    loss: str
    se: list[FloatArray] = field(default_factory=list)
    confusion: list[FloatArray] = field(default_factory=list)
    risk: dict[str, list[FloatArray]] = field(default_factory=lambda: {"confidence": [], "quality": []})
    raw: list[Reliability] = field(default_factory=list)
    scaled: list[Reliability] = field(default_factory=list)
    margins: list[pd.DataFrame] = field(default_factory=list)
    probabilities: FloatArray = field(default_factory=lambda: np.zeros(1))
    wrong: IntArray = field(default_factory=lambda: np.zeros(1, dtype=np.int64))

    def add(self, run: OfRun) -> None:
        self.se.append(run.se)
        self.confusion.append(run.confusion)
        self.raw.append(run.raw)
        if run.scaled:
            self.scaled.append(run.scaled)
        for by, curve in run.risk.items():
            self.risk[by].append(curve)
        if run.clips["margin_rad"].notna().all():
            self.margins.append(run.clips[["quality", "margin_rad", "label"]])
        self.probabilities = self.probabilities + run.probabilities
        self.wrong = self.wrong + (run.called != run.clips["label"].to_numpy())

    @property
    def runs(self) -> int:
        return len(self.se)

    @property
    def has_margins(self) -> bool:
        """Whether training would turn any clip's angle; an additive margin does not."""
        return any(frame["margin_rad"].any() for frame in self.margins)


@dataclass(frozen=True)
class OfBoard:
    """The drawn methods of a board, in its order, and the clips they were judged on, by clip id.

    clips: with their lengths where any run that was read stores them.
    """

    board: Board
    methods: Sequence[OfMethod]
    clips: pd.DataFrame


def drawn_methods(board: Board, most: int) -> list[str]:
    """The methods with a result, best first, the baseline's last where it is not among the best; at most `most`."""
    done = board.table[board.table["n_ok"] > 0]
    names = list(dict.fromkeys(done["method"]))
    chosen = names[:most]
    of_baseline = [name for name in dict.fromkeys(done["method"][done["loss"] == board.baseline]) if name not in chosen]
    return chosen[: most - 1] + of_baseline[:1] if of_baseline else chosen


def summarise_board(
    board: Board, runs: Mapping[str, Run], methods: Sequence[str], advance: Callable[[int], None]
) -> OfBoard:
    """Read the predictions of every run of some methods. `advance` is called with the number of runs read.

    Raises ResultsError when a record is damaged.
    """
    ranked = board.runs.drop_duplicates("run_id")
    found = []
    clips = pd.DataFrame()
    for name in methods:
        mine = ranked[ranked["method"] == name]
        method = OfMethod(name, str(mine["loss"].iloc[0]))
        for run_id in mine["run_id"]:
            run = read_run(runs[run_id], board.split, board.rule)
            method.add(run)
            if clips.empty or "length_s" in run.clips:
                clips = run.clips
            advance(1)
        found.append(method)
    return OfBoard(board, found, clips)


def read_run(run: Run, split: str, rule_name: str) -> OfRun:
    """A run on a split that it was judged on. Raises ResultsError when its record is damaged."""
    calls = run.calls(split, rule_name)
    clips, labels, logits = calls.clips, calls.labels, calls.logits
    raw, scaled, wrong = scipy.special.softmax(logits, axis=1), calls.probabilities(), ~calls.right(ARGMAX)
    curve = sp_se_curve(labels, logits)
    return OfRun(
        clips=clips,
        probabilities=scaled,
        called=calls.called(ARGMAX),
        se=curve["se"].to_numpy()[np.searchsorted(curve["sp"], SP_GRID)],
        confusion=_shares(calls.confusion(ARGMAX)),
        raw=_reliability(raw, wrong),
        scaled=_reliability(scaled, wrong) if calls.temperature is not None else None,
        risk={
            by: _at_coverage(risk_at_coverage(wrong.astype(np.float64), keep_first))
            for by, keep_first in (("confidence", raw.max(axis=1)), ("quality", clips["quality"].to_numpy()))
            if not np.isnan(keep_first).any()
        },
    )


def _shares(confusion: IntArray) -> FloatArray:
    """Of each true class, a row."""
    support = confusion.sum(axis=1, keepdims=True)
    return np.divide(confusion, support, out=np.full(confusion.shape, np.nan), where=support > 0)


def _reliability(probabilities: FloatArray, wrong: np.ndarray) -> Reliability:
    confidence = probabilities.max(axis=1)
    bins = np.minimum((confidence * CALIBRATION_BINS).astype(np.int64), CALIBRATION_BINS - 1)

    def per_bin(weights: np.ndarray) -> np.ndarray:
        return np.bincount(bins, weights=weights, minlength=CALIBRATION_BINS)

    clips = np.bincount(bins, minlength=CALIBRATION_BINS)
    return Reliability(clips, per_bin(~wrong).astype(np.int64), per_bin(confidence))


def _at_coverage(risk: FloatArray) -> FloatArray:
    """Risk at COVERAGE, from that of every number of clips kept."""
    kept = np.ceil(COVERAGE * len(risk)).astype(np.int64)
    return risk[kept - 1]
