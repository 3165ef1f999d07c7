"""Bring your own data: a table with a row per clip, as a csv in the folder or made by a program.

The columns are path, label and patient; start_s and end_s, or neither where every clip is its whole recording;
device, location, subset (default "test") and record_label, if you like. Paths are relative to the folder. Labels are
normal, crackle, wheeze or both; a program may bring words of its own, and say which class each one is.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from ..core.errors import DataError, PluginError, did_you_mean
from .annotations import Place, frames, read_each, read_text
from .clips import CLASSES, ClipTable

CLIPS_CSV = "clips.csv"
REQUIRED = ("path", "label", "patient")
TIMES = ("start_s", "end_s")
OPTIONAL = {"device": "", "location": "", "subset": "test", "record_label": ""}
OF_THE_RECORDING = ("path", "patient", "device", "location", "subset", "record_label")

Row = tuple[Place, dict[str, str]]


def read_folder(root: Path, dataset: str) -> ClipTable:
    """Read root/clips.csv as the data set of this name. Raises DataError naming the csv's line and column."""
    path = root / CLIPS_CSV
    if not path.is_file():
        raise DataError(f"{root}: there is no {CLIPS_CSV}, with the columns {', '.join((*REQUIRED, *TIMES))}.")
    reader = csv.DictReader(read_text(path).splitlines(keepends=True), strict=True)
    _check_columns(Place(path, "line 1"), reader.fieldnames or [])
    return _table(dataset, root, _lines(path, reader), {})


def clip_table(
    dataset: str, root: Path, clips: pd.DataFrame, words: Mapping[str, str | None] | None = None
) -> ClipTable:
    """A data set from a plain data frame with the columns of a clips.csv (see this module).

    Args:
        dataset: its name.
        root: the folder that paths are relative to.
        clips: a row per clip. Rows of one recording agree in what is the recording's: patient, device, ….
        words: the class of each label that is the data set's own word; None leaves its clips out.

    Raises:
        DataError: a column or a file is not there, or a value is not what it must be; it names clip and column.
        PluginError: a word stands for something that is no class.
    """
    words = dict(words or {})
    for word, name in words.items():
        if name is not None and name not in CLASSES:
            raise PluginError(
                f"Data set '{dataset}', words: '{word}' stands for {name!r}, which is no class. "
                f"Write None, or one of {', '.join(CLASSES)}."
            )
    _check_columns(Place(f"Data set '{dataset}'", "columns"), [str(column) for column in clips.columns])
    return _table(dataset, root, _records(dataset, clips), words)


def _lines(path: Path, reader: csv.DictReader[str]) -> Iterator[Row]:
    """The rows of a clips.csv. Raises DataError where a line is not csv or has not the header's columns."""
    try:
        for row in reader:
            place = Place(path, f"line {reader.line_num}")
            if None in row or None in row.values():
                raise place.error(
                    "columns", "more or fewer values than the header has columns. Quote fields that hold commas."
                )
            yield place, {column: text.strip() for column, text in row.items()}
    except csv.Error as error:
        raise DataError(
            f"{path}, line {reader.reader.line_num}: not csv ({error}). Quote fields that hold commas."
        ) from None


def _records(dataset: str, clips: pd.DataFrame) -> Iterator[Row]:
    """The rows of a data frame as a csv would hold them."""
    for number, row in enumerate(clips.to_dict("records"), start=1):
        place = Place(f"Data set '{dataset}'", f"clip {number} ({row['path']})")
        yield place, {str(column): "" if pd.isna(value) else str(value).strip() for column, value in row.items()}


def _check_columns(place: Place, columns: Sequence[str]) -> None:
    needed = (*REQUIRED, *(TIMES if set(TIMES) & set(columns) else ()))
    for column in needed:
        if column not in columns:
            raise DataError(f"{place}: the column {column} is not there. Needed: {', '.join(needed)}.")
    known = (*REQUIRED, *TIMES, *OPTIONAL)
    for column in columns:
        if column not in known:
            raise DataError(f"{place}: unknown column '{column}'.{did_you_mean(column, known)}")


def _table(dataset: str, root: Path, rows: Iterable[Row], words: Mapping[str, str | None]) -> ClipTable:
    labels = (*CLASSES, *words)
    found = read_each(lambda row: (row[0], _read_clip(row[1], root, row[0], labels)), rows)
    clips: list[dict[str, Any]] = []
    recordings: dict[str, dict[str, Any]] = {}
    lengths: dict[str, int] = {}
    for place, clip in found:
        name = clip["recording"]
        own = {"recording": name, **{column: clip[column] for column in OF_THE_RECORDING}}
        first = recordings.setdefault(name, own)
        for column in OF_THE_RECORDING:
            if first[column] != own[column]:
                raise place.error(column, f"{own[column]!r}, but {first[column]!r} in an earlier clip of {name}.")
        index = lengths.get(name, 0)
        lengths[name] = index + 1
        clips.append({**clip, "clip_id": f"{name}:{index}"})
    if not clips:
        raise DataError(f"Data set '{dataset}' in {root}: there is no clip in it. Give a row per clip.")
    return ClipTable(dataset, *frames(clips, list(recordings.values())), words=words)


def _read_clip(row: Mapping[str, str], root: Path, place: Place, labels: Sequence[str]) -> dict[str, Any]:
    """A row with its defaults filled in, times as numbers and its path resolved."""
    values: dict[str, Any] = {**OPTIONAL, **row}
    values["subset"] = values["subset"] or OPTIONAL["subset"]
    for column in ("path", "patient"):
        if not values[column]:
            raise place.error(column, "is empty. Fill it in.")
    relative = Path(values["path"])
    if relative.is_absolute():
        raise place.error("path", f"{relative} is absolute. Give it relative to the folder of the recordings.")
    if not (root / relative).is_file():
        raise place.error("path", f"there is no file {root / relative}. Put the path right, relative to {root}.")
    if values["label"] not in labels:
        hint = f"{did_you_mean(values['label'], labels)} A word of the data set's own gets a class in `words`."
        raise place.error("label", f"unknown label {values['label']!r}.{hint}")
    name = relative.with_suffix("").as_posix()
    return {**values, **_times(row, place), "recording": name, "path": str(root / relative)}


def _times(row: Mapping[str, str], place: Place) -> dict[str, float]:
    """Where the clip starts and ends, in seconds; the whole recording where the table has no such columns."""
    if "end_s" not in row:
        return {"start_s": 0.0, "end_s": math.inf}
    start_s, end_s = (place.seconds(row[column], column) for column in TIMES)
    place.interval(start_s, end_s, "end_s")
    return {"start_s": start_s, "end_s": end_s}
