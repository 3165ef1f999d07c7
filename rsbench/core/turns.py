"""Work that can pause: generators that yield how far they are, so that several go on in step."""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterator, Mapping
from typing import Any, TypeVar

Key = TypeVar("Key")
Result = TypeVar("Result")
Failure = TypeVar("Failure", bound=Exception)


def finished(work: Generator[Any, None, Result]) -> Result:
    """What comes of it, without a pause."""
    while True:
        try:
            next(work)
        except StopIteration as end:
            result: Result = end.value
            return result


def in_step(
    works: Mapping[Key, Generator[int, None, Result]], failure: type[Failure]
) -> Iterator[tuple[Key, Result | Failure]]:
    """Every work a turn, those that are furthest behind first; yields what came of each as it ends.

    Args:
        works: each yields the number of the turn that it takes next; one that begins anew counts on.
        failure: an error of this kind is what came of the work that raises it, and the others go on. Any other ends
            all: the others are closed where they stand, as they are when nobody asks for the next result.
    """
    with contextlib.ExitStack() as closing:
        for work in works.values():
            closing.enter_context(contextlib.closing(work))
        turns = dict.fromkeys(works, -1)
        while turns:
            behind = min(turns.values())
            for key in [key for key, turn in turns.items() if turn == behind]:
                try:
                    turns[key] = max(behind + 1, next(works[key]))
                except StopIteration as end:
                    del turns[key]
                    yield key, end.value
                except failure as error:
                    del turns[key]
                    yield key, error
