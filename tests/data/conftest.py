"""Small layouts of each data set, and recordings to put in them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
import soundfile

ICBHI_NAMES = ("101_1b1_Al_sc_Meditron", "103_2b2_Ar_mc_LittC2SE", "226_1b1_Pl_sc_LittC2SE")


@pytest.fixture
def record() -> Callable[..., Path]:
    """Write a recording of noise: `record(path, seconds=2.0, rate=4000, seed=0, subtype="PCM_16")`."""

    def write(path: Path, seconds: float = 2.0, rate: int = 4000, seed: int = 0, subtype: str = "PCM_16") -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        samples = np.random.default_rng(seed).uniform(-0.5, 0.5, round(seconds * rate))
        soundfile.write(path, samples, rate, subtype)
        return path

    return write


@pytest.fixture
def icbhi(tmp_path: Path, record: Callable[..., Path]) -> Path:
    """Three recordings of four, two cycles each, in the official layout; the list has its alias and CRLF."""
    root = tmp_path / "icbhi"
    for seed, name in enumerate(ICBHI_NAMES):
        record(root / "ICBHI_final_database" / f"{name}.wav", seed=seed)
        cycles = "0.1\t0.9\t0\t0\r\n0.9\t1.8\t1\t1\r\n"
        (root / "ICBHI_final_database" / f"{name}.txt").write_text(cycles, newline="")
    lines = [
        "101_1b1_Al_sc_Meditron\ttest",
        "103_2b2_Ar_mc_LittC2SE\ttrain",
        "226_1b1_Pl_sc_Meditron\ttrain",
        "107_2b3_Tc_mc_AKGC417L\ttrain",
    ]
    (root / "ICBHI_challenge_train_test.txt").write_text("\r\n".join([*lines, ""]), newline="")
    return root


@pytest.fixture
def sprsound(tmp_path: Path) -> Callable[..., Path]:
    """Build a layout: `sprsound({"train2022": {name: annotation}, …}, old=False)`; audio files are mere names."""

    def build(subsets: Mapping[str, Mapping[str, Mapping]], *, old: bool = False) -> Path:
        root = tmp_path / "sprsound"
        classification = root / "Classification"
        train, test = (
            (classification / "train_classification_{}/2022", classification / "valid_classification_{}/2022")
            if old
            else (root / "BioCAS2022/train2022_{}", root / "BioCAS2022/test2022_{}")
        )
        for subset, recordings in subsets.items():
            folder = str(train if subset == "train2022" else test)
            below = "" if subset == "train2022" else f"{subset.removesuffix('2022')}_test_json"
            for name, annotation in recordings.items():
                put(Path(folder.format("json")) / below / f"{name}.json", json.dumps(annotation))
                put(Path(folder.format("wav")) / f"{name}.wav", "")
        return root

    return build


@pytest.fixture
def own(tmp_path: Path, record: Callable[..., Path]) -> Callable[[Sequence[str]], Path]:
    """A folder of one's own: `own(lines)` writes them as its clips.csv; it holds a.wav and sub/b.flac."""

    def build(lines: Sequence[str]) -> Path:
        root = tmp_path / "mine"
        record(root / "a.wav")
        record(root / "sub" / "b.flac", seed=1)
        put(root / "clips.csv", "\n".join([*lines, ""]))
        return root

    return build


def put(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
