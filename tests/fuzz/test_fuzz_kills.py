"""Killed at any call that changes the disk, and started again: the same bits, and nothing is left over."""

from __future__ import annotations

import itertools
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from kills import calls_of, killed_at, leftovers
from tiny import CLIP_S, TINY_PLUGIN, run_tiny

from rsbench.data.folder import read_folder
from rsbench.data.waveforms import prepare
from rsbench.experiment.context import make_context
from rsbench.experiment.embed import prepare_embedding, run_embedding

Generators = Iterator[random.Random]
FOLDED = {"loss": "stochastic", "select": "cv-refit", "validation__folds": 2, "validation__fraction": 0, "epochs": 2}


def killed_and_started_again(
    action: Callable[[], Any], folder: Path, outcome: Callable[[], Any], generators: Generators
) -> None:
    """Each time in an empty folder, with up to three kills before it may end."""
    calls = calls_of(action)
    whole = outcome()
    for generator in generators:
        shutil.rmtree(folder)
        for _ in range(generator.choice((1, 1, 2, 3))):
            killed_at(action, generator.randint(1, calls))
        action()
        assert outcome() == whole
        assert leftovers(folder) == []


def test_decoding_recordings(tiny_root: Path, cache: Path, generators: Generators) -> None:
    table = read_folder(tiny_root / "far", "far")

    def outcome() -> bytes:
        return prepare(table, 4000).samples.tobytes()

    killed_and_started_again(lambda: prepare(table, 4000), cache, outcome, itertools.islice(generators, 0, None, 10))


def test_embed(tiny_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, generators: Generators) -> None:
    monkeypatch.setattr("rsbench.experiment.embed.PIECE", 24)
    out = tmp_path / "embedded" / "tiny.parquet"

    def embed() -> None:
        context = make_context(tiny_root, out.parent, threads=1, quiet=True)
        settings = {"backbone": "tiny", "clip_s": CLIP_S}
        run_embedding(prepare_embedding(settings, ["tiny", "far"], out, context, [TINY_PLUGIN]), context)

    killed_and_started_again(embed, out.parent, out.read_bytes, itertools.islice(generators, 0, None, 40))


def test_cv_refit(tiny_root: Path, tmp_path: Path, generators: Generators) -> None:
    out = tmp_path / "results"

    def outcome() -> str:
        (path,) = out.glob("runs/*")
        tables = [path / "folds.csv", path / "epochs.csv"]
        text = [pd.read_csv(table).drop(columns="seconds", errors="ignore").to_csv() for table in tables]
        predictions = [pd.read_parquet(table).to_csv() for table in sorted(path.glob("predictions/*"))]
        return "".join([*text, *predictions, (path / "metrics.json").read_text()])

    folded = lambda: run_tiny(tiny_root, out, **FOLDED)  # noqa: E731
    killed_and_started_again(folded, out, outcome, itertools.islice(generators, 0, None, 200))
