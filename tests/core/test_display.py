"""Where there is no terminal to redraw: a line now and then, and how long it takes once that can be told."""

from __future__ import annotations

import itertools

import pytest

from rsbench.core import display
from rsbench.core.display import Display


@pytest.mark.parametrize(
    ("total", "told_from"), [(4, 1), (40, 2), (140, 7), (10_000, 10)], ids=["few", "some", "many", "thousands"]
)
def test_how_long_it_takes_is_told_once_the_pace_is_known(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], total: int, told_from: int
) -> None:
    """Of steps of 20 s each, the first of which took ten minutes: other processes had to start."""
    times = itertools.chain([0, 600], itertools.count(620, 20))
    monkeypatch.setattr(display.time, "monotonic", lambda: float(next(times)))
    with Display().track("reading", total) as advance:
        for _ in range(min(total, 12)):
            advance(1, "")
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == min(total, 12)
    assert [number for number, line in enumerate(lines, 1) if "left" in line] == list(range(told_from, len(lines) + 1))
    seconds = 600 + 20 * (told_from - 1)
    assert lines[told_from - 1] == (
        f"reading: {told_from} of {total}, about {display.duration(seconds / told_from * (total - told_from))} left"
    )
