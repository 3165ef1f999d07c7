"""The embedded data set: made-up patients, so that everything runs before any recording is at hand.

Two domains. `synthetic` has a train and a test part with other patients; `synthetic-shift` is a test set only, of
children heard through other devices, at another rate, in other noise, with another mix of classes. What is generated
is real audio files with annotations, seeded, once per cache folder.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile

from ..core.cache import build_once
from ..core.seeds import derive
from . import synthesis
from .clips import CLIP_COLUMNS, FOUR_WORDS, RECORDING_COLUMNS, ClipTable
from .datasets import register_dataset
from .splits import Split
from .synthesis import Chest, Device, Samples, Span

VERSION = 2  # raise it with every change of a sound: it names the folder
SEED = 20261122
LOCATIONS = ("Tc", "Al", "Ar", "Pl", "Pr", "Ll", "Lr")
RECORDINGS_PER_PATIENT = 2

# What ails a patient decides how often each of FOUR_WORDS is heard.
CONDITIONS = {
    "healthy": (1.00, 0.00, 0.00, 0.00),
    "fibrosis": (0.35, 0.60, 0.01, 0.04),
    "asthma": (0.35, 0.05, 0.52, 0.08),
    "copd": (0.22, 0.25, 0.20, 0.33),
}


@dataclass(frozen=True)
class Domain:
    """A population, its stethoscopes and its rooms.

    patients: how many, per subset. conditions: share of the patients with each of CONDITIONS, in their order.
    The ranges are of uniform draws: those of `Chest` per patient, levels against breath (dB) per patient, noise
    (signal over noise, dB) per recording.
    """

    name: str
    rate: int
    patients: dict[str, int]
    conditions: tuple[float, float, float, float]
    devices: tuple[Device, ...]
    period_s: Span
    breath_hz: Span
    crackle_pitch: Span
    wheeze_hz: Span
    heart_hz: Span
    crackle_db: Span
    wheeze_db: Span
    snr_db: Span
    noise_hz: Span
    hum_hz: float
    clipped_share: float


ADULTS = Domain(
    name="synthetic",
    rate=10_000,
    patients={"train": 40, "test": 30},
    conditions=(0.30, 0.38, 0.20, 0.12),
    devices=(
        Device("contact", (60, 2500), 400, 3),
        Device("bell", (30, 1200), 150, 6),
        Device("diaphragm", (90, 1800), 600, 4),
    ),
    period_s=(1.6, 2.8),
    breath_hz=(250, 550),
    crackle_pitch=(0.85, 1.15),
    wheeze_hz=(180, 500),
    heart_hz=(1.0, 1.5),
    crackle_db=(20, 28),
    wheeze_db=(8, 16),
    snr_db=(15, 40),
    noise_hz=(100, 800),
    hum_hz=50,
    clipped_share=0.08,
)

CHILDREN = Domain(
    name="synthetic-shift",
    rate=8_000,
    patients={"test": 30},
    conditions=(0.50, 0.18, 0.20, 0.12),
    devices=(Device("electronic", (120, 1000), 800, 8), Device("paediatric", (40, 900), 250, 8)),
    period_s=(1.2, 1.9),
    breath_hz=(350, 700),
    crackle_pitch=(0.95, 1.35),
    wheeze_hz=(280, 700),
    heart_hz=(1.6, 2.3),
    crackle_db=(18, 26),
    wheeze_db=(5, 14),
    snr_db=(12, 30),
    noise_hz=(300, 1200),
    hum_hz=60,
    clipped_share=0.15,
)

# Short clips, a long hop, few epochs: a run takes a minute or two on two cores. Small batches and narrow masks let
# so few steps suffice.
DEFAULTS = {
    "data.test": ("synthetic", "synthetic-shift"),
    "data.clip_s": 2.0,
    "frontend.hop_ms": 32.0,
    "optim.epochs": 8,
    "optim.batch_size": 16,
    "augment.freq_share": 0.1,
    "augment.time_share": 0.1,
}


@register_dataset(
    "synthetic",
    summary="embedded: 70 made-up adults, train and test parts",
    defaults=DEFAULTS,
    splits=[Split("synthetic", 1, "synthetic", "Generated recordings.", ("train",), ("test",))],
)
def read_synthetic(root: Path) -> ClipTable:
    """The in-distribution domain, generated under `root` on first use."""
    return _read(ADULTS, root)


@register_dataset(
    "synthetic-shift",
    summary="embedded: 30 made-up children, other devices and noise; test only",
    splits=[Split("synthetic-shift", 1, "synthetic-shift", "Generated, another domain.", (), ("test",))],
)
def read_synthetic_shift(root: Path) -> ClipTable:
    """The shifted domain, generated under `root` on first use."""
    return _read(CHILDREN, root)


def _read(domain: Domain, root: Path) -> ClipTable:
    folder = build_once(root / f"{domain.name}-v{VERSION}", lambda empty: _generate(domain, empty))
    clips = pd.read_csv(folder / "clips.csv", dtype={"patient": str})
    recordings = pd.read_csv(folder / "recordings.csv", dtype={"patient": str}, keep_default_na=False)
    recordings["path"] = [str(folder / path) for path in recordings["path"]]
    return ClipTable(domain.name, clips, recordings, synthetic=True)


def _generate(domain: Domain, folder: Path) -> None:
    """Fill an empty folder with a FLAC file per recording, `clips.csv` and `recordings.csv`."""
    clips: list[dict[str, object]] = []
    recordings: list[dict[str, object]] = []
    for patient in _patients(domain):
        for index in range(RECORDINGS_PER_PATIENT):
            rng = np.random.default_rng(derive(SEED, domain.name, patient.name, index))
            common = {
                "recording": f"{patient.name}_{index}",
                "patient": patient.name,
                "device": patient.device.name,
                "location": str(rng.choice(LOCATIONS)),
                "subset": patient.subset,
            }
            samples, cycles = _record(rng, domain, patient)
            file = f"{common['recording']}.flac"
            soundfile.write(folder / file, samples, domain.rate, subtype="PCM_16")
            recordings.append({**common, "path": file, "record_label": ""})
            clips += [
                {
                    **common,
                    "clip_id": f"{common['recording']}:{number}",
                    "start_s": start / domain.rate,
                    "end_s": end / domain.rate,
                    "label": label,
                }
                for number, (start, end, label) in enumerate(cycles)
            ]
    pd.DataFrame(clips)[list(CLIP_COLUMNS)].to_csv(folder / "clips.csv", index=False)
    pd.DataFrame(recordings)[list(RECORDING_COLUMNS)].to_csv(folder / "recordings.csv", index=False)


@dataclass(frozen=True)
class Patient:
    """Who breathes, how ill, and who listens. Levels are amplitudes against breath."""

    name: str
    subset: str
    class_shares: tuple[float, ...]
    chest: Chest
    device: Device
    crackle_level: float
    wheeze_level: float


def _patients(domain: Domain) -> Iterator[Patient]:
    for subset, count in domain.patients.items():
        # Conditions are dealt out in their shares, not drawn: few patients would stray far from them.
        deal = (np.arange(count) + 0.5) / count
        conditions = np.searchsorted(np.cumsum(domain.conditions[:-1]), deal)
        for index, condition in enumerate(conditions):
            name = f"{subset}{index:03d}"
            rng = np.random.default_rng(derive(SEED, domain.name, name))
            yield Patient(
                name=name,
                subset=subset,
                class_shares=list(CONDITIONS.values())[condition],
                chest=_chest(rng, domain),
                device=domain.devices[rng.integers(len(domain.devices))],
                crackle_level=_amplitude(rng.uniform(*domain.crackle_db)),
                wheeze_level=_amplitude(rng.uniform(*domain.wheeze_db)),
            )


def _chest(rng: np.random.Generator, domain: Domain) -> Chest:
    return Chest(
        period_s=rng.uniform(*domain.period_s),
        inspiration_share=rng.uniform(0.35, 0.5),
        expiration_level=rng.uniform(0.3, 0.8),
        breath_hz=rng.uniform(*domain.breath_hz),
        crackle_pitch=rng.uniform(*domain.crackle_pitch),
        fine_share=rng.uniform(0.1, 0.9),
        wheeze_hz=rng.uniform(*domain.wheeze_hz),
        heart_hz=rng.uniform(*domain.heart_hz),
    )


def _record(rng: np.random.Generator, domain: Domain, patient: Patient) -> tuple[Samples, list[tuple[int, int, str]]]:
    """A recording within ±1, and its cycles as (first sample, one past the last, label)."""
    labels = rng.choice(FOUR_WORDS, size=rng.integers(3, 6), p=patient.class_shares)
    pause = np.zeros(round(rng.uniform(0.1, 0.4) * domain.rate))
    sounds = [pause, *(_cycle(rng, domain, patient, label) for label in labels), pause]
    edges = np.cumsum([len(sound) for sound in sounds])
    samples = _heard(rng, domain, patient, np.concatenate(sounds))
    return samples, [(int(a), int(b), str(label)) for a, b, label in zip(edges[:-2], edges[1:-1], labels, strict=True)]


def _cycle(rng: np.random.Generator, domain: Domain, patient: Patient, label: str) -> Samples:
    sound = synthesis.breath(rng, patient.chest, domain.rate)
    if label in ("crackle", "both"):
        sound += patient.crackle_level * synthesis.crackles(rng, patient.chest, len(sound), domain.rate)
    if label in ("wheeze", "both"):
        sound += patient.wheeze_level * synthesis.wheeze(rng, patient.chest, len(sound), domain.rate)
    return sound


def _heard(rng: np.random.Generator, domain: Domain, patient: Patient, chest: Samples) -> Samples:
    """What the file holds of a chest's sound: heart, handling, device, room, gain, and the recorder's limits."""
    count, rate = len(chest), domain.rate
    chest = chest + rng.uniform(0, 2) * synthesis.heart(rng, patient.chest, count, rate)
    chest += rng.uniform(1, 4) * synthesis.knocks(rng, count, rate, rng.poisson(0.1 * count / rate))
    sound = synthesis.heard_through(patient.device, chest, rate)
    sound /= np.sqrt(np.mean(sound**2))
    room = synthesis.coloured_noise(rng, count, rate, rng.uniform(*domain.noise_hz))
    room += rng.uniform(0, 1) * np.sin(2 * np.pi * domain.hum_hz * np.arange(count) / rate)
    sound += room / _amplitude(rng.uniform(*domain.snr_db))
    clipped = rng.random() < domain.clipped_share
    peak = rng.uniform(1.5, 3) if clipped else _amplitude(rng.uniform(-30, -1))
    return np.clip(sound * peak / np.abs(sound).max(), -1, 1)


def _amplitude(level_db: float) -> float:
    return 10 ** (level_db / 20)
