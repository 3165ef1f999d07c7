"""Intervals for figures behind which stand few patients and few seeds (protocol, section 5).

One estimand throughout: the expected figure, or the expected difference of two methods, over new patients and seeds.
Patients and seeds are crossed: every seed's model judges every patient. So the variance of a mean has a part of the
patients, a part of the seeds and a part of both together (σ²_P/P + σ²_S/S + σ²_PS/PS), and the bootstrap draws weights
for patients and, independently, weights for seeds. What a draw moves falls apart into what the patients' weights move
alone (its variance holds σ²_P/P + σ²_PS/PS), what the seeds' weights move alone (σ²_S/S + σ²_PS/PS), and the rest,
which takes both (σ²_PS/PS). First plus second minus third counts everything once; all that a draw moves would count
the last part three times (Owen, Annals of Applied Statistics 2007).

Weights are exponential (Rubin's Bayesian bootstrap, 1981): nobody's weight is 0, so every draw holds abnormal patients,
and methods that lack a seed share the draws of the others. Variances are made unbiased for the number of patients (as
Kish counts them, by their clips) and seeds, and intervals take Student's t with Satterthwaite's degrees of freedom.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy
from numpy.typing import NDArray

from ..data.tasks import NORMAL
from .patients import CONFIDENCE, effective_number, exponential_weights, shared_training, unbiased

FloatArray = NDArray[np.float64]

RESAMPLES = 10_000
SEEDS_FOR_A_CLAIM = 8  # fewer, and a true zero is called a difference too often
MOST_FLIPPED = 16  # seeds, of whose differences all flips of signs are looked at; of more, 2¹⁶ of them
_DRAWS = 20_000  # of the largest |t| of a family
_ROUNDING = 1e-7  # points, below which a standard error is that of sums in another order
_CHUNK = 4_000_000  # numbers in memory at a time, about

# A figure is a mean of shares; a share is hits of some columns over clips of some classes.
Share = tuple[tuple[int, ...], tuple[int, ...]]


def shares_of(classes: int) -> dict[str, tuple[Share, ...]]:
    """What each figure is the mean of, for so many classes.

    Hits have a column per class, and behind them that of the abnormal clips called anything abnormal.
    """
    abnormal = tuple(range(NORMAL + 1, classes))
    sp, se, se_two_class = ((NORMAL,), (NORMAL,)), (abnormal, abnormal), ((classes,), abnormal)
    return {
        "sp": (sp,),
        "se": (se,),
        "score": (sp, se),
        "se_two_class": (se_two_class,),
        "score_two_class": (sp, se_two_class),
    }


@dataclass(frozen=True)
class Counts:
    """What a figure is made of. The figure of one run is 100 × the mean over J of Σ_P hits / Σ_P clips.

    hits: (methods, seeds, P, J), NaN where a method lacks a seed. Of a difference of methods: the difference of hits.
    clips: (P, J), the same for all. folds: in how many patients were tested, see `shared_training`; 0 by one model.
    """

    hits: FloatArray
    clips: FloatArray
    folds: int = 0

    def __sub__(self, other: Counts) -> Counts:
        """Paired differences: on the same patients, and on the seeds that both have."""
        return Counts(self.hits - other.hits, self.clips, self.folds)

    def __getitem__(self, methods: slice | NDArray[np.int64] | list[int]) -> Counts:
        return Counts(self.hits[methods], self.clips, self.folds)

    def of_runs(self) -> FloatArray:
        """(methods, seeds) the figure of every run, in percent; NaN where there is none."""
        return 100 * (self.hits.sum(axis=2) / self.clips.sum(axis=0)).mean(axis=2)


def counts_of(figure: str, hits: FloatArray, support: FloatArray) -> Counts:
    """What a figure of `shares_of` is made of.

    Args:
        figure: a key of `shares_of`.
        hits: (methods, seeds, P, C + 1) per patient: clips of each class called by their own class, then the abnormal
            clips called anything abnormal. NaN where a method lacks a seed.
        support: (P, C) clips of each patient and class.
    """
    shares = shares_of(support.shape[1])[figure]
    parts = [hits[..., list(columns)].sum(axis=-1) for columns, _ in shares]
    clips = [support[:, list(classes)].sum(axis=1) for _, classes in shares]
    return Counts(np.stack(parts, axis=-1), np.stack(clips, axis=-1).astype(np.float64))


def ranking_counts(ranked: FloatArray, support: FloatArray) -> Counts:
    """What an AUROC is made of, in the shape of a figure that is a mean of two shares; `of_runs` gives 100 × AUROC.

    Both sides are resampled at once, abnormal and normal clips, and what both move is the sum of what each moves: so
    each side's share is twice as far from the AUROC as its own ranks are (first order; Obuchowski, Biometrics 1997).

    Args:
        ranked: (methods, seeds, P, 2), see `evaluation.counts.rank_hits`. NaN where a method lacks a seed.
        support: (P, C) clips of each patient and class.
    """
    normal = support[:, NORMAL]
    clips = np.stack([support.sum(axis=1) - normal, normal], axis=-1)
    areas = ranked.sum(axis=2, keepdims=True) / clips.sum(axis=0)
    return Counts(2 * ranked - areas * clips, clips)


@dataclass(frozen=True)
class Estimates:
    """Means over seeds with what is known of their error; arrays are over methods, or over differences of methods.

    mean: percent. covariance: of the means. df: Satterthwaite's. seeds: how many each rests on. df_apart: (methods,
    methods), Satterthwaite's of the difference of two, from which what both share falls out, patients above all. parts:
    (3, methods) the variance that patients move, that seeds move, and that takes both, which the first two hold too.
    Errors are NaN for a method with one seed, and where fewer than two patients (by Kish) have clips.
    """

    mean: FloatArray
    covariance: FloatArray
    df: FloatArray
    seeds: NDArray[np.int64]
    df_apart: FloatArray
    parts: FloatArray

    def of(self, rows: NDArray[np.int64]) -> Estimates:
        """Those of some of the methods."""
        pairs = np.ix_(rows, rows)
        covariance, apart = self.covariance[pairs], self.df_apart[pairs]
        return Estimates(self.mean[rows], covariance, self.df[rows], self.seeds[rows], apart, self.parts[:, rows])

    @property
    def se(self) -> FloatArray:
        return without_rounding(np.sqrt(self.covariance.diagonal()))

    def intervals(self) -> FloatArray:
        """(methods, 2): 95 % intervals, each on its own; of no width where no patient and no seed differs."""
        return own_intervals(self.mean, self.se, self.df)

    def simultaneous(self, confidence: float = CONFIDENCE) -> FloatArray:
        """(methods, 2): intervals that all hold together in 95 % of studies."""
        half = self.smallest_claim(confidence)
        return np.stack([self.mean - half, self.mean + half], axis=1)

    def smallest_claim(self, confidence: float = CONFIDENCE) -> FloatArray:
        """What a mean must exceed for its simultaneous interval to leave 0 out: the least this design could show."""
        known = np.flatnonzero(np.isfinite(self.se) & (self.se > 0))
        half = np.where(self.se == 0, 0.0, np.nan)
        if known.size:
            z = _draws(self.covariance[np.ix_(known, known)]) / self.se[known]
            half[known] = critical(np.abs(z).max(axis=1), self.df[known], confidence) * self.se[known]
        return half


def own_intervals(mean: FloatArray, se: FloatArray, df: FloatArray, confidence: float = CONFIDENCE) -> FloatArray:
    """(methods, 2): Student's intervals of each on its own; of no width where there is no error."""
    # Quantiles are of scipy.special throughout: to import scipy.stats takes as long as a board.
    quantile = scipy.special.stdtrit(df, (1 + confidence) / 2)
    half = np.where(se == 0, 0.0, quantile * se)
    return np.stack([mean - half, mean + half], axis=1)


