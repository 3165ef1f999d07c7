"""KAUH: 112 adults, each heard once at one place, and that sound exported through three filters, at 4 kHz.

Fraiwan et al., "A dataset of lung sounds recorded from the chest wall using an electronic stethoscope", Data in Brief
35 (2021). A name says all: `BP47_asthma,E W,P L M,60,M.wav` is filter, patient, diagnosis, sound, site, age and sex.
Tested on generated files in the published layout.
"""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd

from ..core.errors import DataError
from .annotations import frames, read_each, whole_recordings
from .clips import ClipTable
from .datasets import register_dataset
from .layout import recordings_named
from .publication import MENDELEY, Archive, Publication
from .splits import Split

PATIENTS = 112
FILTERS = {"B": "bell", "D": "diaphragm", "E": "extended"}  # letter in the name → subset
DEVICE = "Litt3200"  # as ICBHI calls it
HOLDS = "336 recordings such as BP47_asthma,E W,P L M,60,M.wav, in any folder below"

# What B of "I C B" means is not said: the map four-class-strict leaves it out.
WORDS: dict[str, str | None] = {
    "N": "normal",
    "Crep": "crackle",
    "C": "crackle",
    "I C": "crackle",
    "I C B": "crackle",
    "E W": "wheeze",
    "I E W": "wheeze",
    "I C E W": "both",
    "Bronchial": None,
}
OFFICIAL = pd.DataFrame(
    [(name, PATIENTS, PATIENTS, 35, 23, 7, 1, 2, 39, 2, 2, 1) for name in FILTERS.values()],
    columns=["subset", "recordings", "patients", *WORDS],
)
_NAME = re.compile(
    r"(?P<filter>[BDE])P(?P<patient>[1-9]\d*)_(?P<diagnosis>[^,]+),(?P<label>[^,]+),(?P<location>[^,]+),"
    r"(?P<age>[^,]+),(?P<sex>[^,]+)",
    re.ASCII,
)


def _split(name: str, summary: str, *subsets: str) -> Split:
    return Split(name, 1, "kauh", summary, (), subsets)


PUBLICATION = Publication(
    "https://data.mendeley.com/datasets/jwyy9np4gv/3",
    "CC BY 4.0",
    (Archive(f"{MENDELEY}/jwyy9np4gv-3.zip", "jwyy9np4gv-3.zip"),),
)


@register_dataset(
    "kauh",
    summary=f"KAUH, 112 adults through three filters. {HOLDS}",
    paper="Fraiwan et al., Data in Brief 35, 2021",
    defaults={"data.clip_s": 8.0},
    publication=PUBLICATION,
    splits=[
        _split("kauh", "The extended filter (E), one recording a patient.", "extended"),
        _split("kauh-bell", "The bell filter (B), one recording a patient.", "bell"),
        _split("kauh-diaphragm", "The diaphragm filter (D), one recording a patient.", "diaphragm"),
        _split("kauh-filters", "All three filters: three clips a patient, of one sound.", *FILTERS.values()),
    ],
)
def read_kauh(root: Path) -> ClipTable:
    """Read the recordings of one folder at or below `root`; a clip is a whole recording."""
    files = recordings_named(root, _NAME, HOLDS)
    rows = read_each(_read_name, files)
    first: dict[tuple[str, str], dict] = {}
    for row in rows:
        other = first.setdefault((row["subset"], row["patient"]), row)
        if other is not row:
            raise DataError(
                f"{other['path']} and {row['path']}: one patient through one filter twice. Keep one of them."
            )
    missing = [
        f"{letter}P{patient}_…"
        for letter, subset in FILTERS.items()
        for patient in range(1, PATIENTS + 1)
        if (subset, str(patient)) not in first
    ]
    return ClipTable("kauh", *frames(whole_recordings(rows), rows), OFFICIAL, tuple(missing), words=WORDS)


def _read_name(path: Path) -> dict:
    """The recording's row, with its label."""
    parts = _NAME.fullmatch(path.stem)
    if parts is None:
        raise DataError(
            f"{path}: the name is not FILTER+PATIENT_diagnosis,sound,site,age,sex, such as "
            "BP47_asthma,E W,P L M,60,M. Put it right, or remove the file."
        )
    label = " ".join(parts["label"].split())
    if label not in WORDS:
        raise DataError(f"{path}, sound: unknown sound '{label}'. Known: {', '.join(WORDS)}.")
    return {
        "recording": path.stem,
        "path": str(path),
        "patient": parts["patient"],
        "device": DEVICE,
        "location": " ".join(parts["location"].split()),  # some end in a blank
        "subset": FILTERS[parts["filter"]],
        "record_label": " ".join(parts["diagnosis"].casefold().split()),
        "label": label,
    }
