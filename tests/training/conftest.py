"""Given embeddings; and a training that is interrupted when so many states are on disk."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from rsbench.training.checkpoint import Checkpoints


@pytest.fixture(scope="session")
def embeddings(tiny_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three views of every clip of the data set `tiny`, as another program writes them."""
    clips = pd.read_csv(tiny_root / "tiny" / "clips.csv")
    names = clips["path"].str.removesuffix(".wav") + ":" + clips.groupby("path").cumcount().astype(str)
    frame = pd.DataFrame({"clip_id": np.repeat(names, 3), "view": np.tile(range(3), len(names))})
    frame["embedding"] = list(np.random.default_rng(0).normal(size=(len(frame), 12)))
    path = tmp_path_factory.mktemp("embeddings") / "mine.parquet"
    frame.to_parquet(path)
    return path


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
