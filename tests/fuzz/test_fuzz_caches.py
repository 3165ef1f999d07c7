"""Files of caches and of half-done runs, damaged at random: the same bits as without damage, or one message."""

from __future__ import annotations

import itertools
import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from kills import calls_of, killed_at
from mutations import mutated, teaches
from tiny import CLIP_S, TINY_PLUGIN, run_tiny

from rsbench.data import hashing
from rsbench.data.folder import read_folder
from rsbench.data.waveforms import prepare
from rsbench.experiment.context import make_context
from rsbench.experiment.embed import prepare_embedding, run_embedding

Generators = Iterator[random.Random]
KEPT_SETTINGS = {"loss": "stochastic", "select": "val,oracle", "epochs": 2}


def damage_one(folder: Path, generator: random.Random) -> Path:
    """A file of the folder, mutated."""
    path = generator.choice([path for path in sorted(folder.rglob("*")) if path.is_file() and path.suffix != ".lock"])
    path.write_bytes(mutated(path.read_bytes(), generator))
    return path


def test_damaged_caches_change_nothing(
    tiny_root: Path, cache: Path, generators: Generators, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hashing, "SETTLED_NS", -1)
    table = read_folder(tiny_root / "far", "far")
    whole = prepare(table, 4000)
    samples, about = whole.samples.tobytes(), whole.sketch.to_csv()
    for generator in itertools.islice(generators, 0, None, 5):
        print(damage_one(cache, generator))
        found = prepare(table, 4000)
        assert (found.samples.tobytes(), found.sketch.to_csv(), found.bytes_id) == (samples, about, whole.bytes_id)


def test_damaged_pieces_of_embeddings_change_nothing(
    tiny_root: Path, tmp_path: Path, generators: Generators, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rsbench.experiment.embed.PIECE", 16)
    out = tmp_path / "embedded" / "far.parquet"
    context = make_context(tiny_root, out.parent, threads=1, quiet=True)
    job = prepare_embedding({"backbone": "tiny", "clip_s": CLIP_S}, ["far"], out, context, [TINY_PLUGIN])
    calls = calls_of(lambda: run_embedding(job, context))
    whole = out.read_bytes()
    for generator in itertools.islice(generators, 0, None, 10):
        out.unlink()
        killed_at(lambda: run_embedding(job, context), generator.randint(8, calls - 5))
        if not out.exists():
            print(damage_one(out.parent, generator))
        run_embedding(job, context)
        assert out.read_bytes() == whole


def outcome(run: Any) -> str:
    epochs = pd.read_csv(run.path / "epochs.csv").drop(columns="seconds").to_csv()
    predictions = [run.predictions(name).to_csv() for name in ("tiny", "far")]
    return "".join([epochs, *predictions, (run.path / "metrics.json").read_text()])


def test_damaged_runs_go_on_to_the_same_bits_or_say_what_is_damaged(
    tiny_root: Path, tmp_path: Path, generators: Generators
) -> None:
    out, begun = tmp_path / "results", tmp_path / "begun"
    calls = calls_of(lambda: run_tiny(tiny_root, out, **KEPT_SETTINGS))
    whole = outcome(run_tiny(tiny_root, out, **KEPT_SETTINGS))
    shutil.rmtree(out)
    assert killed_at(lambda: run_tiny(tiny_root, out, **KEPT_SETTINGS), calls * 2 // 3)
    out.rename(begun)
    for generator in itertools.islice(generators, 0, None, 100):
        shutil.copytree(begun, out)
        path = damage_one(out, generator)
        print(path)
        found = []
        message = teaches(lambda: found.append(outcome(run_tiny(tiny_root, out, **KEPT_SETTINGS))))  # noqa: B023
        if message is None:
            assert found == [whole]
        else:
            assert path.name in message
        shutil.rmtree(out)
