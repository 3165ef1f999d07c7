"""A training that is interrupted when so many states are on disk."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from rsbench.training.checkpoint import Checkpoints


@pytest.fixture
def interrupted_after(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Run something until a number of states have been written."""

    def call(action: Callable[[], Any], states: int) -> None:
        save, saved = Checkpoints.save, 0

        def interrupt(checkpoints: Checkpoints, *arguments: Any) -> None:
            nonlocal saved
            checkpoints.every_s = 0
            save(checkpoints, *arguments)
            saved += 1
            if saved == states:
                raise KeyboardInterrupt

        with monkeypatch.context() as patched:
            patched.setattr(Checkpoints, "save", interrupt)
            with pytest.raises(KeyboardInterrupt):
                action()

    return call
