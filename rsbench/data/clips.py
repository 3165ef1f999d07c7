"""The clip table: one row per labelled clip, whatever data set it comes from, and the label maps over it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd

from ..errors import SpecError, did_you_mean
from ..registry import Registry

CLASSES = ("normal", "crackle", "wheeze", "both")
NORMAL = 0

CLIP_COLUMNS = (
    "clip_id",  # "<recording>:<index of the clip in its recording>", unique in a data set
    "recording",  # the recording's name, without ending
    "start_s",
    "end_s",
    "label",  # the data set's own word; a label map makes a class of it
    "patient",
    "device",
    "location",
    "subset",  # the official part it belongs to ("train", "test", "inter2022", …); splits are filters over it
)
RECORDING_COLUMNS = ("recording", "path", "patient", "device", "location", "subset", "record_label")


@dataclass(frozen=True)
class ClipTable:
    """A data set as read from disk. Everything that follows starts from here.

    clips: CLIP_COLUMNS, a row per labelled clip, in a fixed order. Times are as annotated, in seconds.
    recordings: RECORDING_COLUMNS, a row per recording that was found, those without any clip included.
    official: counts of the complete set, a row per subset: subset, recordings, patients and a column per label;
        empty where nobody has published counts.
    missing: official recordings that the root does not hold.
    notes: what was mended while reading, in words.
    """

    dataset: str
    clips: pd.DataFrame
    recordings: pd.DataFrame
    official: pd.DataFrame = field(default_factory=pd.DataFrame)
    missing: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    synthetic: bool = False

    @property
    def partial(self) -> bool:
        return bool(self.missing)


# A data set's reader: from its folder to its clip table. Raises DataError naming file, line and remedy.
Reader = Callable[[Path], ClipTable]


@dataclass(frozen=True)
class Dataset:
    """A registered data set: how it is read, and which fields of the spec it sets when the user does not."""

    read: Reader
    defaults: Mapping[str, Any]  # spec keys → values, e.g. {"data.clip_s": 2.0}


DATASETS: Registry[Dataset] = Registry("dataset")

_R = TypeVar("_R", bound=Reader)


def register_dataset(
    name: str, *, summary: str = "", paper: str = "", defaults: Mapping[str, Any] | None = None
) -> Callable[[_R], _R]:
    """Register a function from a root folder to a `ClipTable`. Its splits are named in `rsbench.data.splits`."""

    def decorate(read: _R) -> _R:
        DATASETS.register(name, Dataset(read, defaults or {}), summary=summary, paper=paper, source=read)
        return read

    return decorate


@dataclass(frozen=True)
class LabelMap:
    """A versioned map from data sets' own words to the four classes; None leaves the clip out."""

    name: str
    version: int
    classes: Mapping[str, str | None]

    def indices(self, labels: pd.Series) -> pd.Series:
        """Class index per clip, <NA> for those left out. Raises SpecError for a word the map does not know."""
        unknown = sorted(set(labels) - set(self.classes))
        if unknown:
            raise SpecError(
                f"Label map '{self.name}' does not know the label '{unknown[0]}'."
                f"{did_you_mean(unknown[0], self.classes)}"
            )
        index = {word: None if name is None else CLASSES.index(name) for word, name in self.classes.items()}
        return labels.map(index).astype("Int64")


_FOUR_CLASSES: dict[str, str | None] = {
    **{name: name for name in CLASSES},
    "Normal": "normal",
    "Fine Crackle": "crackle",
    "Coarse Crackle": "crackle",
    "Wheeze": "wheeze",
    "Rhonchi": "wheeze",
    "Stridor": "wheeze",
    "Wheeze+Crackle": "both",
}

LABEL_MAPS = {
    label_map.name: label_map
    for label_map in (
        LabelMap("four-class", 1, _FOUR_CLASSES),
        LabelMap("four-class-strict", 1, {**_FOUR_CLASSES, "Rhonchi": None, "Stridor": None}),
    )
}


def label_map(name: str) -> LabelMap:
    """A label map by name. Raises SpecError with a suggestion."""
    if name not in LABEL_MAPS:
        raise SpecError(f"data.label_map: there is no label map '{name}'.{did_you_mean(name, LABEL_MAPS)}")
    return LABEL_MAPS[name]