def family(boards: int) -> float:
    """The confidence that each of some boards takes, so that all that they say together holds in 95 % of studies.

    Bonferroni's: their patients are others, but the seeds' luck is the same.
    """
    return 1 - (1 - CONFIDENCE) / boards


def estimate(counts: Counts, resamples: int = RESAMPLES, seed: int = 0) -> Estimates:
    """Means over seeds and their joint error over new patients and new seeds.

    Memory is bounded, whatever the number of methods and resamples. The same seed gives the same draws to every board.
    """
    present = ~np.isnan(counts.hits[:, :, 0, 0])
    seeds = present.sum(axis=1)
    by_run = counts.of_runs()
    of_patients, *others = _spread(counts, present, resamples, np.random.default_rng(seed))
    moved = (shared_training(counts.folds) * of_patients, *others)
    variance = np.stack([part.diagonal() for part in moved])
    excess = not_more(variance)
    shrunk = np.sqrt(np.divide(excess, variance[2], out=np.zeros_like(excess), where=variance[2] > 0))
    covariance = moved[0] + moved[1] - moved[2] * np.outer(shrunk, shrunk)
    df_patients = effective_number(influence(counts.clips)) - 1
    df = satterthwaite(variance, df_patients, seeds - 1)
    apart = np.stack([part.diagonal()[:, None] + part.diagonal() - 2 * part for part in moved])
    in_common = present.astype(np.int64) @ present.T.astype(np.int64)
    df_apart = satterthwaite(apart, df_patients, in_common - 1)
    mean = np.where(present, by_run, 0).sum(axis=1) / seeds
    return Estimates(mean, covariance, df, seeds, df_apart, np.stack([variance[0], variance[1], excess]))


