"""What a plan says that boards of a study will be able to show."""

from __future__ import annotations

import pytest

from rsbench.sweep.plan import Power


@pytest.mark.parametrize(
    ("power", "said"),
    [
        (Power(30.0, 10, 0, None, 0), "one loss, so that there is nothing to compare"),
        (Power(6.6, 10, 5, None, 0), "no verdict: 6.6 effective patients, and it takes 15"),
        (Power(30.0, 5, 5, None, 0), "no verdict: 5 seeds, and it takes 8"),
        (
            Power(18.7, 10, 5, 6.2, 0),
            "10 seeds and 18.7 effective patients can show differences of about 6.2 points of Score among 6 methods "
            "(as such runs typically differ)",
        ),
        (
            Power(18.7, 8, 1, 4.0, 16),
            "8 seeds and 18.7 effective patients can show differences of about 4.0 points of Score among 2 methods (as "
            "16 finished runs here differ)",
        ),
    ],
)
def test_it_is_one_sentence(power: Power, said: str) -> None:
    assert power.in_words() == said
