"""Bring your own data: a table with a row per clip, as a csv in the folder or made by a program.

The columns are path, label and patient; start_s and end_s, or neither where every clip is its whole recording;
device, location, subset (default "test") and record_label, if you like. Paths are relative to the folder. Labels are
normal, crackle, wheeze or both; a program may bring words of its own, and say which class each one is.
"""

from __future__ import annotations

import itertools
import math
import os
import unicodedata
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

import pandas as pd

from ..core.errors import DataError, PluginError, did_you_mean, shown
from .annotations import Place, frames, places_of, read_each, read_table
from .clips import FOUR_WORDS, ClipTable
from .layout import folders_below, is_file, names_in, recordings_in
from .splits import named_splits

CLIPS_CSV = "clips.csv"
REQUIRED = ("path", "label", "patient")
TIMES = ("start_s", "end_s")
OPTIONAL = {"device": "", "location": "", "subset": "test", "record_label": ""}
SUBSETS = ("train", "test")
NAMED = 3  # recordings that a note names
OF_THE_RECORDING = ("path", "patient", "device", "location", "subset", "record_label")

Row = tuple[Place, dict[str, str]]
NamesOnDisk = dict[Path, dict[str, str]]  # folder → its names with accents of one character → as they are spelled


def read_folder(root: Path, dataset: str) -> ClipTable:
    """Read root/clips.csv as the data set of this name. Raises DataError naming the csv's line and column."""
    path = root / CLIPS_CSV
    if not path.is_file():
        raise DataError(f"{root}: there is no {CLIPS_CSV}, with the columns {', '.join((*REQUIRED, *TIMES))}.")
    columns, rows = read_table(path)
    _check_columns(Place(path, "line 1"), columns)
    taken = [(*rule.train, *rule.test) for rule in named_splits().values() if rule.dataset == dataset]
    known = dict.fromkeys(itertools.chain(SUBSETS, *taken))
    table = _table(dataset, root, (_with_known_subset(row, known) for row in rows), {})
    return replace(table, notes=tuple(_unlisted(path, table)))


def clip_table(
    dataset: str, root: Path, clips: pd.DataFrame, words: Mapping[str, str | None] | None = None
) -> ClipTable:
    """A data set from a plain data frame with the columns of a clips.csv (see this module).

    Args:
        dataset: its name.
        root: the folder that paths are relative to.
        clips: a row per clip. Rows of one recording agree in what is the recording's: patient, device, ….
        words: which of the four each label that is the data set's own word stands for; None leaves its clips out.

    Raises:
        DataError: a column or a file is not there, or a value is not what it must be; it names clip and column.
        PluginError: a word stands for something that is no class.
    """
    words = dict(words or {})
    for word, name in words.items():
        if name is not None and name not in FOUR_WORDS:
            raise PluginError(
                f"Data set '{dataset}', words: '{word}' stands for {name!r}, which is no class. "
                f"Write None, or one of {', '.join(FOUR_WORDS)}."
            )
    _check_columns(Place(f"Data set '{dataset}'", "columns"), [str(column) for column in clips.columns])
    return _table(dataset, root, _records(dataset, clips), words)


def _with_known_subset(row: Row, known: Collection[str]) -> Row:
    """The row. Raises DataError where its subset is in no split of the data set."""
    place, values = row
    subset = values.get("subset", "")
    if subset and subset not in known:
        raise place.error(
            "subset",
            f"unknown subset {shown(subset)}.{did_you_mean(subset[:80], known)} Patients for validation are drawn "
            "from train.",
        )
    return row


def _unlisted(path: Path, table: ClipTable) -> Iterator[str]:
    """A note of the recordings beside a clips.csv that none of its rows names."""
    listed = set(map(os.path.realpath, table.recordings["path"]))
    below = [file for folder in folders_below(path.parent) for file in recordings_in(folder)]
    others = [file.relative_to(path.parent).as_posix() for file in below if os.path.realpath(file) not in listed]
    if others:
        more = f" and {len(others) - NAMED} more" if len(others) > NAMED else ""
        yield f"{path}: no row has {', '.join(others[:NAMED])}{more}."


