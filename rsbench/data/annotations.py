"""What readers of annotations share: bytes to text, rows and times, and errors that name file, place and field."""

from __future__ import annotations

import codecs
import csv
import io
import math
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd

from ..core.errors import DataError, shown
from .audio import readable
from .clips import CLIP_COLUMNS, RECORDING_COLUMNS

SHOWN = 20  # errors that are told in full before they are only counted
LARGEST = 2**28  # bytes of a text: no annotation is near it
SEPARATORS = (",", ";", "\t", "|")

_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?|nan|[+-]?inf", re.ASCII | re.IGNORECASE)
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_POINTER = "version https://git-lfs"

_Item = TypeVar("_Item")
_Read = TypeVar("_Read")


@dataclass(frozen=True)
class Place:
    """A place in an annotation file, or in a table that a program made: "line 3", "event 2"."""

    path: Path | str
    where: str

    def __str__(self) -> str:
        return f"{self.path}, {self.where}"

    def error(self, field: str, reason: str) -> DataError:
        return DataError(f"{self}, {field}: {reason}")

    def seconds(self, value: object, field: str, per_second: int = 1) -> float:
        """A time in seconds from a number or its text, given in units of 1/per_second s.

        Raises DataError when it is not a number, not finite or negative.
        """
        text = str(value).strip() if isinstance(value, str | int | float) else ""
        if not _NUMBER.fullmatch(text):
            comma = " Write its decimals with a point." if _NUMBER.fullmatch(text.replace(",", ".", 1)) else ""
            raise self.error(field, f"{shown(value)} is not a number.{comma or ' Give a time.'}")
        number = float(text)
        if not math.isfinite(number) or number < 0:
            raise self.error(field, f"{shown(value)} is not a time within the recording. Give a finite number ≥ 0.")
        return number / per_second

    def interval(self, start_s: float, end_s: float, field: str) -> None:
        """Raise DataError unless the clip ends after it starts."""
        if end_s == start_s:
            raise self.error(field, f"the clip has no length: it starts and ends at {start_s} s. Mend or remove it.")
        if end_s < start_s:
            raise self.error(field, f"the clip ends at {end_s} s, before its start at {start_s} s. Mend or remove it.")


def read_each(read: Callable[[_Item], _Read], items: Iterable[_Item]) -> list[_Read]:
    """What `read` makes of every item. Raises one DataError that tells what is wrong with any of them."""
    done: list[_Read] = []
    wrong: list[str] = []
    for item in items:
        try:
            done.append(read(item))
        except DataError as error:
            wrong.append(str(error))
    refuse_all(wrong)
    return done


def refuse_all(wrong: Sequence[str]) -> None:
    """Raise one DataError of what is wrong, if anything is: the first in full, the others counted."""
    if wrong:
        more = [f"… and {len(wrong) - SHOWN} more errors."] if len(wrong) > SHOWN else []
        raise DataError("\n".join([*wrong[:SHOWN], *more]))


def read_text(path: Path) -> str:
    """The file's text: line ends are "\\n", accents one character each, byte order mark and UTF-16 dealt with.

    Raises DataError when it cannot be read, is no text, or is a page or a pointer in place of the file.
    """
    with readable(path):
        if path.exists() and not path.is_file():  # a pipe would be waited for
            raise DataError(f"{path}: not a file. Remove it, or put the annotation in its place.")
        with path.open("rb") as file:
            content = file.read(LARGEST + 1)
    if len(content) > LARGEST:
        raise DataError(f"{path}: larger than {LARGEST >> 20} MiB, which no annotation is. Fetch it again.")
    encoding = "utf-16" if content.startswith(_UTF_16) else "utf-8-sig"
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"{path}, line {line}: not a text file in UTF-8 ({error.reason}). Save it as UTF-8, or fetch it again."
        ) from None
    if "\0" in text:
        raise DataError(
            f"{path}, line {text.count(chr(10), 0, text.index(chr(0))) + 1}: not text, or UTF-16 without its mark: it "
            "holds zero bytes. Save it as UTF-8, or fetch it again."
        )
    start = text[:256].lstrip().lower()
    if start.startswith(_POINTER):
        raise DataError(f"{path}: a pointer of Git LFS in place of the file. Fetch the file with: git lfs pull")
    if start.startswith(("<!doctype html", "<html")):
        raise DataError(f"{path}: a web page in place of the file. Fetch the file itself.")
    return unicodedata.normalize("NFC", text.replace("\r\n", "\n").replace("\r", "\n"))


def read_lines(path: Path) -> list[tuple[Place, str]]:
    """The lines of a text file that are not blank. Raises DataError as `read_text` does."""
    lines = enumerate(read_text(path).split("\n"), start=1)
    return [(Place(path, f"line {number}"), line) for number, line in lines if line.strip()]


def read_table(path: Path) -> tuple[list[str], Iterator[tuple[Place, dict[str, str]]]]:
    """The columns of a table, and its rows by column, without the spaces around values.

    Values are separated as the header's are: by commas, semicolons, tabs or bars. Rows without any value are
    passed over.

    Raises DataError, also while rows are read, naming the line: two columns of one name, a row that has not the
    header's columns, a quote that is not closed.
    """
    text = read_text(path)
    header = text.partition("\n")[0]
    separator = max(SEPARATORS, key=header.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    columns = [name.strip() for name in next(_csv_rows(path, reader, separator), [])]
    for name in columns:
        if columns.count(name) > 1:
            raise DataError(f"{path}, line 1: two columns are called {shown(name)}. Rename or remove one.")
    return columns, _table_rows(path, reader, columns, separator)


def _table_rows(path: Path, reader: Any, columns: list[str], separator: str) -> Iterator[tuple[Place, dict[str, str]]]:
    for values in _csv_rows(path, reader, separator):
        place = Place(path, f"line {reader.line_num}")
        if not any(map(str.strip, values)):
            continue
        if len(values) != len(columns):
            raise place.error(
                "columns",
                f"more or fewer values than the header has columns ({len(values)}, {len(columns)}). "
                f"Quote fields that hold {_in_words(separator)}.",
            )
        yield place, {column: text.strip() for column, text in zip(columns, values, strict=True)}


def _csv_rows(path: Path, reader: Any, separator: str) -> Iterator[list[str]]:
    try:
        yield from reader
    except csv.Error as error:
        raise DataError(
            f"{path}, line {reader.line_num}: not csv ({error}). Quote fields that hold {_in_words(separator)}."
        ) from None


def _in_words(separator: str) -> str:
    return {",": "commas", ";": "semicolons", "\t": "tabs"}.get(separator, repr(separator))


def places_of(clips: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """clip_id → where it is written down, of clips that hold both."""
    return {clip["clip_id"]: str(clip["place"]) for clip in clips}


def whole_recordings(recordings: Iterable[dict]) -> list[dict]:
    """The row of a clip for each recording, which is all of it; rows hold a label."""
    return [{**row, "clip_id": f"{row['recording']}:0", "start_s": 0.0, "end_s": math.inf} for row in recordings]


def frames(clips: list[dict], recordings: list[dict]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Clips and recordings as the data frames of a `ClipTable`, columns in their order."""
    return pd.DataFrame(clips, columns=CLIP_COLUMNS), pd.DataFrame(recordings, columns=RECORDING_COLUMNS)
