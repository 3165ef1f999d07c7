"""What trials say about their search: expected best against enumeration, importance against what is known."""

from __future__ import annotations

import itertools
import math
import random

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rsbench.sweep.analysis import FEWEST_TRIALS, expected_best, importance, last_quarter_gain

finite = st.floats(0, 100, allow_subnormal=False)


@settings(max_examples=40)
@given(st.lists(finite, min_size=1, max_size=5))
def test_expected_best_is_the_mean_over_all_ways_to_draw(scores: list[float]) -> None:
    curve = expected_best(np.array(scores))
    assert len(curve) == len(scores)
    for draws, expected in enumerate(curve, start=1):
        best = [max(drawn) for drawn in itertools.product(scores, repeat=draws)]
        assert expected == pytest.approx(np.mean(best))


@given(st.lists(finite, min_size=1, max_size=60), st.integers(0, 2**16))
def test_expected_best_climbs_from_the_mean_towards_the_best(scores: list[float], seed: int) -> None:
    curve = expected_best(np.array(scores))
    assert curve[0] == pytest.approx(np.mean(scores))
    assert (np.diff(curve) >= -1e-9).all()
    assert curve[-1] <= max(scores) + 1e-9
    shuffled = random.Random(seed).sample(scores, len(scores))
    np.testing.assert_allclose(expected_best(np.array(shuffled)), curve)


def test_the_last_quarter_is_worth_what_it_added() -> None:
    curve = expected_best(np.array([50.0, 52.0, 54.0, 60.0, 61.0, 55.0, 58.0, 57.0]))
    assert last_quarter_gain(curve) == pytest.approx(curve[7] - curve[5])
    assert last_quarter_gain(np.full(9, 55.0)) == 0
    assert math.isnan(last_quarter_gain(curve[:3]))


def test_shares_are_those_of_an_additive_response() -> None:
    """On a full grid of a and b with Score 3a + b the variances stand as 9 to 1."""
    a, b = np.meshgrid(np.arange(7.0), np.arange(7.0))
    found = importance(pd.DataFrame({"a": a.ravel(), "b": b.ravel()}), (3 * a + b).ravel()).set_index("parameter")
    assert found.loc["a", "importance"] == pytest.approx(0.9, abs=0.05)
    assert found.loc["b", "importance"] == pytest.approx(0.1, abs=0.05)


def search(trials: int = 18) -> pd.DataFrame:
    generator = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "optim.lr": 10 ** generator.uniform(-5, -2, trials),
            "optim.weight_decay": 10 ** generator.uniform(-6, -2, trials),
            "loss.class_weights": generator.choice(["none", "inverse"], trials),
        }
    )


def test_the_parameter_that_matters_is_found_on_any_scale() -> None:
    params = search()
    decades = np.log10(params["optim.lr"])
    scores = (60 - 6 * (decades + 3.2) ** 2 + np.random.default_rng(1).normal(0, 0.5, len(params))).to_numpy()
    found = importance(params, scores).set_index("parameter")
    beyond = found["importance"] > found["chance"]
    assert beyond[beyond].index.tolist() == ["optim.lr"]
    assert (found["reason"] == "").all()
    on_log_scale = importance(params.assign(**{"optim.lr": decades}), scores).set_index("parameter")
    pd.testing.assert_frame_equal(on_log_scale, found)


@pytest.mark.parametrize("choices", [["none", "inverse"], [True, False], ["none", 0.5]])
def test_a_choice_can_matter_too(choices: list[object]) -> None:
    params = search(16)
    first = np.arange(16) % 3 == 0
    params["loss.class_weights"] = pd.Series([choices[0] if is_first else choices[1] for is_first in first])
    scores = 55 + 4.0 * first + np.random.default_rng(2).normal(0, 0.3, 16)
    found = importance(params, scores).set_index("parameter")
    assert found["importance"].idxmax() == "loss.class_weights"
    assert found.loc["loss.class_weights", "importance"] > found.loc["loss.class_weights", "chance"]


def test_noise_stays_below_chance() -> None:
    generator = np.random.default_rng(3)
    shares = [importance(search(12), generator.normal(55, 2, 12)) for _ in range(4)]
    false_findings = sum((found["importance"] > found["chance"]).any() for found in shares)
    assert false_findings <= 1  # at the level of 5 %
    assert max(found["importance"].max() for found in shares) > 0.3  # without that level, noise would look like much


def test_where_nothing_can_be_said_the_reason_is_given() -> None:
    few = importance(search(FEWEST_TRIALS - 1), np.arange(FEWEST_TRIALS - 1.0))
    assert few["importance"].isna().all()
    assert few["reason"].unique().tolist() == [f"{FEWEST_TRIALS - 1} trials finished; it takes {FEWEST_TRIALS}"]
    flat = importance(search(12), np.full(12, 50.0))
    assert flat["reason"].unique().tolist() == ["every trial has the same Score"]
    params = search(12).assign(fixed=1.0, newer=[math.nan] * 6 + [1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
    found = importance(params, np.arange(12.0)).set_index("parameter")
    assert found.loc[["fixed", "newer"], "importance"].isna().all()
    assert (found.loc[["fixed", "newer"], "reason"] == "one value only, or not tried in every trial").all()
    assert found.loc[["optim.lr", "loss.class_weights"], "importance"].notna().all()


def test_a_single_parameter_has_nothing_to_be_compared_with() -> None:
    found = importance(search(12)[["optim.lr"]], np.random.default_rng(4).normal(size=12))
    assert found["reason"].item() == "nothing else was varied"
    assert math.isnan(found["importance"].item())
    assert importance(pd.DataFrame(index=range(12)), np.arange(12.0)).empty
