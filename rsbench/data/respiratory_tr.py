"""RespiratoryDatabase@TR: 42 patients heard at 12 places each, with a severity of COPD per patient.

Altan et al., "Multimedia respiratory database (RespiratoryDatabase@TR): auscultation sounds and chest X-rays", Natural
and Engineering Sciences 2 (2017). `H045_L5.wav` is patient and channel. Nothing says what is heard in a recording: a
task over patients can be judged on it, and the four classes cannot. Tested on generated files in the published layout.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path

import pandas as pd

from ..core.errors import DataError
from .annotations import Place, frames, read_each, read_table, whole_recordings
from .clips import ClipTable
from .datasets import register_dataset
from .layout import folders_below, recordings_named
from .publication import MENDELEY, Archive, Publication
from .splits import Split

DEVICE = "Litt3200"  # as ICBHI calls it
CHANNELS = tuple(f"{side}{number}" for side in "LR" for number in range(1, 7))
PATIENTS = {"COPD0": 6, "COPD1": 5, "COPD2": 7, "COPD3": 7, "COPD4": 17}  # of each severity
LABELS_CSV = "Labels.csv"
HOLDS = f"H045_L5.wav and its like, a patient and one of 12 channels each, and {LABELS_CSV} with a severity per patient"
OFFICIAL = pd.DataFrame(
    [("all", 12 * sum(PATIENTS.values()), sum(PATIENTS.values()), *(12 * count for count in PATIENTS.values()))],
    columns=["subset", "recordings", "patients", *PATIENTS],
)
NAME = re.compile(r"(?P<patient>H\d{3})_(?P<location>[LR][1-6])", re.ASCII)
_PATIENT = re.compile(r"H\d{3}", re.ASCII)

PUBLICATION = Publication(
    "https://data.mendeley.com/datasets/p9z4h98s6j/1",
    "CC BY 4.0",
    (Archive(f"{MENDELEY}/p9z4h98s6j-1.zip", "p9z4h98s6j-1.zip"),),
)


@register_dataset(
    "respiratory_tr",
    summary=f"RespiratoryDatabase@TR, severity of COPD of 42 patients; no respiratory sounds annotated. {HOLDS}",
    paper="Altan et al., Natural and Engineering Sciences 2, 2017",
    publication=PUBLICATION,
    splits=[Split("respiratory_tr", 1, "respiratory_tr", "All 42 patients, by severity of COPD.", (), ("all",))],
)
def read_respiratory_tr(root: Path) -> ClipTable:
    """Read the recordings of one folder at or below `root`; a clip is a whole recording, its label the severity."""
    files = recordings_named(root, NAME, HOLDS)
    severities = read_severities(_labels(root))
    rows = read_each(lambda path: _read_name(path, severities), files)
    here = {row["recording"] for row in rows}
    missing = [
        name for patient in sorted(severities) for channel in CHANNELS if (name := f"{patient}_{channel}") not in here
    ]
    missing += ["a recording of a patient without a label"] * max(0, 12 * (sum(PATIENTS.values()) - len(severities)))
    words = dict.fromkeys(PATIENTS)  # none of the four classes
    return ClipTable("respiratory_tr", *frames(whole_recordings(rows), rows), OFFICIAL, tuple(missing), words=words)


def _labels(root: Path) -> Path:
    for folder in folders_below(root):
        if (folder / LABELS_CSV).is_file():
            return folder / LABELS_CSV
    for folder in folders_below(root):
        if (folder / "Labels.xlsx").is_file():
            raise DataError(
                f"{folder / 'Labels.xlsx'}: save this table as {LABELS_CSV} beside it, with any spreadsheet."
            )
    raise DataError(f"{root}: there is no {LABELS_CSV}. This folder must hold {HOLDS}.")


def read_severities(path: Path) -> dict[str, str]:
    """Patient → COPD0 to COPD4. Columns are known by what they hold, whatever they are called. Raises DataError."""
    severities: dict[str, str] = {}
    for place, row in read_table(path)[1]:
        patient = _only(place, row, "patient", lambda text: bool(_PATIENT.fullmatch(text)))
        severity = _only(place, row, "severity", lambda text: text in PATIENTS)
        if severities.setdefault(patient, severity) != severity:
            raise place.error("severity", f"{patient} has {severity} here and {severities[patient]} before. Keep one.")
    if not severities:
        raise DataError(f"{path}: the table has no row. Fetch it again.")
    return severities


def _only(place: Place, row: dict[str, str], what: str, fits: Callable[[str], bool]) -> str:
    """The one value of a row that fits."""
    found = [value for value in row.values() if fits(value)]
    if len(found) != 1:
        number = "several" if found else "none"
        raise place.error(what, f"{number} of its values are one. A row holds a patient (H045) and COPD0 to COPD4.")
    return found[0]


def _read_name(path: Path, severities: Mapping[str, str]) -> dict:
    """The recording's row, with its label."""
    parts = NAME.fullmatch(path.stem)
    if parts is None:
        raise DataError(f"{path}: the name is not PATIENT_CHANNEL, H045_L5 for one. Put it right, or remove the file.")
    patient = parts["patient"]
    if patient not in severities:
        raise DataError(f"{path}: {LABELS_CSV} has no row for {patient}. Complete the table, or remove the recording.")
    return {
        "recording": path.stem,
        "path": str(path),
        "patient": patient,
        "device": DEVICE,
        "location": parts["location"],
        "subset": "all",
        "record_label": severities[patient],
        "label": severities[patient],
    }
