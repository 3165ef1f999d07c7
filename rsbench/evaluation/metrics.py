"""The field's metrics, from labels and logits alone.

Everywhere below `labels` is (N,) class indices of a task and `logits` is (N, C), a column per class; "normal" is the
task's reference class, the first, and "abnormal" are all others. Sp, Se, Score, recalls, macro-F1 and balanced accuracy
are in percent; areas, probabilities and errors are in [0, 1]. What the labels cannot define (no clip of that kind) is
NaN, never 0.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import scipy
from numpy.typing import ArrayLike, NDArray

from ..data.tasks import ICBHI_4, NORMAL, Metric, Task

CALIBRATION_BINS = 15  # equal-width, as in Guo et al. 2017

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]


def normal_gap(logits: ArrayLike) -> tuple[FloatArray, IntArray]:
    """What the normal logit lacks to win, (N,), and the abnormal class it has to beat, (N,).

    A clip is called normal at every offset from its gap upwards: ties go to normal, as argmax gives them.
    """
    scores = np.asarray(logits, dtype=np.float64)
    abnormal = scores[:, NORMAL + 1 :]
    return abnormal.max(axis=1) - scores[:, NORMAL], NORMAL + 1 + abnormal.argmax(axis=1)


def predicted_classes(logits: ArrayLike, normal_offset: float | FloatArray = 0.0) -> IntArray:
    """(N,) class indices when `normal_offset`, one or (N,), is added to the normal logit; argmax at 0."""
    gap, rival = normal_gap(logits)
    return np.where(gap <= normal_offset, NORMAL, rival)


def at_operating_point(
    labels: ArrayLike, logits: ArrayLike, normal_offset: float | FloatArray = 0.0, task: Task = ICBHI_4
) -> dict[str, float]:
    """Sp, Se and Score of ICBHI's challenge (Rocha et al. 2019), and their company, at one operating point.

    Se counts exact hits among all abnormal classes pooled; `se_two_class` counts any abnormal call on an abnormal
    clip. Macro-F1 and balanced accuracy are means over the classes that have clips; of a multi-label task over its
    labels, each of which has its own sensitivity, specificity and F1.

    Args:
        labels: (N,).
        logits: (N, C).
        normal_offset: added to the normal logit, one or (N,); 0 is argmax, +∞ always normal, −∞ never.
        task: whose classes these are.
    """
    return of_calls(labels, predicted_classes(logits, normal_offset), task)


def of_calls(labels: ArrayLike, called: IntArray, task: Task = ICBHI_4) -> dict[str, float]:
    """The same of the class indices (N,) that N clips were given."""
    classes = len(task.classes)
    cells = classes * np.asarray(labels, dtype=np.int64) + called
    # Rows are labels. As lists: of so few numbers each operation on an array takes longer than all of them.
    confusion = np.bincount(cells, minlength=classes**2).reshape(classes, classes).tolist()
    hits = [row[index] for index, row in enumerate(confusion)]
    support, calls = [sum(row) for row in confusion], [sum(column) for column in zip(*confusion, strict=True)]
    abnormal = sum(support[index] for index in task.abnormal)
    specificity = _percent(hits[NORMAL], support[NORMAL])
    sensitivity = _percent(sum(hits[index] for index in task.abnormal), abnormal)
    two_class = _percent(sum(support[index] - confusion[index][NORMAL] for index in task.abnormal), abnormal)
    recalls = [_percent(*counts) for counts in zip(hits, support, strict=True)]
    f1 = [_percent(2 * hit, clips + given) for hit, clips, given in zip(hits, support, calls, strict=True)]
    present = [index for index, clips in enumerate(support) if clips]
    means = {
        "macro_f1": _mean(np.asarray([f1[index] for index in present])),
        "balanced_accuracy": _mean(np.asarray([recalls[index] for index in present])),
    }
    return {
        "sp": specificity,
        "se": sensitivity,
        "score": (specificity + sensitivity) / 2,
        "se_two_class": two_class,
        "score_two_class": (specificity + two_class) / 2,
        **{name: OWN_METRICS[name](specificity, sensitivity) for name in task.metrics},
        **{f"recall_{name}": recall for name, recall in zip(task.classes, recalls, strict=True)},
        **{f"support_{name}": clips for name, clips in zip(task.classes, support, strict=True)},
        **(_of_labels(confusion, task) if task.kind == "multi-label" else means),
    }


def _of_labels(confusion: Sequence[Sequence[int]], task: Task) -> dict[str, float]:
    """Figures of each label of a multi-label task, and their means over those that are defined."""
    counts, figures = np.asarray(confusion), {}
    for name in task.findings:
        has = np.isin(np.arange(len(counts)), task.places(name))
        found, missed, false = counts[has][:, has].sum(), counts[has][:, ~has].sum(), counts[~has][:, has].sum()
        figures[f"sensitivity_{name}"] = _percent(found, found + missed)
        figures[f"specificity_{name}"] = _percent(counts[~has][:, ~has].sum(), counts[~has].sum())
        figures[f"f1_{name}"] = _percent(2 * found, 2 * found + missed + false) if found + missed else np.nan
    both = [(figures[f"sensitivity_{name}"] + figures[f"specificity_{name}"]) / 2 for name in task.findings]
    macro_f1 = _mean_known([figures[f"f1_{name}"] for name in task.findings])
    return figures | {"macro_f1": macro_f1, "balanced_accuracy": _mean_known(both)}


def sprsound_score(specificity: float, sensitivity: float) -> float:
    """The Score of SPRSound's challenge (Zhang et al., BioCAS 2022), in percent.

    The mean of the average of Sp and Se and of their harmonic mean, which is 0 where both are.
    """
    both = specificity + sensitivity
    harmonic = 2 * specificity * sensitivity / both if both else both  # NaN stays
    return (both / 2 + harmonic) / 2


OWN_METRICS: Mapping[Metric, Callable[[float, float], float]] = {"sprsound_score": sprsound_score}  # of Sp and Se


@dataclass(frozen=True)
class OperatingCounts:
    """Hits at every operating point there is: entry i holds from `offset[i]` up to the next. Arrays are (P,).

    offset: added to the normal logit; the first is −∞ (never normal), from the last on everything is normal.
    normal_hits, exact_hits: normal clips called normal; abnormal clips called by their own class.
    abnormal_calls: abnormal clips called anything but normal.
    normals, abnormals: clips in all.
    """

    offset: FloatArray
    normal_hits: IntArray
    exact_hits: IntArray
    abnormal_calls: IntArray
    normals: int
    abnormals: int


def operating_counts(labels: ArrayLike, logits: ArrayLike) -> OperatingCounts:
    """Count hits at all offsets in one sort. Integers, so that equal Scores compare equal."""
    truth = np.asarray(labels, dtype=np.int64)
    gap, rival = normal_gap(logits)
    offsets, plateau = np.unique(gap, return_inverse=True)
    abnormal = truth != NORMAL
    exact = abnormal & (rival == truth)

    def called_normal(clips: BoolArray) -> IntArray:
        counts = np.bincount(plateau[clips], minlength=len(offsets))
        return np.concatenate([[0], np.cumsum(counts)])

    return OperatingCounts(
        offset=np.concatenate([[-np.inf], offsets]),
        normal_hits=called_normal(~abnormal),
        exact_hits=exact.sum() - called_normal(exact),
        abnormal_calls=abnormal.sum() - called_normal(abnormal),
        normals=int((~abnormal).sum()),
        abnormals=int(abnormal.sum()),
    )


def sp_se_curve(labels: ArrayLike, logits: ArrayLike) -> pd.DataFrame:
    """Columns `offset`, `sp`, `se` and `se_two_class`: a row per operating point, by rising offset and Sp."""
    counts = operating_counts(labels, logits)
    normals, abnormals = counts.normals or np.nan, counts.abnormals or np.nan
    return pd.DataFrame(
        {
            "offset": counts.offset,
            "sp": 100 * counts.normal_hits / normals,
            "se": 100 * counts.exact_hits / abnormals,
            "se_two_class": 100 * counts.abnormal_calls / abnormals,
        }
    )


def threshold_free(labels: ArrayLike, logits: ArrayLike, task: Task = ICBHI_4) -> dict[str, float]:
    """What does not depend on where the normal class begins.

    Areas rank clips by the log-odds of the classes in question: abnormal against normal; each finding of the task
    against the rest. `macro_auroc` is the mean over the classes of the AUROC of each against all others, of those that
    have clips; of a multi-label task over its labels. `se_at_sp80` and `se_at_sp90` are the exact-hit Se, in percent,
    at the smallest offset whose Sp on these very clips reaches 80 and 90 %: a point of the Sp–Se curve, not an
    operating point that anyone could have chosen beforehand.
    """
    truth = np.asarray(labels, dtype=np.int64)
    abnormal, odds = truth != NORMAL, abnormal_odds(logits)
    of_findings = {f"auroc_{name}": _auroc_of(truth, logits, task.places(name)) for name in task.findings}
    of_classes = [_auroc_of(truth, logits, (index,)) for index in range(len(task.classes))]
    curve = sp_se_curve(labels, logits)
    return {
        "auroc_abnormal": auroc(abnormal, odds),
        "auprc_abnormal": _auprc(abnormal, odds),
        **of_findings,
        "macro_auroc": _mean_known([*of_findings.values()] if task.kind == "multi-label" else of_classes),
        "se_at_sp80": _sensitivity_at(curve, 80.0),
        "se_at_sp90": _sensitivity_at(curve, 90.0),
    }


def mean_auroc(labels: ArrayLike, logits: ArrayLike, task: Task = ICBHI_4) -> float:
    """The mean of the AUROCs of abnormal and of each finding: of those that the labels define, NaN where of none.

    It does not jump as a clip crosses an operating point, so that it moves less from epoch to epoch than the Score.
    """
    truth = np.asarray(labels, dtype=np.int64)
    return _mean_known(
        [_auroc_of(truth, logits, classes) for classes in (task.abnormal, *map(task.places, task.findings))]
    )


def abnormal_odds(logits: ArrayLike) -> FloatArray:
    """(N,) log-odds of any abnormal class against normal: what AUROC ranks clips by."""
    scores = np.asarray(logits, dtype=np.float64)
    return _log_odds(scores, range(NORMAL + 1, scores.shape[1]))


def auroc(positive: BoolArray, score: FloatArray) -> float:
    """The share of pairs of a positive clip and another in which it is ranked higher; a tie counts half."""
    if not 0 < positive.sum() < positive.size:
        return np.nan
    others, own = np.sort(score[~positive]), score[positive]
    twice_above = np.searchsorted(others, own, "left") + np.searchsorted(others, own, "right")
    return float(twice_above.mean() / 2 / others.size)


def calibration(
    labels: ArrayLike, logits: ArrayLike, temperature: float | FloatArray | None = None
) -> dict[str, float]:
    """NLL (nats), Brier score and class-wise ECE; with a temperature, one or (N,), also those after it.

    The Brier score sums over classes (0 to 2). The class-wise ECE (Kull et al. 2019) is the mean over classes of
    the gap between probability and frequency in 15 equal-width bins, weighted by the bins' clips. The keys after
    temperature end in `_scaled`.
    """
    raw = _calibration(labels, logits)
    if temperature is None:
        return raw
    scaled = _calibration(labels, divided(logits, temperature))
    return raw | {f"{key}_scaled": value for key, value in scaled.items()}


def divided(logits: ArrayLike, temperature: float | FloatArray) -> FloatArray:
    """(N, C) logits after a temperature, one or (N,)."""
    scaled: FloatArray = np.asarray(logits, dtype=np.float64) / np.asarray(temperature).reshape(-1, 1)
    return scaled


def negative_log_likelihood(labels: ArrayLike, logits: ArrayLike) -> float:
    """Mean −log p(label), in nats."""
    truth = np.asarray(labels, dtype=np.int64)
    log_probabilities = scipy.special.log_softmax(np.asarray(logits, dtype=np.float64), axis=1)
    return _mean(-log_probabilities[np.arange(truth.size), truth])


def risk_coverage(labels: ArrayLike, logits: ArrayLike, quality: ArrayLike) -> dict[str, float]:
    """Areas under the risk–coverage curve (Geifman & El-Yaniv 2017), clips kept by confidence and by quality.

    Risk is the share of wrong argmax calls among the clips kept; `risk` is that of all of them, which is also the
    area of a ranking that knows nothing. Lower is better. Confidence is the largest class probability. Clips that
    tie share their errors, so that their order cannot matter.
    """
    wrong = (predicted_classes(logits) != np.asarray(labels, dtype=np.int64)).astype(np.float64)
    confidence = scipy.special.softmax(np.asarray(logits, dtype=np.float64), axis=1).max(axis=1)
    return {
        "risk": _mean(wrong),
        "aurc_confidence": _area_under_risk(wrong, confidence),
        "aurc_quality": _area_under_risk(wrong, np.asarray(quality, dtype=np.float64)),
    }


def risk_at_coverage(wrong: FloatArray, keep_first: FloatArray) -> FloatArray:
    """(N,) the share of wrong calls among the 1 … N clips that are kept; clips that tie share their errors.

    Args:
        wrong: (N,) 1.0 where the call is wrong, else 0.0.
        keep_first: (N,) the higher, the longer a clip is kept.
    """
    _, tie, size = np.unique(-keep_first, return_inverse=True, return_counts=True)
    shared = np.bincount(tie, weights=wrong) / size
    risk: FloatArray = np.cumsum(np.repeat(shared, size)) / np.arange(1, wrong.size + 1)
    return risk


def _mean(values: NDArray[np.generic]) -> float:
    return float(values.mean()) if values.size else np.nan


def _mean_known(areas: Sequence[float]) -> float:
    """The mean of those that are defined."""
    return _mean(np.asarray([area for area in areas if not np.isnan(area)]))


def _percent(part: int, whole: int) -> float:
    return 100 * float(part) / float(whole) if whole else np.nan


def _log_odds(logits: ArrayLike, classes: Sequence[int]) -> FloatArray:
    """(N,) log p(classes)/p(others): ranks as the probability does, and does not saturate at large scales."""
    scores = np.asarray(logits, dtype=np.float64)
    others = [index for index in range(scores.shape[1]) if index not in classes]
    return _logsumexp(scores[:, list(classes)]) - _logsumexp(scores[:, others])


def _auroc_of(truth: IntArray, logits: ArrayLike, classes: Sequence[int]) -> float:
    """The AUROC of some classes against the rest."""
    return auroc(np.isin(truth, classes), _log_odds(logits, classes))


def _logsumexp(scores: FloatArray) -> FloatArray:
    """(N,) of the last axis of (N, K), to the bit what SciPy 1.15 and later give, which take five times as long."""
    if scores.shape[1] == 1:
        return scores[:, 0]
    largest = scores.max(axis=1, keepdims=True)
    at_largest = scores == largest
    with np.errstate(invalid="ignore", divide="ignore"):  # of what is not finite
        smaller = np.exp(np.where(at_largest, -np.inf, scores - largest)).sum(axis=1)
        times = at_largest.sum(axis=1)
        summed: FloatArray = np.log1p(smaller / times) + np.log(times) + largest[:, 0]
    return summed


def _auprc(positive: BoolArray, score: FloatArray) -> float:
    """Average precision: at every score that occurs the precision, weighted by the recall that it adds."""
    if not positive.any():
        return np.nan
    order = np.argsort(-score)
    last = np.flatnonzero(np.diff(score[order], append=np.nan))  # of the clips that tie
    found = np.cumsum(positive[order])[last]
    return float((np.diff(found, prepend=0) * found / (last + 1)).sum() / found[-1])


def _sensitivity_at(curve: pd.DataFrame, specificity: float) -> float:
    reached = curve["se"][curve["sp"] >= specificity]  # empty where Sp is NaN: no normal clip
    return float(reached.iloc[0]) if len(reached) else np.nan


def _calibration(labels: ArrayLike, logits: ArrayLike) -> dict[str, float]:
    probabilities = scipy.special.softmax(np.asarray(logits, dtype=np.float64), axis=1)
    truth = np.eye(probabilities.shape[1])[np.asarray(labels, dtype=np.int64)]
    return {
        "nll": negative_log_likelihood(labels, logits),
        "brier": _mean(((probabilities - truth) ** 2).sum(axis=1)),
        "ece": _class_wise_ece(truth, probabilities),
    }


def _class_wise_ece(truth: FloatArray, probabilities: FloatArray) -> float:
    if not truth.size:
        return np.nan
    clips, classes = truth.shape
    bins = np.minimum((probabilities * CALIBRATION_BINS).astype(np.int64), CALIBRATION_BINS - 1)
    cell = (bins + CALIBRATION_BINS * np.arange(classes)).ravel()
    # A bin's weight is its clips, which cancels against the means inside it: sums of differences are enough.
    differences = np.bincount(cell, weights=(probabilities - truth).ravel())
    return float(np.abs(differences).sum() / clips / classes)


def _area_under_risk(wrong: FloatArray, keep_first: FloatArray) -> float:
    """Mean risk over the coverages 1/N … 1."""
    if not wrong.size or np.isnan(keep_first).any():
        return np.nan
    return float(risk_at_coverage(wrong, keep_first).mean())
