"""What the trials of a search say about the search itself: which settings mattered, and whether it was long enough."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

FloatArray = npt.NDArray[np.float64]

FEWEST_TRIALS = 10  # below this a forest tells noise and parameters apart by luck alone
TREES = 16
SHUFFLES = 19  # the largest of them is a level that chance passes once in twenty


def expected_best(scores: FloatArray) -> FloatArray:
    """Expected best Score of n trials drawn at random, with replacement, from these N; for n = 1…N.

    The i-th smallest Score is the best of n draws with probability (i/N)ⁿ − ((i−1)/N)ⁿ: Dodge et al. 2019, "Show Your
    Work: Improved Reporting of Experimental Results", section 3. Never decreasing in n, from the mean towards the
    best.

    Args:
        scores: (N,) finite, in any order, N at least 1.
    """
    size = len(scores)
    draws = np.arange(1, size + 1)[:, None]
    at_most = (np.arange(size + 1) / size) ** draws
    return np.diff(at_most, axis=1) @ np.sort(scores)


def last_quarter_gain(expected: FloatArray) -> float:
    """Points of Score that the last quarter of the trials added to `expected_best`; NaN for fewer than four trials."""
    quarter = len(expected) // 4
    return float(expected[-1] - expected[-1 - quarter]) if quarter else math.nan


def importance(params: pd.DataFrame, scores: FloatArray) -> pd.DataFrame:
    """How much of the Score's variance each parameter accounts for alone, and what chance would give it.

    fANOVA (Hutter et al. 2014, "An Efficient Approach for Assessing Hyperparameter Importance") as Optuna has it. A
    number is replaced by its rank among those tried, so that the answer is the same on any scale, logarithmic or not,
    and is about the values that were tried. A forest finds structure in noise too: `chance` is the largest share of
    any parameter over SHUFFLES random permutations of the Scores; a share above it is a finding at the level of 5 %.

    Args:
        params: a row per trial, a column per parameter; NaN where a trial did not have it.
        scores: (trials,) finite.

    Returns a row per column of `params`: parameter, importance and chance in [0, 1], or NaN with a `reason`.
    """
    found = pd.DataFrame({"parameter": params.columns, "importance": math.nan, "chance": math.nan, "reason": ""})
    if len(scores) < FEWEST_TRIALS:
        return found.assign(reason=f"{len(scores)} trials finished; it takes {FEWEST_TRIALS}")
    if np.ptp(scores) == 0:
        return found.assign(reason="every trial has the same Score")
    varied = params.notna().all() & (params.nunique() > 1)
    found = found.set_index("parameter")
    found.loc[~varied, "reason"] = "one value only, or not tried in every trial"
    if varied.sum() == 1:
        found.loc[varied, "reason"] = "nothing else was varied"
    elif varied.any():
        own, *shuffled = _shares(params.loc[:, varied], scores)
        found.loc[varied, "importance"] = pd.Series(own)
        found.loc[varied, "chance"] = max(max(shares.values()) for shares in shuffled)
    return found.reset_index()


def is_number(values: pd.Series) -> bool:
    """Whether a parameter has an order: words and switches have none."""
    return pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values)


def _shares(params: pd.DataFrame, scores: FloatArray) -> list[dict[str, float]]:
    """fANOVA's main effects by parameter: with the Scores as they are, then with each shuffle of them."""
    import optuna  # an extra, which only a search needs
    from optuna.importance import FanovaImportanceEvaluator

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    columns = {str(name): _distribution_free(params[name]) for name in params}
    study = optuna.create_study()
    for row in range(len(params)):
        study.add_trial(
            optuna.trial.create_trial(
                params={name: values[row] for name, (values, _) in columns.items()},
                distributions={name: distribution for name, (_, distribution) in columns.items()},
                value=0.0,  # the Scores are given below
            )
        )
    evaluator = FanovaImportanceEvaluator(n_trees=TREES, seed=0)
    generator = np.random.default_rng(0)
    orders = [np.arange(len(scores)), *(generator.permutation(len(scores)) for _ in range(SHUFFLES))]

    def shares(ordered: FloatArray) -> dict[str, float]:
        return evaluator.evaluate(study, target=lambda trial: float(ordered[trial.number]))

    return [shares(scores[order]) for order in orders]


def _distribution_free(values: pd.Series) -> tuple[list[Any], BaseDistribution]:
    """Numbers as ranks, words as choices, each with its distribution."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution

    if is_number(values):
        return values.rank().tolist(), FloatDistribution(1, len(values))
    words = values.astype(str)
    return words.tolist(), CategoricalDistribution(sorted(words.unique()))
