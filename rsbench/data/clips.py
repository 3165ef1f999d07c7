"""The clip table: one row per labelled clip, whatever data set it comes from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from ..core.errors import DataError

FOUR_WORDS = ("normal", "crackle", "wheeze", "both")  # labels that every data set may use

CLIP_COLUMNS = (
    "clip_id",  # "<recording>:<index of the clip in its recording>", unique in a data set
    "recording",  # the recording's name, without ending
    "start_s",
    "end_s",  # infinite where the clip ends with its recording, whatever that one's length
    "label",  # the data set's own word; a task's label map makes a class of it
    "patient",
    "device",
    "location",
    "subset",  # the official part it belongs to ("train", "test", "inter2022", …); splits are filters over it
)
RECORDING_COLUMNS = ("recording", "path", "patient", "device", "location", "subset", "record_label")


@dataclass(frozen=True)
class ClipTable:
    """A data set as read from disk. Everything that follows starts from here.

    Attributes:
        dataset: its name.
        clips: CLIP_COLUMNS, a row per labelled clip, in a fixed order. Times are as annotated, in seconds.
        recordings: RECORDING_COLUMNS, a row per recording that was found, those without any clip included.
        official: counts of the complete set, a row per subset: subset, recordings, patients and a column per label;
            empty where nobody has published counts.
        missing: official recordings that the root does not hold.
        notes: what was mended while reading, in words.
        synthetic: whether it was made by a program; its rows share no board with real ones.
        words: which of FOUR_WORDS each label that is the data set's own word stands for; None leaves its clips out.
        places: where clips are written down, by clip_id: "FILE, line 3".
        diagnoses: called by tasks of patients, gives patient → diagnosis; {} where the data set does not say.
    """

    dataset: str
    clips: pd.DataFrame
    recordings: pd.DataFrame
    official: pd.DataFrame = field(default_factory=pd.DataFrame)
    missing: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    synthetic: bool = False
    words: Mapping[str, str | None] = field(default_factory=dict)
    places: Mapping[str, str] = field(default_factory=dict)
    diagnoses: Callable[[], Mapping[str, str]] = dict

    def place(self, clip_id: str) -> str:
        """Where a clip is written down, or its id where nobody said."""
        return self.places.get(clip_id, f"Data set '{self.dataset}', clip {clip_id}")

    @property
    def partial(self) -> bool:
        """Whether official recordings are missing."""
        return bool(self.missing)

    @property
    def words_used(self) -> dict[str, str | None]:
        """Those of its own words that label a clip, in their order."""
        used = set(self.clips["label"])
        return {word: self.words[word] for word in sorted(self.words) if word in used}


TOLERANCE_S = 0.1


def clip_bounds(
    clips: pd.DataFrame, durations_s: pd.Series | Mapping[str, float], places: Mapping[str, str] | None = None
) -> tuple[pd.DataFrame, int]:
    """Clips with no end past the end of the recording, and how many were clipped to it.

    An infinite end is the end of the recording, and not counted.

    Args:
        clips: a clip table; columns clip_id, recording, start_s, end_s.
        durations_s: length of each recording, by its name.
        places: see `ClipTable`.

    Raises:
        DataError: a clip starts past the end of its recording, or ends more than 0.1 s past it.
    """
    duration = clips["recording"].map(durations_s)
    clips = clips.assign(end_s=clips["end_s"].where(np.isfinite(clips["end_s"]), duration))
    beyond = (clips["end_s"] > duration + TOLERANCE_S) | (clips["start_s"] >= duration)
    if beyond.any():
        first = clips[beyond].iloc[0]
        others = f" So do {beyond.sum() - 1} more clips." if beyond.sum() > 1 else ""
        place = (places or {}).get(first["clip_id"])
        raise DataError(
            f"{f'{place}: recording' if place else 'Recording'} {first['recording']} is "
            f"{duration[beyond].iloc[0]:.3f} s long, but its clip "
            f"{first['clip_id']} runs from {first['start_s']:.3f} to {first['end_s']:.3f} s.{others} Mend the "
            "annotation (were seconds and milliseconds mixed up?), or fetch the recording again: it may be cut off."
        )
    late = clips["end_s"] > duration
    return clips.assign(end_s=clips["end_s"].where(~late, duration)), int(late.sum())


def domains_of(clips: pd.DataFrame) -> dict[str, pd.Series]:
    """Kind → the name of each clip's domain, for clips that have a column `dataset`.

    Patients of one name in two data sets are two people; devices of one name are one device.
    """
    return {
        "patient": clips["dataset"] + ":" + clips["patient"],
        **{name: clips[name] for name in ("device", "dataset")},
    }
