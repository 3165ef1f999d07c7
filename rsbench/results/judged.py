"""Which stored predictions a run is judged by: worked out once for all runs that stored the same clips."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ..core.errors import ResultsError
from ..data.datasets import home
from ..data.identity import clips_id
from ..data.splits import known_split, own_split
from ..data.tasks import Task
from ..evaluation.counts import CodedClips
from ..evaluation.metrics import FloatArray, IntArray
from ..evaluation.selection import rule

if TYPE_CHECKING:
    from .run import Run

MOST_KEPT = 256  # sets of clips: runs of one study differ in those that each seed keeps for validation


def scored_clips(run: Run, split_name: str, rule_name: str) -> int | None:
    """How many clips the run's figures were made from; None of a split that was not asked for."""
    return run.metrics[rule_name].get(split_name, {}).get("clips")


def judged_rows(run: Run, split_name: str, rule_name: str, dataset: str) -> pd.DataFrame:
    """The stored predictions of the clips of a split that are judged under a rule.

    Of a split that only an absent plugin knows it is taken that it judged every test clip, where that is as many as
    were scored.
    """
    stored = run.predictions(dataset)
    selected = stored[(stored["selection"] == rule(rule_name).selection(split_name)) & (stored["part"] == "test")]
    known = known_split(split_name)
    clips = selected[(known or known_split(split_name, [dataset]) or own_split(dataset)).test_rows(selected)]
    return selected if known is None and len(clips) != scored_clips(run, split_name, rule_name) else clips


def check_judged(run: Run, split_name: str, rule_name: str, dataset: str, clips: int, patients: Iterable[str]) -> None:
    """Raise ResultsError for other clips than were scored, or patients whom the quality index was fitted on."""
    scored = scored_clips(run, split_name, rule_name)
    if scored is not None and clips != scored:
        raise ResultsError(
            f"{run.path}: predictions/{dataset}.parquet holds {clips} clips of '{split_name}', while "
            f"metrics.json was made from {scored}. A split that a plugin brings needs its --plugin; else see: "
            f"rsbench rescore {run.run_id}"
        )
    editions = (names for other, names in run.data.quality_index.seen.items() if home(other) == home(dataset))
    seen = set(patients).intersection(itertools.chain(*editions))
    if seen:
        raise ResultsError(
            f"{run.run_id}: its quality index, {run.spec.quality.name}, was fitted on recordings of {len(seen)} "
            f"patients of '{split_name}', and may be judged only on patients it has not seen. Choose another split "
            f"of {dataset}, or make the run with an index that saw none of them."
        )


@dataclass(frozen=True, eq=False)
class JudgedClips:
    """N clips that were judged, in the order of their ids.

    places: (N,) their rows in the stored predictions. fold: (N,) whose model predicted each; −1 without folds.
    identity: `clips_id` of them, with patients and labels.
    """

    places: IntArray
    fold: IntArray
    coded: CodedClips
    identity: str

    @classmethod
    def of(cls, judged: pd.DataFrame, task: Task) -> JudgedClips:
        """Those of some stored predictions of a task, whose index is their rows there."""
        clips = judged.assign(place=judged.index).set_index("clip_id").sort_index()
        identity = clips_id(clips.index, clips["patient"], clips["label"])
        places, fold = (clips[name].to_numpy(dtype=np.int64) for name in ("place", "fold"))
        return cls(places, fold, CodedClips.of(clips, task), identity)


@dataclass(frozen=True, eq=False)
class Judged:
    """What a run said of N clips: logits (N, C), and operating point → what it adds to the normal one, or (N,) ones."""

    clips: JudgedClips
    logits: FloatArray
    offsets: Mapping[str, float | FloatArray]


class KnownClips:
    """The judged clips of the sets that were met before, by what they follow from; the last MOST_KEPT of them."""

    def __init__(self) -> None:
        self._known: dict[tuple[object, ...], JudgedClips] = {}

    def of(self, *follow_from: object, find: Callable[[], JudgedClips]) -> JudgedClips:
        if follow_from not in self._known:
            self._known[follow_from] = find()
            if len(self._known) > MOST_KEPT:
                del self._known[next(iter(self._known))]
        return self._known[follow_from]
