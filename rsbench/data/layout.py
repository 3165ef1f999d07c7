"""Where recordings lie: data sets are unpacked into folders of their own names, cloned, and moved about."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from ..core.errors import DataError
from .audio import ENDINGS

DEPTH = 4  # folders below a root that are looked into
MOST = 5000  # folders looked at: a root that was meant otherwise, a home for one, is given up
NAMED = 3  # folders that a message names


def folders_below(root: Path) -> list[Path]:
    """The root and the folders below it, nearest first and sorted, hidden ones aside.

    Links are followed, each folder once; what may not be read counts as empty.
    """
    return list(islice(_nearest_first(root), MOST))


def _nearest_first(root: Path) -> Iterator[Path]:
    level, seen = [root], {os.path.realpath(root)}
    for _ in range(DEPTH + 1):
        yield from level
        below: list[Path] = []
        for folder in level:
            for path in sorted(_folders_in(folder)):
                if (real := os.path.realpath(path)) not in seen:
                    seen.add(real)
                    below.append(path)
        level = below


def _folders_in(folder: Path) -> Iterator[Path]:
    try:
        with os.scandir(folder) as entries:
            yield from (folder / entry.name for entry in entries if _is_open_folder(entry))
    except OSError:
        return


def _is_open_folder(entry: os.DirEntry[str]) -> bool:
    """Whether it is a folder, not a hidden one; a link in a circle is none."""
    is_folder = Path(entry.path).is_dir() if entry.is_symlink() else entry.is_dir()
    return is_folder and not entry.name.startswith(".")


def recordings_in(folder: Path) -> list[Path]:
    """The recordings of one folder, sorted, hidden ones aside."""
    names = (name for name in names_in(folder) if not name.startswith("."))
    return [folder / name for name in names if Path(name).suffix.lower() in ENDINGS]


def recordings_named(root: Path, pattern: re.Pattern[str], holds: str) -> list[Path]:
    """All recordings of the nearest folder, at or below `root`, in which the name of one fits the pattern.

    holds: what the folder must hold, for the message. Raises DataError where there is none.
    """
    for folder in folders_below(root):
        files = recordings_in(folder)
        if any(pattern.fullmatch(path.stem) for path in files):
            return files
    raise DataError(
        f"{root}: no recording is named as this data set names them. This folder must hold {holds}. "
        f"{where_recordings_lie(root)}"
    )


def names_in(folder: Path) -> list[str]:
    """The names in a folder, sorted; none where it may not be read."""
    try:
        return sorted(path.name for path in folder.iterdir())
    except (OSError, ValueError):  # a name from a table may hold what no path can
        return []


def is_file(path: Path) -> bool:
    """Whether there is such a file, also of a name that no path can have."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def where_recordings_lie(root: Path) -> str:
    """A closing sentence: which folders at or below `root` hold recordings, if any."""
    found = [(folder, len(files)) for folder in folders_below(root) if (files := recordings_in(folder))]
    if not found:
        return f"No recording ({', '.join(ENDINGS)}) lies in {root} or below it."
    named = ", ".join(f"{folder} ({number})" for folder, number in found[:NAMED])
    more = f" and {len(found) - NAMED} more folders" if len(found) > NAMED else ""
    return f"Recordings lie in {named}{more}."
