"""Whose a recording is: by a csv that says so, or by its name, where a known data set tells patients by names."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ..core.errors import DataError
from .annotations import Place, read_table
from .icbhi import NAME as OF_ICBHI
from .respiratory_tr import NAME as OF_RESPIRATORY_TR
from .sprsound import NAME as OF_SPRSOUND

PATTERNS = {"icbhi": OF_ICBHI, "sprsound": OF_SPRSOUND, "respiratory_tr": OF_RESPIRATORY_TR}
COLUMNS = ("path", "patient")
NAMED = 3  # recordings that a message names


def patients_listed(path: Path) -> dict[Path, str]:
    """Resolved path of a recording → its patient, from a csv with COLUMNS; other columns are passed over.

    Paths are relative to the folder of the csv. Raises DataError naming line and column.
    """
    columns, rows = read_table(path)
    for column in COLUMNS:
        if column not in columns:
            raise DataError(f"{path}: the column {column} is not there. Needed: {', '.join(COLUMNS)}.")
    found: dict[Path, tuple[str, Place]] = {}
    for place, row in rows:
        for column in COLUMNS:
            if not row[column]:
                raise place.error(column, "is empty. Fill it in.")
        recording = (path.parent / row["path"]).resolve()
        before, where = found.setdefault(recording, (row["patient"], place))
        if before != row["patient"]:
            raise place.error("patient", f"{row['patient']}, but {before} in {where}.")
    return {recording: patient for recording, (patient, _) in found.items()}


def patient_in_name(recording: Path) -> str:
    """The patient whom a recording's name gives, as known data sets name them; "" where it gives none."""
    for pattern in PATTERNS.values():
        match = pattern.fullmatch(recording.stem)
        if match and match["patient"]:
            return match["patient"]
    return ""


def refuse_unknown(patients: Mapping[Path, str]) -> None:
    """Raise DataError for recordings whose patient is "", naming some and saying how patients are given."""
    unknown = [str(path) for path, patient in patients.items() if not patient]
    if unknown:
        more = f" and {len(unknown) - NAMED} more" if len(unknown) > NAMED else ""
        raise DataError(
            f"--per patient: the patient is not known of {', '.join(unknown[:NAMED])}{more}. Give a csv with the "
            f"columns {' and '.join(COLUMNS)}: --patients FILE. A clips.csv beside the recordings says it too, and so "
            f"do names as {', '.join(PATTERNS)} have them."
        )
