"""Intervals against textbook formulas where they apply, and against the truth where it is simulated."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy import stats
from simulated import SCORE, Effects, patients, study
from statsmodels.stats.meta_analysis import combine_effects

from rsbench.evaluation.metrics import at_operating_point
from rsbench.evaluation.patients import effective_number, exponential_weights, unbiased
from rsbench.evaluation.statistics import (
    MOST_FLIPPED,
    Counts,
    Estimates,
    _spread,
    counts_of,
    critical,
    estimate,
    random_effects,
    rank_sets,
    shares_of,
    sign_flip_p,
)

FEW = 1000  # resamples; the error of a variance is then 4 to 5 %
TOLERANCE = 0.02  # of a standard error, with the full number of them


def estimates(mean: np.ndarray, covariance: np.ndarray, df: np.ndarray, seeds: np.ndarray) -> Estimates:
    """As if a difference had the degrees of freedom of the poorer of the two."""
    return Estimates(mean, covariance, df, seeds, np.fmin(df[:, None], df), np.zeros((3, len(mean))))


def alike(rates: np.ndarray) -> Counts:
    """(methods, seeds, patients) shares of hits, for patients with 10 clips each and one share that counts."""
    return Counts(10.0 * rates[..., None], np.full((rates.shape[2], 1), 10.0))


def test_figures_are_those_of_the_metrics() -> None:
    generator = np.random.default_rng(0)
    labels, logits = generator.integers(0, 4, 300), generator.normal(size=(300, 4))
    patient = generator.integers(0, 7, 300)
    called = logits.argmax(axis=1)
    support = np.zeros((7, 4))
    hits = np.zeros((1, 1, 7, 5))
    for who, label, call in zip(patient, labels, called, strict=True):
        support[who, label] += 1
        hits[0, 0, who, label] += label == call
        hits[0, 0, who, 4] += label > 0 and call > 0
    expected = at_operating_point(labels, logits)
    for figure in shares_of(4):
        assert_allclose(counts_of(figure, hits, support).of_runs()[0, 0], expected[figure], rtol=1e-12)


def test_where_patients_are_alike_it_is_students_t_over_seeds() -> None:
    scores = np.random.default_rng(1).uniform(0.4, 0.6, 6)
    found = estimate(alike(np.repeat(scores[None, :, None], 40, axis=2)))
    expected = stats.t.interval(0.95, 5, loc=100 * scores.mean(), scale=100 * stats.sem(scores))
    assert_allclose(found.df, 5, rtol=1e-6)
    assert_allclose(found.intervals()[0], expected, atol=TOLERANCE * 100 * stats.sem(scores) * 2.6)


def test_where_seeds_are_alike_it_is_students_t_over_patients() -> None:
    rates = np.random.default_rng(2).uniform(0.2, 0.9, 30)
    found = estimate(alike(np.repeat(rates[None, None, :], 5, axis=1)))
    expected = stats.t.interval(0.95, 29, loc=100 * rates.mean(), scale=100 * stats.sem(rates))
    assert_allclose(found.df, 29, rtol=1e-6)
    assert_allclose(found.intervals()[0], expected, atol=TOLERANCE * 100 * stats.sem(rates) * 2.1)


def test_the_variance_is_that_of_crossed_random_effects() -> None:
    """Patients and seeds that add up, and noise of each cell: the ANOVA estimates of a two-way layout."""
    generator = np.random.default_rng(3)
    cells = 0.5 + 0.1 * generator.normal(size=(1, 60)) + 0.05 * generator.normal(size=(8, 1))
    cells = cells + 0.1 * generator.normal(size=(8, 60))
    seeds, patients_, mean = cells.mean(axis=1), cells.mean(axis=0), cells.mean()
    noise = ((cells - seeds[:, None] - patients_ + mean) ** 2).sum() / (7 * 59)
    expected = seeds.var(ddof=1) / 8 + patients_.var(ddof=1) / 60 - noise / (8 * 60)
    assert_allclose(estimate(alike(cells[None])).se[0], 100 * np.sqrt(expected), rtol=0.03)


def test_what_weights_move_is_that_of_plain_loops() -> None:
    """Of three methods, one of which lacks a seed; a draw, a method and a seed at a time."""
    generator = np.random.default_rng(3)
    support = patients(generator, 12, 400)
    counts = counts_of("score", study(generator, support, 3, 4, Effects()), support)
    counts.hits[1, 2] = np.nan
    present, draws = ~np.isnan(counts.hits[:, :, 0, 0]), 30
    found = _spread(counts, present, draws, np.random.default_rng(0))

    weights = np.random.default_rng(0)
    of_patients, of_seeds = exponential_weights(weights, (draws, 12)), exponential_weights(weights, (draws, 1, 4))[:, 0]
    of_share = [unbiased(effective_number(clips)) for clips in counts.clips.T]
    moved = np.zeros((3, draws, 3))
    for draw, method in itertools.product(range(draws), range(3)):
        there = np.flatnonzero(present[method])
        tilts = unbiased(len(there)) * (of_seeds[draw, there] / of_seeds[draw, there].sum() - 1 / len(there))
        for seed, tilt in zip(there, tilts, strict=True):
            score = shift = 0.0
            for clips, hits, spread in zip(counts.clips.T, counts.hits[method, seed].T, of_share, strict=True):
                rate = hits.sum() / clips.sum()
                drawn = (of_patients[draw] * hits).sum() / (of_patients[draw] * clips).sum()
                score, shift = score + 50 * rate, shift + 50 * spread * (drawn - rate)
            moved[:, draw, method] += shift / len(there), tilt * score, tilt * shift
    for part, by_loop in zip(found, moved, strict=True):
        assert_allclose(part, by_loop.T @ by_loop / draws, rtol=1e-11, atol=1e-13)


def test_a_method_that_lacks_seeds_is_judged_on_its_own() -> None:
    generator = np.random.default_rng(4)
    support = patients(generator)
    counts = counts_of("score", study(generator, support, 2, 8, Effects()), support)
    counts.hits[1, 5:] = np.nan
    both, alone = estimate(counts), estimate(Counts(counts.hits[1:, :5], counts.clips))
    assert list(both.seeds) == [8, 5]
    assert_allclose(both.mean[1], alone.mean[0])
    assert_allclose(both.se[1], alone.se[0], rtol=0.05)
    paired = counts[slice(1, 2)] - counts[slice(0, 1)]
    assert estimate(paired, FEW).seeds == [5]


def test_a_method_against_itself_differs_by_nothing() -> None:
    generator = np.random.default_rng(5)
    support = patients(generator)
    counts = counts_of("score", study(generator, support, 1, 8, Effects()), support)
    found = estimate(counts - counts, FEW)
    assert (found.mean, found.se, found.smallest_claim()) == (0, 0, 0)


def test_one_seed_tells_nothing_of_seeds() -> None:
    generator = np.random.default_rng(6)
    support = patients(generator)
    found = estimate(counts_of("score", study(generator, support, 2, 1, Effects()), support), FEW)
    assert np.isfinite(found.mean).all()
    assert np.isnan(found.intervals()).all()
    assert np.isnan(found.smallest_claim()).all()
    assert rank_sets(found).tolist() == [[1, 2], [1, 2]]


@pytest.mark.parametrize(
    ("seeds", "effects"),
    [
        (3, Effects()),
        (8, Effects()),
        (8, Effects(patient_and_method=0.1)),
        (8, Effects(patient_and_method=0.02, seed=0.06, trade=0.1)),
    ],
    ids=["three seeds", "as on ICBHI", "patients and methods", "seeds"],
)
def test_intervals_hold_the_truth_as_often_as_they_say(seeds: int, effects: Effects) -> None:
    """Of a method's Score and of a difference, over new patients and new seeds."""
    generator, studies = np.random.default_rng(8), 400
    rows, differences = 0, 0
    for number in range(studies):
        support = patients(generator)
        counts = counts_of("score", study(generator, support, 2, seeds, effects), support)
        rows += _holds(estimate(counts[slice(0, 1)], FEW, number), SCORE)
        differences += _holds(estimate(counts[slice(1, 2)] - counts[slice(0, 1)], FEW, number), 0.0)
    assert 0.93 <= rows / studies <= 0.97
    assert 0.93 <= differences / studies <= 0.97


