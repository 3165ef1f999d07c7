"""What a choice on the judged patients flatters itself by, where the truth is known."""

from __future__ import annotations

import numpy as np
import pytest

from rsbench.evaluation.optimism import split_half_optimism


def study(epochs: int, patients: int, spread: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Hits of epochs that are all equally good in the long run; patients differ from epoch to epoch by `spread`."""
    generator = np.random.default_rng(seed)
    support = np.zeros((patients, 4), dtype=np.int64)
    support[:, :2] = 40
    rate = 0.5 + spread * generator.uniform(-1, 1, size=(epochs, patients, 2))
    hits = np.zeros((epochs, patients, 5), dtype=np.int64)
    hits[..., :2] = generator.binomial(40, rate)
    return hits, support


def test_epochs_that_are_equally_good_owe_all_to_the_choice() -> None:
    """The other half says what they are worth: 50."""
    found = [split_half_optimism(*study(50, 20, 0.3, seed)) for seed in range(10)]
    assert np.mean([one.other_half for one in found]) == pytest.approx(50, abs=1.5)
    assert min(one.points for one in found) > 2
    assert all(one.points == pytest.approx(one.chosen_on - one.other_half) for one in found)


def test_one_epoch_leaves_nothing_to_choose() -> None:
    hits, support = study(1, 400, 0.3)
    assert split_half_optimism(hits, support).points == pytest.approx(0, abs=0.3)


def test_an_epoch_that_is_truly_better_is_no_optimism() -> None:
    hits, support = study(20, 200, 0.0)
    hits[7, :, :2] = 36  # 90 %, whoever judges
    found = split_half_optimism(hits, support)
    assert (found.chosen_on, found.other_half) == pytest.approx((90, 90))


def test_the_same_choice_counted_a_division_at_a_time() -> None:
    hits, support = study(5, 6, 0.4)
    generator = np.random.default_rng(0)
    order = generator.random((200, 6)).argsort(axis=1).argsort(axis=1)
    there, elsewhere = [], []
    for places in order:
        half, other = np.flatnonzero(places < 3), np.flatnonzero(places >= 3)

        def score(epoch: int, chosen: np.ndarray) -> float:
            return 50 * sum(hits[epoch, chosen, kind].sum() / support[chosen, kind].sum() for kind in (0, 1))

        best = max(range(5), key=lambda epoch: score(epoch, half))
        there.append(score(best, half))
        elsewhere.append(score(best, other))
    found = split_half_optimism(hits, support)
    assert (found.chosen_on, found.other_half) == pytest.approx((np.mean(there), np.mean(elsewhere)))


def test_without_both_kinds_on_both_sides_nothing_is_known() -> None:
    hits, support = study(3, 8, 0.2)
    support[1:, 1], hits[:, 1:, 1] = 0, 0  # one patient has all abnormal clips
    assert np.isnan(split_half_optimism(hits, support).points)