def _records(dataset: str, clips: pd.DataFrame) -> Iterator[Row]:
    """The rows of a data frame as a csv would hold them."""
    for number, row in enumerate(clips.to_dict("records"), start=1):
        place = Place(f"Data set '{dataset}'", f"clip {number} ({row['path']})")
        texts = {str(column): "" if pd.isna(value) else str(value).strip() for column, value in row.items()}
        yield place, {column: unicodedata.normalize("NFC", text) for column, text in texts.items()}


def _check_columns(place: Place, columns: Sequence[str]) -> None:
    needed = (*REQUIRED, *(TIMES if set(TIMES) & set(columns) else ()))
    for column in needed:
        if column not in columns:
            there = f" There are {', '.join(map(shown, columns[:20]))}." if columns else ""
            raise DataError(f"{place}: the column {column} is not there. Needed: {', '.join(needed)}.{there}")
    known = (*REQUIRED, *TIMES, *OPTIONAL)
    for column in columns:
        if column not in known:
            raise DataError(f"{place}: unknown column {shown(column)}.{did_you_mean(column[:80], known)}")


def _table(dataset: str, root: Path, rows: Iterable[Row], words: Mapping[str, str | None]) -> ClipTable:
    labels = (*FOUR_WORDS, *words)
    names: NamesOnDisk = {}
    found = read_each(lambda row: (row[0], _read_clip(row[1], root, row[0], labels, names)), rows)
    clips: list[dict[str, Any]] = []
    recordings: dict[str, dict[str, Any]] = {}
    lengths: dict[str, int] = {}
    for place, clip in found:
        name = clip["recording"]
        own = {"recording": name, **{column: clip[column] for column in OF_THE_RECORDING}}
        first = recordings.setdefault(name, own)
        for column in OF_THE_RECORDING:
            if first[column] != own[column]:
                raise place.error(
                    column, f"{shown(own[column])}, but {shown(first[column])} in an earlier clip of {name}."
                )
        index = lengths.get(name, 0)
        lengths[name] = index + 1
        clips.append({**clip, "clip_id": f"{name}:{index}", "place": place})
    if not clips:
        raise DataError(f"Data set '{dataset}' in {root}: there is no clip in it. Give a row per clip.")
    return ClipTable(dataset, *frames(clips, list(recordings.values())), words=words, places=places_of(clips))


def _read_clip(
    row: Mapping[str, str], root: Path, place: Place, labels: Sequence[str], names: NamesOnDisk
) -> dict[str, Any]:
    """A row with its defaults filled in, times as numbers and its path resolved."""
    values: dict[str, Any] = {**OPTIONAL, **row}
    values["subset"] = values["subset"] or OPTIONAL["subset"]
    for column in ("path", "patient"):
        if not values[column]:
            raise place.error(column, "is empty. Fill it in.")
    path = _file(values["path"], root, place, names)
    if values["label"] not in labels:
        hint = f"{did_you_mean(values['label'][:80], labels)} A word of the data set's own gets a class in `words`."
        raise place.error("label", f"unknown label {shown(values['label'])}.{hint}")
    name = PurePosixPath(values["path"]).with_suffix("").as_posix()
    return {**values, **_times(row, place), "recording": name, "path": str(path)}


def _file(given: str, root: Path, place: Place, names: NamesOnDisk) -> Path:
    """The file of a relative path, found too where the disk spells accents in two characters each."""
    relative = PurePosixPath(given)
    if relative.is_absolute():
        raise place.error("path", f"{relative} is absolute. Give it relative to the folder of the recordings.")
    if ".." in relative.parts:
        raise place.error("path", f"{shown(given)} leaves the folder of the recordings. Put the file into {root}.")
    path = root
    for part in relative.parts:
        if not os.path.lexists(path / part):
            if path not in names:
                names[path] = {unicodedata.normalize("NFC", name): name for name in names_in(path)}
            part = names[path].get(part, part)
        path /= part
    if not is_file(path):
        slashes = " Write / between folders." if "\\" in given else ""
        raise place.error("path", f"there is no file {shown(given)}. Put the path right, relative to {root}.{slashes}")
    return path


def _times(row: Mapping[str, str], place: Place) -> dict[str, float]:
    """Where the clip starts and ends, in seconds; the whole recording where the table has no such columns."""
    if "end_s" not in row:
        return {"start_s": 0.0, "end_s": math.inf}
    start_s, end_s = (place.seconds(row[column], column) for column in TIMES)
    place.interval(start_s, end_s, "end_s")
    return {"start_s": start_s, "end_s": end_s}
