"""The clip table: one row per labelled clip, whatever data set it comes from, and the label maps over it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import pandas as pd

from ..core.errors import DataError, SpecError, did_you_mean

CLASSES = ("normal", "crackle", "wheeze", "both")
NORMAL = 0

CLIP_COLUMNS = (
    "clip_id",  # "<recording>:<index of the clip in its recording>", unique in a data set
    "recording",  # the recording's name, without ending
    "start_s",
    "end_s",  # infinite where the clip ends with its recording, whatever that one's length
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
    words: the class of each label that is the data set's own word; None leaves its clips out.
    """

    dataset: str
    clips: pd.DataFrame
    recordings: pd.DataFrame
    official: pd.DataFrame = field(default_factory=pd.DataFrame)
    missing: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    synthetic: bool = False
    words: Mapping[str, str | None] = field(default_factory=dict)

    @property
    def partial(self) -> bool:
        return bool(self.missing)

    @property
    def words_used(self) -> dict[str, str | None]:
        """Those of its own words that label a clip, in their order."""
        used = set(self.clips["label"])
        return {word: self.words[word] for word in sorted(self.words) if word in used}


@dataclass(frozen=True)
class LabelMap:
    """A versioned map from labels to the four classes; None leaves the clip out.

    classes: the words of the protocol's data sets; a data set's own words are added to them.
    without: words left out whatever any data set says of them.
    """

    name: str
    version: int
    classes: Mapping[str, str | None]
    without: tuple[str, ...] = ()

    def indices(self, table: ClipTable) -> pd.Series:
        """Class index per clip of the table, <NA> for those left out. Raises DataError for a word without a class."""
        classes = {**self.classes, **table.words, **dict.fromkeys(self.without)}
        unknown = table.clips[~table.clips["label"].isin(classes)]
        if len(unknown):
            first = unknown.iloc[0]
            raise DataError(
                f"Data set '{table.dataset}', clip {first['clip_id']}, label: '{first['label']}' has no class under "
                f"'{self.name}'. Say which it is in the words of the data set's clip table."
                f"{did_you_mean(first['label'], classes)}"
            )
        index = {word: None if name is None else CLASSES.index(name) for word, name in classes.items()}
        return table.clips["label"].map(index).astype("Int64")


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
        LabelMap("four-class-strict", 1, _FOUR_CLASSES, without=("Rhonchi", "Stridor")),
    )
}


def label_map(name: str) -> LabelMap:
    """A label map by name. Raises SpecError with a suggestion."""
    if name not in LABEL_MAPS:
        raise SpecError(f"data.label_map: there is no label map '{name}'.{did_you_mean(name, LABEL_MAPS)}")
    return LABEL_MAPS[name]
