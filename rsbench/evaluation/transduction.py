"""Calls that depend on the test clips as a whole, though not on their labels.

Whoever calls clips one by one cannot make them, so they never stand beside calls that do not look: see
`boards.transductive`. Each follows from a run's logits of its validation clips, with their labels, and of the test
clips, without.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import scipy
from numpy.typing import ArrayLike

from ..data.tasks import NORMAL
from .metrics import FloatArray, IntArray, normal_gap, predicted_classes
from .operating_point import LARGEST_TEMPERATURE, choose_normal_offset

ORACLE = "ORACLE"
POINTS: Mapping[str, str] = {
    "val-bias": "looks at no test clip: the offset on normal that is best on validation, as on other boards",
    "bayes": "looks at no test clip: what gains most Score by the calibrated probabilities and validation's classes",
    "call-rate": "calls the same share of clips normal on test as val-bias does on validation",
    "em": "the most probable class once EM has guessed how frequent the classes are on test (Saerens et al. 2002)",
    "em-bayes": "what gains most Score by these probabilities and the frequencies that EM guessed",
    ORACLE: "the offset that is best on the TEST labels themselves: not a result, what an offset could reach at most",
}
BY_TEST_CLIPS = ("call-rate", "em", "em-bayes")

_LARGEST_BIAS = 10.0  # nats; a class that validation lacks would have none
_LEAST_PRIOR = 1e-6
_MOST_ROUNDS = 1000
_CONVERGED = 1e-7


@dataclass(frozen=True)
class Calibration:
    """Logits → log-probabilities up to a constant: logits / temperature + bias, (C,) with 0 for normal.

    Bias-corrected temperature scaling (Alexandari, Kundaje and Shrikumar, ICML 2020): EM without it errs, since the
    probabilities that a model means seldom add up to the frequencies that it was trained with.
    """

    temperature: float
    bias: FloatArray

    @classmethod
    def fitted(cls, labels: ArrayLike, logits: ArrayLike) -> Calibration:
        """With the least NLL of validation clips: labels (N,), logits (N, C), N ≥ 1."""
        truth, scores = np.asarray(labels, dtype=np.int64), np.asarray(logits, dtype=np.float64)
        classes = scores.shape[1]
        own = np.eye(classes)[truth]

        def loss(parameters: FloatArray) -> tuple[float, FloatArray]:
            """NLL and its gradient by 1/temperature and the biases of the abnormal classes."""
            inverse, bias = parameters[0], np.concatenate([[0.0], parameters[1:]])
            log_p = scipy.special.log_softmax(scores * inverse + bias, axis=1)
            beyond = (np.exp(log_p) - own) / len(truth)
            return -(log_p * own).sum() / len(truth), np.append((beyond * scores).sum(), beyond.sum(axis=0)[1:])

        bounds = [(1 / LARGEST_TEMPERATURE, LARGEST_TEMPERATURE), *[(-_LARGEST_BIAS, _LARGEST_BIAS)] * (classes - 1)]
        found = scipy.optimize.minimize(
            loss, np.array([1.0] + [0.0] * (classes - 1)), jac=True, bounds=bounds, method="L-BFGS-B"
        )
        return cls(1 / float(found.x[0]), np.concatenate([[0.0], found.x[1:]]))

    def log_probabilities(self, logits: ArrayLike) -> FloatArray:
        """(N, C) of logits (N, C)."""
        scores = np.asarray(logits, dtype=np.float64) / self.temperature + self.bias
        log_p: FloatArray = scipy.special.log_softmax(scores, axis=1)
        return log_p


def class_shares(log_probabilities: FloatArray, before: FloatArray) -> FloatArray:
    """(C,) the class frequencies under which test clips are likeliest, by EM (Saerens, Latinne, Decaestecker 2002).

    Args:
        log_probabilities: (N, C) of the test clips, calibrated where the frequencies were `before`.
        before: (C,) those of validation.
    """
    shares = before
    for _ in range(_MOST_ROUNDS):
        guessed = scipy.special.softmax(log_probabilities + np.log(shares / before), axis=1).mean(axis=0)
        guessed = np.maximum(guessed, _LEAST_PRIOR)
        settled = np.abs(guessed - shares).max() < _CONVERGED
        shares = guessed / guessed.sum()
        if settled:
            break
    return shares


def calls_at_points(
    validation_labels: ArrayLike, validation_logits: ArrayLike, test_labels: ArrayLike, test_logits: ArrayLike
) -> dict[str, IntArray]:
    """What each test clip is called at every one of POINTS, (N,) class indices; labels of test make ORACLE alone.

    {} where validation lacks normal or abnormal clips: nothing can then be chosen on it.

    Args:
        validation_labels: (M,).
        validation_logits: (M, C).
        test_labels: (N,).
        test_logits: (N, C).
    """
    offset = choose_normal_offset(validation_labels, validation_logits)
    if np.isnan(offset):
        return {}
    calibration = Calibration.fitted(validation_labels, validation_logits)
    before = np.maximum(np.exp(calibration.log_probabilities(validation_logits)).mean(axis=0), _LEAST_PRIOR)
    log_p = calibration.log_probabilities(test_logits)
    shares = class_shares(log_p, before)
    on_test = log_p + np.log(shares / before)
    called_normal = float((predicted_classes(validation_logits, offset) == NORMAL).mean())
    return {
        "val-bias": predicted_classes(test_logits, offset),
        "bayes": predicted_classes(log_p, _score_offset(before)),
        "call-rate": predicted_classes(test_logits, _offset_for(called_normal, test_logits)),
        "em": predicted_classes(on_test),
        "em-bayes": predicted_classes(on_test, _score_offset(shares)),
        ORACLE: predicted_classes(test_logits, choose_normal_offset(test_labels, test_logits)),
    }


def _score_offset(shares: FloatArray) -> float:
    """What on the normal log-probability makes the most probable call the one that gains most Score.

    A right call of a normal clip gains 1 / their number, of an abnormal one 1 / the number of all abnormal ones.
    """
    return float(np.log(shares[NORMAL + 1 :].sum() / shares[NORMAL]))


def _offset_for(called_normal: float, logits: ArrayLike) -> float:
    """The offset on the normal logit at which so large a share of these clips is called normal, to a clip."""
    gap = np.sort(normal_gap(logits)[0])
    count = round(called_normal * len(gap))
    return float(gap[count - 1]) if count else -np.inf
