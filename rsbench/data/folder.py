"""Bring your own data: a folder with one csv, a row per clip.

clips.csv has the columns path, start_s, end_s, label, patient, and may have device, location, subset (default
"test") and record_label. Paths are relative to the csv; labels are normal, crackle, wheeze or both.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from ..errors import DataError, did_you_mean
from .annotations import Place, frames, read_text
from .clips import CLASSES, ClipTable

CLIPS_CSV = "clips.csv"
REQUIRED = ("path", "start_s", "end_s", "label", "patient")
OPTIONAL = {"device": "", "location": "", "subset": "test", "record_label": ""}
OF_THE_RECORDING = ("path", "patient", "device", "location", "subset", "record_label")


def read_folder(root: Path, dataset: str) -> ClipTable:
    """Read root/clips.csv as the data set of this name. Raises DataError naming the csv's line and column."""
    path = root / CLIPS_CSV
    if not path.is_file():
        raise DataError(f"{root}: there is no {CLIPS_CSV}, with the columns {', '.join(REQUIRED)}.")
    rows = csv.DictReader(read_text(path).splitlines(keepends=True), strict=True)
    _check_columns(path, rows.fieldnames or [])

    clips: list[dict] = []
    recordings: dict[str, dict] = {}
    lengths: dict[str, int] = {}
    try:
        for row in rows:
            place = Place(path, f"line {rows.line_num}")
            clip = _read_clip(row, root, place)
            name = clip["recording"]
            own = {"recording": name, **{column: clip[column] for column in OF_THE_RECORDING}}
            first = recordings.setdefault(name, own)
            for column in OF_THE_RECORDING:
                if first[column] != own[column]:
                    raise place.error(column, f"{own[column]!r}, but {first[column]!r} in an earlier line of {name}.")
            index = lengths.get(name, 0)
            lengths[name] = index + 1
            clips.append({**clip, "clip_id": f"{name}:{index}"})
    except csv.Error as error:
        raise DataError(
            f"{path}, line {rows.reader.line_num}: not csv ({error}). Quote fields that hold commas."
        ) from None
    if not clips:
        raise DataError(f"{path}: there is no clip in it. Give a row per clip.")
    return ClipTable(dataset, *frames(clips, list(recordings.values())))


def _check_columns(path: Path, columns: Sequence[str]) -> None:
    known = (*REQUIRED, *OPTIONAL)
    for column in REQUIRED:
        if column not in columns:
            raise DataError(f"{path}, line 1: the column {column} is not there. Needed: {', '.join(REQUIRED)}.")
    for column in columns:
        if column not in known:
            raise DataError(f"{path}, line 1: unknown column '{column}'.{did_you_mean(column, known)}")


def _read_clip(row: dict, root: Path, place: Place) -> dict:
    """A row with its defaults filled in, times as numbers and its path resolved."""
    if None in row or None in row.values():
        raise place.error("columns", "more or fewer values than the header has columns. Quote fields that hold commas.")
    values = {**OPTIONAL, **{column: text.strip() for column, text in row.items()}}
    values["subset"] = values["subset"] or OPTIONAL["subset"]
    for column in ("path", "patient"):
        if not values[column]:
            raise place.error(column, "is empty. Fill it in.")
    relative = Path(values["path"])
    if relative.is_absolute():
        raise place.error("path", f"{relative} is absolute. Give it relative to the folder of the csv.")
    if not (root / relative).is_file():
        raise place.error("path", f"there is no file {root / relative}. Put the path right, relative to the csv.")
    start_s, end_s = place.seconds(values["start_s"], "start_s"), place.seconds(values["end_s"], "end_s")
    place.interval(start_s, end_s, "end_s")
    if values["label"] not in CLASSES:
        raise place.error("label", f"unknown label {values['label']!r}.{did_you_mean(values['label'], CLASSES)}")
    name = relative.with_suffix("").as_posix()
    return {**values, "recording": name, "path": str(root / relative), "start_s": start_s, "end_s": end_s}
