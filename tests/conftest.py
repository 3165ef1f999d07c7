"""What every test may ask for: real recordings where they are at hand, a small own data set, a cache of its own."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import soundfile

PROJECT = Path(__file__).resolve().parent.parent
TINY_PLUGIN = str(Path(__file__).with_name("tiny_plugin.py"))
RATE = 4000
CLIP_S = 0.5


@pytest.fixture(scope="session", autouse=True)
def session_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """The tests neither use nor fill the cache of the person who runs them."""
    os.environ["RSBENCH_CACHE"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session")
def real_root() -> Path:
    """The folder of real recordings: RSBENCH_DATA, or shared/data beside the project."""
    root = Path(os.environ.get("RSBENCH_DATA", PROJECT.parent / "shared" / "data"))
    if not (root / "icbhi").is_dir():
        pytest.skip(f"no real recordings at {root}: set RSBENCH_DATA to a folder that holds icbhi/ and sprsound/")
    return root


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder that rsbench uses for the length of the test."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("RSBENCH_CACHE", str(folder))
    return folder


def write_own_dataset(folder: Path, patients: dict[str, int], seed: int = 0, pitch: float = 1.0) -> Path:
    """A bring-your-own data set: `patients` per subset, eight half-second clips each, a tone for each class."""
    generator = np.random.default_rng(seed)
    tones = {"normal": (), "crackle": (1100 * pitch,), "wheeze": (400 * pitch,), "both": (400 * pitch, 1100 * pitch)}
    labels = ["normal"] * 4 + ["crackle", "crackle", "wheeze", "both"]
    time_s = np.arange(int(CLIP_S * RATE)) / RATE
    rows = []
    folder.mkdir(parents=True, exist_ok=True)
    for subset, count in patients.items():
        for patient in range(count):
            name = f"{subset}{patient:02d}.wav"
            clips = [
                0.05 * generator.standard_normal(len(time_s))
                + sum((0.2 * np.sin(2 * np.pi * tone * time_s) for tone in tones[label]), np.zeros_like(time_s))
                for label in labels
            ]
            soundfile.write(folder / name, np.concatenate(clips), RATE)
            for index, label in enumerate(labels):
                start_s = index * CLIP_S
                rows.append((name, start_s, start_s + CLIP_S, label, f"{subset}{patient:02d}", "steth", subset))
    columns = ["path", "start_s", "end_s", "label", "patient", "device", "subset"]
    pd.DataFrame(rows, columns=columns).to_csv(folder / "clips.csv", index=False)
    return folder


@pytest.fixture(scope="session")
def tiny_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root with two own data sets: `tiny` (10 patients to train on, 4 to test) and `far` (test only)."""
    root = tmp_path_factory.mktemp("recordings")
    write_own_dataset(root / "tiny", {"train": 10, "test": 4})
    write_own_dataset(root / "far", {"test": 5}, seed=1, pitch=0.8)
    return root


@dataclass(frozen=True)
class Outcome:
    """What a command left behind."""

    code: int
    out: str
    err: str


Cli = Callable[..., Outcome]


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    """Run the command line in this process: `cli("run", "--loss", "ce") -> Outcome`."""
    from rsbench.cli import main

    def call(*arguments: str | Path) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["rsbench", *map(str, arguments)])
        monkeypatch.setenv("COLUMNS", "200")
        capsys.readouterr()
        code: Any = 0
        try:
            main()
        except SystemExit as stop:
            code = stop.code
        captured = capsys.readouterr()
        return Outcome(int(code or 0), captured.out, captured.err)

    return call


def tiny_settings(**changes: Any) -> dict[str, Any]:
    """The spec of a run that takes a second: `tiny` on the own data set `tiny`, judged on `tiny` and `far`."""
    settings = {"loss": "ce", "backbone": "tiny", "train": "tiny", "test": "tiny,far", "data.clip_s": CLIP_S}
    return settings | {key.replace("__", "."): value for key, value in changes.items()}


def run_tiny(root: Path, out: Path, **changes: Any) -> Any:
    """One such run: `run_tiny(root, out, loss="qlung", optim__epochs=2)` → RunRecord."""
    import rsbench

    settings = tiny_settings(**changes)
    return rsbench.run(settings, plugins=[TINY_PLUGIN], root=root, out=out, threads=1, device="cpu", quiet=True)


@pytest.fixture
def tiny_run(tiny_root: Path, tmp_path: Path) -> Callable[..., Any]:
    """`run_tiny` on the session's recordings, kept under the test's own folder."""

    def call(out: Path = tmp_path / "results", **changes: Any) -> Any:
        return run_tiny(tiny_root, out, **changes)

    return call