def _holds(found: Estimates, truth: float) -> bool:
    ((low, high),) = found.intervals()
    return bool(low <= truth <= high)


def test_few_studies_make_a_false_claim() -> None:
    """Five losses that are as good as the baseline, eight seeds: "distinguishable" is said of any in 5.5 % at most."""
    generator, studies = np.random.default_rng(12), 400
    claims = 0
    for number in range(studies):
        support = patients(generator)
        counts = counts_of("score", study(generator, support, 6, 8, Effects()), support)
        paired = estimate(counts[slice(1, 6)] - counts[slice(0, 1)], FEW, number)
        claims += bool((np.abs(paired.mean) > paired.smallest_claim()).any())
    assert claims / studies <= 0.055


def test_a_difference_that_is_there_is_found() -> None:
    generator = np.random.default_rng(9)
    support = patients(generator)
    hits = study(generator, support, 2, 10, Effects())
    hits[1, :, :, :2] = np.minimum(hits[1, :, :, :2] + np.ceil(0.12 * support[:, :2]), support[:, :2])
    counts = counts_of("score", hits, support)
    paired = estimate(counts[slice(1, 2)] - counts[slice(0, 1)], FEW)
    assert paired.simultaneous()[0, 0] > 0
    assert rank_sets(estimate(counts, FEW)).tolist() == [[2, 2], [1, 1]]


