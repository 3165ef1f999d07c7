"""Does an index order errors? Clips kept by quality, within their class, against clips kept at random."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd

from ...core.errors import ResultsError
from ...data.tasks import ICBHI_4, NORMAL
from ...evaluation.metrics import risk_at_coverage
from ...evaluation.patients import Floats, Integers, effective_number, interval, patient_codes, patient_weights
from ...evaluation.selection import rule
from ...results.calls import ARGMAX, Predictions
from ...results.run import Run
from .study import QualityStudy

WITHIN, MEAN = "within class", "mean"
COVERAGES = np.linspace(0.05, 1, 20)
_CHUNK = 2_000_000  # numbers in memory at a time, about


@dataclass(frozen=True, eq=False)
class Errors:
    """The test clips of a data set that some runs called, and that are judged.

    rows: (N,) their positions among the clips of the data. wrong: (runs, N) 1.0 where a run's call is wrong.
    """

    runs: tuple[str, ...]
    rows: Integers
    wrong: Floats


def calls_of(runs: Sequence[Run], dataset: str) -> pd.DataFrame:
    """What runs called wrong, at argmax and at the epoch of each run's first rule that does not look at test clips.

    A row per predicted test clip, by clip id, and a column per run: 1.0 where its call is wrong, else 0.0.

    Raises ResultsError for a run without such predictions, and where two runs predicted different clips.
    """
    calls = [_wrong(run, dataset) for run in runs]
    for call in calls:
        if not call.index.equals(calls[0].index):
            raise ResultsError(
                f"{call.name} and {calls[0].name} predicted different clips of '{dataset}'. Name runs of one study, or "
                "one at a time."
            )
    return pd.concat(calls, axis=1)


def _wrong(run: Run, dataset: str) -> pd.Series:
    if run.task != ICBHI_4:
        raise ResultsError(
            f"{run.run_id}: is of task '{run.task.name}'. Name runs of '{ICBHI_4.name}', as this study is."
        )
    rules = [name for name in run.spec.select if rule(name).judged_on != "test"]
    if dataset in run.datasets and rules:
        stored = run.predictions(dataset)
        stored = stored[(stored["part"] == "test") & (stored["selection"] == rule(rules[0]).selection(dataset))]
        if len(stored):
            calls = Predictions(run.task, stored.set_index("clip_id").sort_index(), {ARGMAX: 0.0}, None)
            return pd.Series((~calls.right(ARGMAX)).astype(np.float64), index=calls.clips.index, name=run.run_id)
    raise ResultsError(
        f"{run.run_id}: has no predictions of test clips of '{dataset}' under a rule that does not look at them "
        f"(data sets with predictions: {', '.join(run.datasets) or 'none'}). Name a run that was judged on it, made "
        "with --select val or last."
    )


def errors_of(calls: pd.DataFrame, study: QualityStudy) -> Errors:
    """The calls of `calls_of` on clips that are judged.

    Raises ResultsError where the data set has not the clips that were predicted, or the indices saw all their patients.
    """
    dataset = study.data.dataset
    at = pd.Index(study.data.clips["clip_id"]).get_indexer(calls.index)
    if (at < 0).any():
        raise ResultsError(
            f"{calls.columns[0]}: predicted clip {calls.index[int(np.argmin(at))]} of '{dataset}', which is not here: "
            "it was made from other recordings or annotations. Say --root DIR with those that it was made from."
        )
    judged = study.judged_clips[at]
    if not judged.any():
        raise ResultsError(
            f"{calls.columns[0]}: {' or '.join(study.indices)} was fitted on every patient of '{dataset}' that it "
            "predicted. Choose a run with other test patients, or another index."
        )
    return Errors(tuple(calls.columns), at[judged], calls.to_numpy().T[:, judged])


def ordering(errors: Errors, study: QualityStudy) -> pd.DataFrame:
    """By how much keeping the best clips first lowers the risk, per index, run and class.

    Risk is the share of wrong calls. `value` is the risk of all clips, which is also that of clips kept at random, less
    the mean risk over all coverages when they are kept by q (AURC): above 0 where an index orders errors. WITHIN is the
    mean over classes, weighted as in the Score: half normal, half the abnormal classes by their clips. So an index that
    only ranks classes wins nothing, and its risk is 1 − Score.

    Columns: dataset, index, run (MEAN: the share of runs that call a clip wrong), class (or WITHIN), clips, risk, aurc;
    value, low, high: 95 % over new patients, for these very models.
    """
    clips = study.data.clips.iloc[errors.rows]
    labels, patients = clips["class_index"].to_numpy(), patient_codes(clips["patient"])
    runs, wrong = errors.runs, errors.wrong
    if len(runs) > 1:
        runs, wrong = (*runs, MEAN), np.vstack([wrong, wrong.mean(axis=0)])
    parts = []
    for index, quality in study.clips.items():
        found = _of_index(wrong, quality[errors.rows], labels, patients)
        for number, run in enumerate(runs):
            rows = [{"class": name, **ordered.row(number)} for name, ordered in found.items()]
            parts.append(pd.DataFrame(rows).assign(dataset=study.data.dataset, index=index, run=run))
    return pd.concat(parts, ignore_index=True)


@dataclass(frozen=True)
class Ordered:
    """Clips of a class, or of all within their classes, kept by q.

    risk, aurc: (runs,). drawn: (DRAWS, runs) risk − AURC under `patient_weights`. patients: effective number.
    """

    clips: int
    risk: Floats
    aurc: Floats
    drawn: Floats
    patients: float

    def row(self, run: int) -> dict[str, float]:
        """The figures of a run."""
        risk, aurc = float(self.risk[run]), float(self.aurc[run])
        gain = interval(risk - aurc, self.drawn[:, run], self.patients)
        return {"clips": self.clips, "risk": risk, "aurc": aurc, **asdict(gain)}


def _of_index(wrong: Floats, quality: Floats, labels: Integers, patients: Integers) -> dict[str, Ordered]:
    """What an index makes of calls (runs, N), by class and WITHIN."""
    weights = patient_weights(patients.max() + 1)
    found = {}
    for label in np.unique(labels):
        mine = labels == label
        of_clips = weights[:, patients[mine]]
        risk, aurc = _risk_and_area(wrong[:, mine], quality[mine], np.ones((1, mine.sum())))
        drawn_risk, drawn_area = _risk_and_area(wrong[:, mine], quality[mine], of_clips)
        number = effective_number(np.bincount(patients[mine]))
        found[ICBHI_4.classes[label]] = Ordered(int(mine.sum()), risk[0], aurc[0], drawn_risk - drawn_area, number)
    sides = [np.bincount(patients[side]) for side in (labels == NORMAL, labels != NORMAL) if side.any()]
    return found | {WITHIN: _together(found, class_weights(labels), min(map(effective_number, sides)))}


def _together(of_class: Mapping[str, Ordered], weights: Mapping[str, float], patients: float) -> Ordered:
    risk, aurc, drawn = (
        sum(weights[name] * getattr(item, part) for name, item in of_class.items())
        for part in ("risk", "aurc", "drawn")
    )
    return Ordered(sum(item.clips for item in of_class.values()), risk, aurc, drawn, patients)


def class_weights(labels: Integers) -> dict[str, float]:
    """The weight of each class that is there in 1 − Score: half normal, half the abnormal ones by their clips."""
    counts = np.bincount(labels, minlength=len(ICBHI_4.classes)).astype(np.float64)
    sides = np.where(np.arange(len(ICBHI_4.classes)) == NORMAL, counts[NORMAL], counts.sum() - counts[NORMAL])
    shares = np.divide(counts, sides, out=np.zeros_like(counts), where=sides > 0)
    return {name: share / shares.sum() for name, share in zip(ICBHI_4.classes, shares, strict=True) if share}


def _risk_and_area(wrong: Floats, quality: Floats, weights: Floats) -> tuple[Floats, Floats]:
    """(draws, runs) each: the risk of all clips and the mean of that of the best, over all coverages (AURC).

    Clips that tie share their errors, so that their order cannot matter.

    Args:
        wrong: (runs, N) errors in [0, 1].
        quality: (N,) the higher, the longer a clip is kept.
        weights: (draws, N) of the clips.
    """
    order = np.argsort(-quality, kind="stable")
    starts = np.r_[True, np.diff(quality[order]) != 0]
    first, tie = np.flatnonzero(starts), np.cumsum(starts) - 1
    risk, area = np.empty((2, len(weights), len(wrong)))
    step = max(1, _CHUNK // len(quality))
    for start in range(0, len(weights), step):
        drawn = weights[start : start + step, order]
        kept = drawn.cumsum(axis=1)
        drawn /= kept[:, -1:]
        # An error counts in the risk at every coverage from its own clip's on: its part of AURC knows no other error.
        later = (drawn / kept)[:, ::-1].cumsum(axis=1)[:, ::-1] * kept[:, -1:]
        of_tie = np.add.reduceat(drawn * later, first, axis=1) / np.add.reduceat(drawn, first, axis=1)
        risk[start : start + step] = drawn @ wrong[:, order].T
        area[start : start + step] = (drawn * of_tie[:, tie]) @ wrong[:, order].T
    return risk, area


def risk_curves(errors: Errors, study: QualityStudy) -> pd.DataFrame:
    """The risk at each of COVERAGES, mean over runs: columns dataset, index, coverage, risk, at_random.

    Of every class the same share is kept, its best clips by q; classes weigh as in `ordering`.
    """
    labels, wrong = study.data.clips["class_index"].to_numpy()[errors.rows], errors.wrong.mean(axis=0)
    weights = class_weights(labels)
    parts = []
    for index, quality in study.clips.items():
        risk, at_random = np.zeros(len(COVERAGES)), 0.0
        for name, weight in weights.items():
            mine = labels == ICBHI_4.classes.index(name)
            curve = risk_at_coverage(wrong[mine], quality[errors.rows][mine])
            risk += weight * curve[np.ceil(COVERAGES * mine.sum()).astype(int) - 1]
            at_random += weight * wrong[mine].mean()
        parts.append(pd.DataFrame({"index": index, "coverage": COVERAGES, "risk": risk, "at_random": at_random}))
    return pd.concat(parts, ignore_index=True).assign(dataset=study.data.dataset)
