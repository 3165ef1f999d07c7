"""Registered data sets: who reads them, and the splits they bring."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd

from ..core.errors import PluginError, RsbenchError, in_words
from ..core.registry import Registry
from .clips import CLIP_COLUMNS, RECORDING_COLUMNS, ClipTable
from .publication import Publication
from .splits import SPLITS, Split, own_split

# A data set's reader: from its folder to its clip table. Raises DataError naming file, line and remedy.
Reader = Callable[[Path], ClipTable]


@dataclass(frozen=True)
class Dataset:
    """A registered data set: how it is read, and which fields of the spec it sets when the user does not.

    defaults: spec keys → values, e.g. {"data.clip_s": 2.0}.
    edition_of: the data set that it is another edition of, "" for none. It lies in that one's folder, and a patient's
        name is the same person in both.
    lies_in: whether a folder holds any of it, however incomplete.
    publication: where it is published; None where it is not, or not known.
    """

    read: Reader
    defaults: Mapping[str, Any]
    edition_of: str = ""
    lies_in: Callable[[Path], bool] = Path.is_dir
    publication: Publication | None = None


DATASETS: Registry[Dataset] = Registry("dataset")

_R = TypeVar("_R", bound=Reader)


def register_dataset(
    name: str,
    *,
    summary: str = "",
    paper: str = "",
    defaults: Mapping[str, Any] | None = None,
    splits: Sequence[Split] = (),
    edition_of: str = "",
    lies_in: Callable[[Path], bool] = Path.is_dir,
    publication: Publication | None = None,
) -> Callable[[_R], _R]:
    """Register a function from a root folder to a `ClipTable`, and the data set's named splits.

    Args:
        name: the data set's name, which is also that of its folder under a root.
        summary: what it holds and in which layout; default: the first line of the function's docstring.
        paper: where it was published.
        defaults: spec keys → values that a run on it takes when the user gives none.
        splits: its splits; without any, its subsets train and test are the split of its own name.
        edition_of: the data set that it is another edition of; see `Dataset`.
        lies_in: whether a folder holds any of it; see `Dataset`.
        publication: where it is published, for `rsbench data get`.

    Raises:
        PluginError: the name of the data set or of a split is taken, or a split is of another data set.
    """
    for split in splits:
        if split.dataset != name:
            raise PluginError(f"Split '{split.name}' is of data set '{split.dataset}', and '{name}' brings it.")

    def decorate(read: _R) -> _R:
        DATASETS.register(
            name,
            Dataset(read, defaults or {}, edition_of, lies_in, publication),
            summary=summary,
            paper=paper,
            source=read,
        )
        for split in splits or [own_split(name)]:
            SPLITS.register(split.name, split, summary=split.summary, source=read)
        return read

    return decorate


def home(name: str) -> str:
    """The data set in whose folder one lies, its own name but for another edition; their patients are the same."""
    return (DATASETS.entry(name).value.edition_of or name) if name in DATASETS.names() else name


def read_dataset(name: str, folder: Path) -> ClipTable:
    """What the registered reader makes of a folder.

    Raises:
        DataError: the folder does not hold what the reader needs, or something in it is broken.
        PluginError: the reader fails by itself, or returns something else than a sound clip table of this name.
    """
    entry = DATASETS.entry(name)
    try:
        table = entry.value.read(folder)
    except RsbenchError:
        raise
    except Exception as error:  # any error of the user's own code is reported with its place
        reason = in_words(error, entry.origin)
        raise PluginError(f"Data set '{name}': its reader cannot read {folder}: {reason}. Mend it.") from error
    for fault in _faults(table, name):
        raise PluginError(f"Data set '{name}': its reader in {entry.origin} must return its ClipTable, but {fault}.")
    return table


def _faults(table: object, name: str) -> Iterator[str]:
    """What would otherwise come to light far from the reader, if at all."""
    if not isinstance(table, ClipTable):
        yield f"returns {type(table).__name__}"
        return
    if table.dataset != name:
        yield f"returns that of '{table.dataset}'"
    for what, frame, columns in (
        ("clips", table.clips, CLIP_COLUMNS),
        ("recordings", table.recordings, RECORDING_COLUMNS),
    ):
        for column in columns:
            if column not in frame:
                yield f"its {what} have no column {column}"
        yield from _twice(what, frame[columns[0]])
    homeless = table.clips[~table.clips["recording"].isin(table.recordings["recording"])]
    for clip_id in homeless["clip_id"]:
        yield f"the clip {clip_id} is of a recording that is not in it"


def _twice(what: str, names: pd.Series) -> Iterator[str]:
    for name in names[names.duplicated()]:
        yield f"two of its {what} are called {name}"