def test_simultaneous_intervals_are_wider_and_of_one_alone_the_same() -> None:
    covariance = np.eye(5) + 0.3
    found = estimates(np.zeros(5), covariance, np.full(5, 12.0), np.full(5, 8))
    alone = estimates(np.zeros(1), covariance[:1, :1], np.full(1, 12.0), np.full(1, 8))
    assert (found.smallest_claim() > found.intervals()[:, 1]).all()
    assert_allclose(alone.smallest_claim(), alone.intervals()[:, 1], rtol=0.03)
    bonferroni = stats.t.isf(0.025 / 5, 12) * np.sqrt(1.3)
    assert (found.smallest_claim() < bonferroni).all()


def test_the_largest_of_independent_ones_follows_sidak() -> None:
    found = estimates(np.zeros(6), np.eye(6), np.full(6, 1e6), np.full(6, 8))
    assert_allclose(found.smallest_claim(), stats.norm.isf((1 - 0.95 ** (1 / 6)) / 2), rtol=0.01)


def test_critical_values_are_those_of_scipy() -> None:
    largest, df = np.random.default_rng(0).exponential(size=200), np.array([1.0, 3.5, 40.0, np.nan])
    expected = stats.t.isf(stats.norm.sf(np.quantile(largest, 0.95)), df)
    assert_allclose(critical(largest, df, 0.95), expected, rtol=1e-12)


@settings(max_examples=25)
@given(st.integers(0, 2**32 - 1))
def test_rank_sets_hold_the_rank_and_narrow_with_certainty(seed: int) -> None:
    generator = np.random.default_rng(seed)
    mean, root = generator.normal(0, 3, 6), generator.normal(size=(6, 6))
    df, seeds = np.full(6, 20.0), np.full(6, 8)
    sets = rank_sets(estimates(mean, root @ root.T, df, seeds))
    ranks = stats.rankdata(-mean)
    assert ((sets[:, 0] <= ranks) & (ranks <= sets[:, 1])).all()
    certain = rank_sets(estimates(mean, 1e-12 * np.eye(6), df, seeds))
    assert_allclose(certain, np.stack([ranks, ranks], axis=1))
    assert (certain[:, 0] >= sets[:, 0]).all()


@given(st.lists(st.integers(-5, 5), min_size=1, max_size=9))
@settings(max_examples=40)
def test_sign_flips_are_counted_exactly(differences: list[int]) -> None:
    found = np.array(differences, dtype=np.float64)
    flips = np.array(list(itertools.product([1, -1], repeat=len(found))))
    means = np.abs((flips * found).mean(axis=1))
    expected = (means >= np.abs(found.mean()) - 1e-12).mean()
    assert_allclose(sign_flip_p(found), expected, atol=1e-9)
    assert sign_flip_p(found / 10) == sign_flip_p(found)  # rounding breaks no tie


@pytest.mark.parametrize("count", [2, 8, MOST_FLIPPED, MOST_FLIPPED + 1])
def test_sign_flips_are_scipys_permutation_test(count: int) -> None:
    found = np.random.default_rng(count).normal(0.3, 1, count)
    expected = stats.permutation_test((found,), np.mean, permutation_type="samples", n_resamples=2**16, rng=0)
    assert_allclose(sign_flip_p(found), expected.pvalue, rtol=1e-12 if count <= MOST_FLIPPED else 0.1)


def test_sign_flips_of_nothing() -> None:
    assert np.isnan(sign_flip_p(np.array([np.nan])))


@pytest.mark.parametrize("spread", [0.2, 4.0])
def test_the_summary_is_statsmodels(spread: float) -> None:
    generator = np.random.default_rng(10)
    se = generator.uniform(0.5, 2, 7)
    effects = generator.normal(1, spread, 7) + se * generator.normal(size=7)
    found = random_effects(effects, np.diag(se**2))
    oracle = combine_effects(effects, se**2, method_re="iterated", use_t=True)
    assert_allclose(found.mean, oracle.mean_effect_re, rtol=1e-4)
    assert_allclose(found.tau**2, oracle.tau2, atol=1e-3)
    low, high = oracle.conf_int()[3]  # Hartung and Knapp's, random effects
    if oracle.scale_hksj_re >= 1:
        assert_allclose(found.interval, (low, high), rtol=1e-3, atol=1e-3)
    else:
        assert found.interval[0] <= low
        assert high <= found.interval[1]


def test_the_summary_of_one_study_is_that_study() -> None:
    found = random_effects(np.array([2.0]), np.eye(1))
    assert (found.mean, found.tau, found.studies) == (2.0, 0.0, 1)
    assert_allclose(found.interval, stats.norm.interval(0.95, 2, 1))
