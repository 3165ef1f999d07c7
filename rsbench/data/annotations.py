"""What readers of annotations share: text to times, and errors that name file, place and field."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import pandas as pd

from ..core.errors import DataError
from .clips import CLIP_COLUMNS, RECORDING_COLUMNS

SHOWN = 20  # errors that are told in full before they are only counted

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
        try:
            number = float(str(value))
        except ValueError:
            raise self.error(field, f"{value!r} is not a number. Give a time.") from None
        if not math.isfinite(number) or number < 0:
            raise self.error(field, f"{value!r} is not a time within the recording. Give a finite number ≥ 0.")
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
    if wrong:
        more = [f"… and {len(wrong) - SHOWN} more errors."] if len(wrong) > SHOWN else []
        raise DataError("\n".join([*wrong[:SHOWN], *more]))
    return done


def read_text(path: Path) -> str:
    """The file's text, line ends and byte order mark dealt with. Raises DataError when it is not UTF-8."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not a text file in UTF-8 ({error.reason}). Fetch it again.") from None


def frames(clips: list[dict], recordings: list[dict]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Clips and recordings as the data frames of a `ClipTable`, columns in their order."""
    return pd.DataFrame(clips, columns=CLIP_COLUMNS), pd.DataFrame(recordings, columns=RECORDING_COLUMNS)
