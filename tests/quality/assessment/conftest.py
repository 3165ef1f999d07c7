"""A ward: patients whose recordings are good or poor, indices that know what they know, and runs on it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
from tiny import run_tiny

RATE = 4000
CLIP_S = 0.5
PATIENTS = {"train": 8, "test": 6}
WORDS = {"sick": ["normal", "crackle", "wheeze", "both"], "well": ["normal"] * 4}

# `spotless` is the truth: poor recordings are those whose samples reach full scale. `hiss` hears white noise, `coin`
# nothing at all; `insider` is `spotless`, fitted on the ward's training patients, and `forgetful` does not say on whom.
INDICES = """
import zlib

import numpy as np

from rsbench import QualityIndex, register_quality


@register_quality("spotless", summary="no sample near full scale")
def spotless(samples, rate):
    return -float(np.abs(samples).max())


@register_quality("hiss", summary="how little changes from sample to sample")
def hiss(samples, rate, *, power: float = 1.0):
    return -float(np.std(np.diff(samples)) / (np.std(samples) + 1e-9)) ** power if len(samples) > 1 else 0.0


@register_quality("coin", summary="no more than chance")
def coin(samples, rate):
    return zlib.crc32(samples.tobytes()) / 2**32


class Insider(QualityIndex):
    fitted_on = ("ward",)

    def measure(self, samples, rate):
        return (spotless(samples, rate),)


@register_quality("insider", summary="fitted on whom it knows")
class Known(Insider):
    seen = {"ward": frozenset(f"train{number}" for number in range(8))}


@register_quality("forgetful", summary="fitted on somebody")
class Forgetful(Insider):
    pass
"""


def write_ward(folder: Path) -> None:
    """Two recordings of four half-second clips per patient, one of them poor; every other patient is well."""
    generator = np.random.default_rng(0)
    time_s = np.arange(int(CLIP_S * RATE)) / RATE
    tones = {"normal": 150, "crackle": 700, "wheeze": 300, "both": 500}
    rows = []
    folder.mkdir(parents=True)
    for subset, count in PATIENTS.items():
        for number in range(count):
            words = WORDS["sick" if number % 2 else "well"]
            for label in ("Normal", "Poor Quality"):
                name = f"{subset}{number}_{label[0]}.wav"
                sound = [np.sin(2 * np.pi * tones[word] * time_s) for word in words]
                samples = 0.2 * np.concatenate(sound) + 0.01 * generator.standard_normal(4 * len(time_s))
                if label != "Normal":
                    samples[:: len(time_s) // 2] = 0.99  # a knock in every clip
                soundfile.write(folder / name, samples, RATE)
                for index, word in enumerate(words):
                    known = (f"{subset}{number}", f"device{number % 2}", "Tc", subset, label)
                    rows.append((name, index * CLIP_S, (index + 1) * CLIP_S, word, *known))
    columns = ["path", "start_s", "end_s", "label", "patient", "device", "location", "subset", "record_label"]
    pd.DataFrame(rows, columns=columns).to_csv(folder / "clips.csv", index=False)


@pytest.fixture(scope="session")
def ward(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root that holds the data set `ward`, and beside it indices.py, a plugin."""
    root = tmp_path_factory.mktemp("hospital")
    write_ward(root / "ward")
    (root / "indices.py").write_text(INDICES)
    return root


@pytest.fixture(scope="session")
def ward_runs(ward: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A results folder with two runs on the ward. To be read only."""
    out = tmp_path_factory.mktemp("ward") / "results"
    for seed in (0, 1):
        run_tiny(ward, out, train="ward", test="ward", seed=seed, epochs=1)
    return out
