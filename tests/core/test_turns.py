"""Work in step: turns go to those that are behind, one's failure stops nobody else, anything worse closes all."""

from __future__ import annotations

from collections.abc import Generator

import pytest

from rsbench.core.turns import finished, in_step


def counting(name: str, log: list[str], first: int, last: int, error: BaseException | None = None) -> Generator[int]:
    try:
        for turn in range(first, last):
            yield turn
            log.append(f"{name}{turn}")
        if error:
            raise error
        return name.upper()
    except GeneratorExit:
        log.append(f"{name} closed")
        raise


def test_to_the_end_without_a_pause() -> None:
    log: list[str] = []
    assert finished(counting("a", log, 0, 3)) == "A"
    assert log == ["a0", "a1", "a2"]


def test_turns_go_round_and_one_that_is_behind_catches_up_first() -> None:
    log: list[str] = []
    works = {"a": counting("a", log, 2, 4), "b": counting("b", log, 0, 4), "c": counting("c", log, 0, 3)}
    assert dict(in_step(works, LookupError)) == {"a": "A", "b": "B", "c": "C"}
    assert log == ["b0", "c0", "b1", "c1", "a2", "b2", "c2", "a3", "b3"]


def test_one_that_begins_anew_counts_on() -> None:
    log: list[str] = []

    def folds() -> Generator[int]:
        yield from counting("x", log, 0, 2)
        yield from counting("y", log, 0, 2)

    dict(in_step({"a": folds(), "b": folds()}, LookupError))
    assert log == ["x0", "x0", "x1", "x1", "y0", "y0", "y1", "y1"]


def test_a_failure_of_one_leaves_the_others() -> None:
    log: list[str] = []
    error = KeyError("broken")
    works = {"a": counting("a", log, 0, 1, error), "b": counting("b", log, 0, 3)}
    assert list(in_step(works, LookupError)) == [("a", error), ("b", "B")]


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError("full")])
def test_anything_else_closes_all(error: BaseException) -> None:
    log: list[str] = []
    works = {"a": counting("a", log, 0, 1, error), "b": counting("b", log, 0, 3)}
    with pytest.raises(type(error)):
        list(in_step(works, LookupError))
    assert log == ["a0", "b closed"]
