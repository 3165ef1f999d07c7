"""Which folders are runs, and which of them words mean: the only place that knows how a run is named."""

from __future__ import annotations

import os
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from ..core.errors import ResultsError, did_you_mean
from . import store

NAMED = 5  # runs, where many could be meant


def run_folders(results: Path) -> list[Path]:
    """All folders under `<results>/runs`, by name. Raises ResultsError where there is no such folder."""
    folder = results / "runs"
    if not folder.is_dir():
        raise ResultsError(
            f"{folder}: there are no runs here. Run one (rsbench run --help), or name another --results DIR."
        )
    with os.scandir(folder) as entries:  # of thousands of folders a Path each would be sorted and looked at
        names = sorted(entry.name for entry in entries if _may_be_run(entry))
    return [folder / name for name in names]


def chosen_folders(results: Path, words: Sequence[str]) -> list[Path]:
    """The folders that words mean, each once, in the order of the words; all of `<results>/runs` without words.

    A word is the id of a run, the beginning of ids, a glob of ids, or a run's folder.

    Raises ResultsError for a word that means none.
    """
    if not words:
        return run_folders(results)
    chosen: dict[Path, Path] = {}
    here: list[Path] | None = None
    for word in words:
        if _is_run(Path(word)):
            found = [Path(word).resolve()]
        else:
            here = run_folders(results) if here is None else here
            found = _meant(word, here)
            if not found:
                hint = did_you_mean(word, [folder.name for folder in here])
                raise ResultsError(
                    f"{word}: no run in {results / 'runs'} has an id that begins or matches so, and it is no run's "
                    f"folder.{hint}"
                )
        chosen |= {folder.resolve(): folder for folder in found}
    return list(chosen.values())


def in_few_words(folders: Sequence[Path]) -> str:
    """The names of the first, and how many more there are."""
    more = f" and {len(folders) - NAMED} more" if len(folders) > NAMED else ""
    return f"{', '.join(folder.name for folder in folders[:NAMED])}{more}"


def _meant(word: str, folders: Sequence[Path]) -> list[Path]:
    """A whole id means that run alone, even where it is the beginning of others."""
    whole = [folder for folder in folders if folder.name == word]
    return whole or [folder for folder in folders if folder.name.startswith(word) or fnmatchcase(folder.name, word)]


def _is_run(place: Path) -> bool:
    return any((place / record).is_file() for record in (store.STATUS, store.SPEC))


def _may_be_run(entry: os.DirEntry[str]) -> bool:
    """Whether it is a folder, or out of reach (a loop of links, say), which reading it will name."""
    try:
        return entry.is_dir()
    except OSError:
        return True
