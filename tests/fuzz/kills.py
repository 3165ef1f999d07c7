"""Death in the process: from the k-th call that changes the disk on, nothing reaches it any more."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

CHANGES = ("fsync", "replace", "rename", "unlink", "mkdir", "rmdir")  # of `os`; what pathlib and shutil call


class Killed(BaseException):
    """In the place of kill -9. Whoever cleans up after it changes nothing either."""


@contextmanager
def counted(on_call: Callable[[int], None]) -> Iterator[None]:
    """`on_call` is told of every call that changes the disk before it is made, from 1."""
    calls = 0

    def counting(call: Callable[..., Any]) -> Callable[..., Any]:
        def replacement(*arguments: Any, **options: Any) -> Any:
            nonlocal calls
            calls += 1
            on_call(calls)
            return call(*arguments, **options)

        return replacement

    with pytest.MonkeyPatch.context() as patched:
        for name in CHANGES:
            patched.setattr(os, name, counting(getattr(os, name)))
        yield


def killed_at(action: Callable[[], Any], call: int) -> bool:
    """Run `action`, dying at its `call`-th change of the disk; False where it ended before."""

    def die(number: int) -> None:
        if number >= call:
            raise Killed

    try:
        with counted(die):
            action()
    except Killed:
        return True
    return False


def calls_of(action: Callable[[], Any]) -> int:
    """How often `action` changes the disk."""
    numbers = [0]
    with counted(numbers.append):
        action()
    return numbers[-1]


def leftovers(folder: Path) -> list[Path]:
    """What no command leaves behind that comes to its end."""
    patterns = (".*.tmp", "*.unfinished", "*resume.pt", "fold-*")
    return [path for pattern in patterns for path in folder.rglob(pattern)]
