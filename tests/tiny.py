"""A data set, a spec and a run that take a second: what the tests of the whole chain work with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import soundfile

if TYPE_CHECKING:
    from rsbench.data.splits import Split

PROJECT = Path(__file__).resolve().parent.parent
TINY_PLUGIN = str(Path(__file__).with_name("tiny_plugin.py"))
OBSERVING_PLUGIN = str(Path(__file__).with_name("observing_plugin.py"))
RATE = 4000
CLIP_S = 0.5


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


def tiny_settings(**changes: Any) -> dict[str, Any]:
    """The spec of a run that takes a second: `tiny` on the own data set `tiny`, judged on `tiny` and `far`."""
    settings = {"loss": "ce", "backbone": "tiny", "train": "tiny", "test": "tiny,far", "data.clip_s": CLIP_S}
    return settings | {key.replace("__", "."): value for key, value in changes.items()}


def run_tiny(root: Path, out: Path, **changes: Any) -> Any:
    """One such run: `run_tiny(root, out, loss="qlung", optim__epochs=2)` → Run."""
    import rsbench

    settings = tiny_settings(**changes)
    return rsbench.run(settings, plugins=[TINY_PLUGIN], root=root, results=out, threads=1, device="cpu", quiet=True)


@dataclass(frozen=True)
class Outcome:
    """What a command left behind."""

    code: int
    out: str
    err: str


Cli = Callable[..., Outcome]
BringSplit = Callable[["Split"], None]
