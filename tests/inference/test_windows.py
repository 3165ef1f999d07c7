"""Windows over recordings without annotations."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rsbench.inference.recordings import window_starts

SECONDS = st.floats(0.01, 30).map(lambda value: round(value, 2))


@given(length_s=st.floats(0.01, 200), clip_s=SECONDS, hop_s=SECONDS)
def test_windows_leave_out_no_more_than_the_hop_asks_for(length_s: float, clip_s: float, hop_s: float) -> None:
    starts = window_starts(length_s, clip_s, hop_s)
    steps = [later - earlier for earlier, later in itertools.pairwise(starts)]
    assert starts[0] == 0
    assert all(0 < step <= hop_s + 1e-9 for step in steps)
    if length_s <= clip_s:
        assert starts == [0]
    else:
        assert length_s - 0.0101 <= starts[-1] + clip_s <= length_s + 1e-9


@pytest.mark.parametrize(
    ("length_s", "clip_s", "hop_s", "starts"),
    [
        (16, 8, 8, [0, 8]),
        (20, 8, 8, [0, 8, 12]),
        (20, 8, 5, [0, 5, 10, 12]),
        (3, 8, 8, [0]),
        (8, 8, 8, [0]),
        (20.005, 8, 30, [0, 12]),
    ],
)
def test_some_windows(length_s: float, clip_s: float, hop_s: float, starts: list[float]) -> None:
    assert window_starts(length_s, clip_s, hop_s) == starts
