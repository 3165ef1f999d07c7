"""The plugins that the documentation shows, as it shows them, and recordings in the layout of its page."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile
from documents import blocks
from tiny import CLIP_S, PROJECT, RATE

PAGES = "".join(
    (PROJECT / "docs" / page).read_text(encoding="utf-8")
    for page in ("backbone.md", "dataset.md", "tasks.md", "observers.md")
)
WORDS = ("N", "E W", "C", "I C E W", "N", "Crep", "I E W", "Bronchial", "I C", "N", "I C B", "I C E W")
DIAGNOSES = ("N", "Asthma", "heart failure", "Asthma and lung fibrosis", "Lung Fibrosis")
LOCATIONS = ("P L L R", "P R L ", "A U R")  # some names of the data set do have that space


def documented(file: str) -> str:
    """The Python example of this name."""
    (found,) = (block.code for block in blocks(PAGES, "python") if block.title == file)
    return found


def documented_command(word: str) -> list[str]:
    """The words of the one command that holds `word`."""
    (found,) = re.findall(rf"^rsbench (.*{word}.*)$", PAGES, flags=re.MULTILINE)
    return str(found).split()


def write_ward(folder: Path, patients: int = 24) -> pd.DataFrame:
    """Recordings of about a second, three a patient, named as the page has them; returns what is in the names."""
    generator = np.random.default_rng(0)
    folder.mkdir(parents=True)
    rows = []
    for patient in range(1, patients + 1):
        word, location = WORDS[patient % len(WORDS)], LOCATIONS[patient % len(LOCATIONS)]
        diagnosis = DIAGNOSES[patient % len(DIAGNOSES)]
        for filter_letter in "BDE":
            path = f"{filter_letter}P{patient}_{diagnosis},{word},{location},{30 + patient},{'MF'[patient % 2]}.wav"
            soundfile.write(folder / path, generator.uniform(-0.5, 0.5, round(2 * CLIP_S * RATE) + patient), RATE)
            subset = "test" if patient % 5 == 0 else "train"
            rows.append((path, filter_letter, str(patient), word, location.strip(), subset))
    return pd.DataFrame(rows, columns=["path", "device", "patient", "label", "location", "subset"])