def estimate_for_models(counts: Counts, resamples: int = RESAMPLES, seed: int = 0) -> Estimates:
    """Means over the runs there are and their joint error over new patients alone, for these very models.

    It is all that can be said of a single run, and nothing about the run that another seed would have given.
    """
    present = ~np.isnan(counts.hits[:, :, 0, 0])
    seeds = present.sum(axis=1)
    of_patients, _, _ = _spread(counts, present, resamples, np.random.default_rng(seed))
    mean = np.where(present, counts.of_runs(), 0).sum(axis=1) / seeds
    df = np.full(len(mean), max(1.0, effective_number(influence(counts.clips)) - 1))
    alone = of_patients.diagonal()
    return Estimates(mean, of_patients, df, seeds, np.fmin(df[:, None], df), np.stack([alone, 0 * alone, 0 * alone]))


def _spread(
    counts: Counts, present: NDArray[np.bool_], resamples: int, generator: np.random.Generator
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Covariances, (methods, methods) each, of what patients' weights move, what seeds' do, and what needs both."""
    methods, seeds, patients, shares = counts.hits.shape
    hits = np.nan_to_num(counts.hits).transpose(2, 3, 0, 1).reshape(patients * shares, -1)
    rates = np.nan_to_num(counts.hits).sum(axis=2) / counts.clips.sum(axis=0)
    count = present.sum(axis=1, keepdims=True)
    # Times what a share of only hits brings to the figure.
    unbiased_patients = unbiased([effective_number(column) for column in counts.clips.T]) * 100 / shares
    unbiased_seeds = unbiased(count)
    means = np.where(present, 1 / count, 0)
    of_runs, centre = 100 * rates.mean(axis=2), rates @ unbiased_patients
    sums = [np.zeros((methods, methods)) for _ in range(3)]
    step = max(1, _CHUNK // max(1, methods * seeds * shares))
    for first in range(0, resamples, step):
        draws = min(step, resamples - first)
        of_patients = exponential_weights(generator, (draws, patients))
        of_seeds = exponential_weights(generator, (draws, 1, seeds)) * present
        of_seeds /= of_seeds.sum(axis=2, keepdims=True)
        tilt = (of_seeds - means) * unbiased_seeds
        # Shares of clips are sums of hits, each weighed by its patient: one product with all that scales them.
        of_hits = of_patients[:, :, None] * (unbiased_patients / (of_patients @ counts.clips))[:, None, :]
        shifted = (of_hits.reshape(draws, -1) @ hits).reshape(draws, methods, seeds) - centre
        by_patients = np.einsum("dms,ms->dm", shifted, means)
        by_seeds = np.einsum("dms,ms->dm", tilt, of_runs)
        by_both = np.einsum("dms,dms->dm", tilt, shifted)
        for total, moved in zip(sums, (by_patients, by_seeds, by_both), strict=True):
            total += moved.T @ moved
    # Moved from the observed figures, whose place in the middle of the draws is exact to first order.
    return sums[0] / resamples, sums[1] / resamples, sums[2] / resamples


def influence(clips: FloatArray) -> FloatArray:
    """(P,) the share of a figure's variance that a patient with so many clips brings, were all patients alike."""
    return ((clips / clips.sum(axis=0)) ** 2).sum(axis=1)


def not_more(variance: FloatArray) -> FloatArray:
    """V_PS of (V_P, V_S, V_PS): no more than either part that holds it, though sampling error may say otherwise."""
    smaller: FloatArray = np.minimum(variance[2], variance[:2].min(axis=0))
    return smaller


def satterthwaite(variance: FloatArray, df_patients: float, df_seeds: NDArray[np.int64]) -> FloatArray:
    """Degrees of freedom of V_P + V_S − V_PS, (3, …); at least 1."""
    variance = np.stack([variance[0], variance[1], not_more(variance)])
    df = np.stack([np.full(df_seeds.shape, df_patients), df_seeds, df_patients * df_seeds]).astype(np.float64)
    total = variance[0] + variance[1] - variance[2]
    error = np.divide(variance**2, df, out=np.full_like(variance, np.nan), where=df > 0).sum(axis=0)
    found = np.divide(total**2, error, out=np.full_like(total, np.nan), where=error > 0)
    return np.maximum(found, 1.0)


def rank_sets(
    estimates: Estimates, confidence: float = CONFIDENCE, boards: NDArray[Any] | None = None
) -> NDArray[np.int64]:
    """(methods, 2): the best and the worst rank that each may have, all of them together in 95 % of studies.

    From simultaneous intervals of all pairwise differences (Mogstad et al., Review of Economic Studies 2024): whoever
    is surely better stands before, whoever is surely worse behind. A method with fewer than 8 seeds may stand anywhere.

    Args:
        estimates: of the methods.
        confidence: of all ranks together.
        boards: (methods,) who is ranked with whom, an operating point say; None: all with all.
    """
    mean, covariance = estimates.mean, estimates.covariance
    size = len(mean)
    known = np.isfinite(estimates.se) & (estimates.seeds >= SEEDS_FOR_A_CLAIM)
    variance = covariance.diagonal()
    se = without_rounding(np.sqrt(np.maximum(variance[:, None] + variance - 2 * covariance, 0)))
    together = np.full((size, size), True) if boards is None else boards[:, None] == boards
    draws = np.ascontiguousarray(_draws(np.where(np.outer(known, known), covariance, 0.0)).T)
    largest = np.zeros(draws.shape[1])
    for first in np.flatnonzero(known):
        of_pair = np.where(together[first], se[first], 0)[first + 1 :]
        for other in first + 1 + np.flatnonzero(of_pair > 0):
            np.maximum(largest, np.abs(draws[first] - draws[other]) / se[first, other], out=largest)
    beyond = critical(largest, estimates.df_apart, confidence)
    gap = mean[:, None] - mean
    surely_better = np.where(np.outer(known, known) & together, gap > beyond * se, False)
    better = surely_better.sum(axis=0)  # how many surely stand before
    worse = surely_better.sum(axis=1)
    return np.stack([1 + better, together.sum(axis=1) - worse], axis=1)


def without_rounding(se: FloatArray) -> FloatArray:
    """0 for what only rounding keeps from it; NaN stays."""
    return np.where(se < _ROUNDING, 0.0, se)


def _draws(covariance: FloatArray) -> FloatArray:
    """(draws, n) normal draws with this covariance, or with the nearest that is one."""
    values, vectors = np.linalg.eigh((covariance + covariance.T) / 2)
    root = vectors * np.sqrt(np.maximum(values, 0))
    drawn: FloatArray = np.random.default_rng(0).standard_normal((_DRAWS, len(covariance))) @ root.T
    return drawn


def critical(largest: FloatArray, df: FloatArray, confidence: float) -> FloatArray:
    """|t| beyond which to make a claim, for each of a family, so that 5 % of studies (at 95 %) make a false one.

    `largest` are draws of the family's largest |z|. What each may exceed is as rare for its own t, of `df` degrees of
    freedom, as that quantile of the largest |z| is for z: one with few seeds does not make the others timid.
    """
    rarity = scipy.special.ndtr(-np.quantile(largest, confidence))
    beyond: FloatArray = -scipy.special.stdtrit(df, rarity)
    return beyond


def sign_flip_p(differences: FloatArray) -> float:
    """Exact two-sided p of paired differences over seeds (n,), each of which could as well have been its negative.

    It speaks of training noise only, on these very patients; its floor is 2/2ⁿ. NaN where there is none to flip.
    """
    found = differences[np.isfinite(differences)]
    if found.size < 2:
        return 1.0 if found.size else float("nan")
    if found.size <= MOST_FLIPPED:
        signs = 1 - 2 * (np.arange(2**found.size)[:, None] >> np.arange(found.size) & 1)
        flipped = np.abs(signs @ found)  # sums, the first of them without a flip; rounding is to break no tie
        return float(np.mean(flipped >= flipped[0] - 1e-12 * np.abs(found).sum()))
    # Flips at random. SciPy would also take the above, but thirty times as long, and half a second to be imported.
    result = scipy.stats.permutation_test(
        (found,), np.mean, permutation_type="samples", n_resamples=2**16, rng=np.random.default_rng(0), vectorized=True
    )
    return float(result.pvalue)


@dataclass(frozen=True)
class Summary:
    """A random-effects mean of several studies. interval: 95 %. tau: sd of the true effects between studies."""

    mean: float
    interval: tuple[float, float]
    tau: float
    studies: int


def random_effects(effects: FloatArray, covariance: FloatArray) -> Summary:
    """What several studies say together: Paule and Mandel's τ² (1982), Hartung and Knapp's interval (2001).

    Each study weighs as much as its own variance and τ² tell. The error of the mean, and how large residuals should be,
    follow from the whole covariance, since studies of the same patients err together.

    Args:
        effects: (k,), one a study.
        covariance: (k, k) of their errors.

    The interval is Student's with k − 1 degrees of freedom, never narrower than with residuals as large as expected; of
    a single study it is that study's normal interval.
    """
    tau2 = _between(effects, covariance)
    mean, variance, residuals, expected = _weighted(effects, covariance, tau2)
    ratio, quantile = 1.0, float(scipy.special.ndtri((1 + CONFIDENCE) / 2))
    if len(effects) > 1:
        ratio = max(1.0, residuals / expected) if expected > _ROUNDING else 1.0
        quantile = float(scipy.special.stdtrit(len(effects) - 1, (1 + CONFIDENCE) / 2))
    half = quantile * math.sqrt(ratio * variance)
    return Summary(mean, (mean - half, mean + half), math.sqrt(tau2), len(effects))


def _weighted(effects: FloatArray, covariance: FloatArray, tau2: float) -> tuple[float, float, float, float]:
    """The weighted mean, its variance, the weighted sum of squared residuals, and what that is expected to be."""
    whole = covariance + tau2 * np.eye(len(effects))
    weights = 1 / whole.diagonal()
    mean = float(weights @ effects / weights.sum())
    moved = max(0.0, float(weights @ whole @ weights))
    residuals = float(weights @ (effects - mean) ** 2)
    return mean, moved / float(weights.sum()) ** 2, residuals, len(effects) - moved / float(weights.sum())


def _between(effects: FloatArray, covariance: FloatArray) -> float:
    """τ² at which the weighted residuals are as large as expected; 0 where they are smaller without it."""

    def excess(tau2: float) -> float:
        _, _, residuals, expected = _weighted(effects, covariance, tau2)
        return residuals - expected

    if len(effects) < 2 or excess(0.0) <= _ROUNDING:
        return 0.0

    highest = float(((effects - effects.mean()) ** 2).sum() / (len(effects) - 1)) + float(covariance.diagonal().max())
    while excess(highest) > 0:
        highest *= 2
    return float(scipy.optimize.brentq(excess, 0.0, highest, xtol=1e-12))
