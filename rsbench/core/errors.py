"""Errors that teach: one message that names the file, the field and the remedy.

The command line prints the message alone and exits with the class's code; Python callers catch `RsbenchError`.
"""

from __future__ import annotations

import difflib
import reprlib
import traceback
from collections.abc import Iterable
from pathlib import Path

from .text import visible


class RsbenchError(Exception):
    """Something the user can mend. The message says what, where and how.

    It may quote names from outside: what would act on a terminal instead of being shown is written as an escape.
    """

    exit_code = 2

    def __str__(self) -> str:
        """The message; names of strangers in it are text, whatever they hold."""
        return visible(super().__str__())


class InstallationError(RsbenchError):
    """A library is missing, or does not load beside the others."""


class SpecError(RsbenchError):
    """A run was described wrongly: an unknown key, a value out of range, two fields at odds."""


class DataError(RsbenchError):
    """Recordings, annotations or a split are not what they must be."""


class PluginError(RsbenchError):
    """A plugin is broken, registers a name twice, or breaks a contract."""


class WeightsError(RsbenchError):
    """A checkpoint does not fit the backbone it was given to."""


class ResultsError(RsbenchError):
    """A run folder cannot be written or read, or rows that must not meet were asked for together."""


class StorageError(ResultsError):
    """Results cannot be kept: the disk is full, or the folder cannot be written to. No fault of what was being run."""


class FiguresDiffer(ResultsError):
    """Stored figures do not follow from the stored predictions."""

    exit_code = 1


class RunFailed(RsbenchError):
    """Training stopped for a reason of its own (NaN, out of memory). The failure is kept as a record."""

    exit_code = 1


class ExportFailed(RsbenchError):
    """A model cannot be written for other programs, or would say something else there."""

    exit_code = 1


def shown(value: object) -> str:
    """A value from outside as Python writes it, within a line."""
    return _SHORT.repr(value)


_SHORT = reprlib.Repr()
_SHORT.maxlevel, _SHORT.maxstring, _SHORT.maxother = 3, 80, 80


def in_words(error: BaseException, origin: Path) -> str:
    """An error of a plugin's own code with its place: the last line that was reached of the file `origin`, if any."""
    if isinstance(error, SyntaxError):
        return f"{type(error).__name__}: {error.msg} ({error.filename}, line {error.lineno})"
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if Path(frame.filename).resolve() == origin.resolve()]
    where = (own or frames)[-1]
    return f"{type(error).__name__}: {' '.join(str(error).split())} ({where.filename}, line {where.lineno})"


def first_line(error: BaseException) -> str:
    """What a library says went wrong, in one line, without the path, which a message names anyway."""
    words = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return words.strip().partition("\n")[0] or type(error).__name__


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A closing sentence: the nearest known word, and all of them when they are few."""
    choices = sorted(known)
    near = difflib.get_close_matches(word, choices, n=1, cutoff=0.5)
    guess = f" Did you mean '{near[0]}'?" if near else ""
    listed = f" Known: {', '.join(choices)}." if 0 < len(choices) <= 24 else ""
    return guess + listed
