"""Which recordings are to be heard, and which pieces of them: their annotated clips, or windows side by side."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from ..core.errors import DataError
from ..data.audio import ENDINGS, probe
from ..data.folder import CLIPS_CSV, read_folder
from ..data.icbhi import read_cycles
from ..data.layout import folders_below, names_in
from ..data.patients import patient_in_name, patients_listed, refuse_unknown
from ..data.sprsound import POOR_QUALITY, read_events

NO_ANNOTATIONS = "none"
LEAVE_ASIDE = f"Or leave annotations aside with --annotations {NO_ANNOTATIONS}: recordings are then cut into windows."
WINDOW_COLUMNS = ("start_s", "end_s", "label")
ANNOTATED_COLUMNS = (*WINDOW_COLUMNS, "place")  # where it is written down, "FILE, line 3"


@dataclass(frozen=True)
class Recording:
    """A recording and its clips.

    clips: WINDOW_COLUMNS, a row per clip; labels are the annotation's own words, "" for windows. patient: "" where
    nothing says whose it is.
    """

    path: Path
    clips: pd.DataFrame
    annotated: bool
    patient: str = ""


@dataclass(frozen=True)
class WindowPlan:
    """Recordings to hear, in order, and a message for each that cannot be. Windows are `clip_s` long."""

    recordings: tuple[Recording, ...]
    errors: tuple[str, ...]
    clip_s: float
    hop_s: float

    @property
    def clips(self) -> int:
        return sum(len(recording.clips) for recording in self.recordings)

    def refuse_unknown_patients(self) -> None:
        """Raise DataError where nothing says whose a recording is."""
        refuse_unknown({recording.path: recording.patient for recording in self.recordings})

    def describe(self) -> list[str]:
        """How the recordings are cut, in lines."""
        lines = []
        annotated = [recording.clips for recording in self.recordings if recording.annotated]
        others = [recording.clips for recording in self.recordings if not recording.annotated]
        if annotated:
            clips = pd.concat(annotated)
            longer = int((clips["end_s"] - clips["start_s"] > self.clip_s).sum())
            cut = f", {longer} of them cut to {self.clip_s:g} s as in training" if longer else ""
            lines.append(f"with annotations: {_count(annotated, 'clip')}{cut}")
        if others:
            windows = f"{_count(others, 'window')} of {self.clip_s:g} s, one every {self.hop_s:g} s"
            lines.append(f"without annotations: {windows}, the last moved back to end with its recording")
        return lines


def _count(of_recordings: Sequence[pd.DataFrame], word: str) -> str:
    """ "2 recordings, 12 clips"."""
    clips = sum(map(len, of_recordings))
    recordings = f"{len(of_recordings)} recording{'s' if len(of_recordings) > 1 else ''}"
    return f"{recordings}, {clips} {word}{'s' if clips > 1 else ''}"


class Annotations:
    """Where the clips of recordings are written down.

    A clips.csv that lists the recording comes first, then a .txt of its name as ICBHI has it, then a .json of its name
    as SPRSound has it.

    Args:
        place: the folder that holds them, or "none"; None: those of the sounds.
        sounds: files and folders as they were given.
        patients: a csv that says whose recordings are, see `patients_listed`.

    Raises DataError where there is no such folder, and for a csv that cannot be read.
    """

    def __init__(self, place: str | None, sounds: Sequence[Path], patients: Path | None = None) -> None:
        self.none = place == NO_ANNOTATIONS
        self.folder = None if place is None or self.none else Path(place)
        if self.folder and not self.folder.is_dir():
            raise DataError(
                f"--annotations {place}: there is no such folder. Name one that holds a {CLIPS_CSV}, or a .txt or a "
                f".json for each recording. {LEAVE_ASIDE}"
            )
        homes = [self.folder] if self.folder else [sound if sound.is_dir() else sound.parent for sound in sounds]
        self._listed: dict[Path, pd.DataFrame] = {}
        self._patients: dict[Path, str] = {}
        for home in dict.fromkeys(homes):
            if not self.none and (home / CLIPS_CSV).is_file():
                self._listed |= _listed_clips(home)
                self._patients |= patients_listed(home / CLIPS_CSV)
        if patients:
            self._patients |= patients_listed(patients)

    def clips(self, recording: Path) -> pd.DataFrame | None:
        """ANNOTATED_COLUMNS of a recording, None where nothing is written down; a Poor Quality one has no clips.

        Raises DataError naming file and field.
        """
        if self.none:
            return None
        if recording.resolve() in self._listed:
            return self._listed[recording.resolve()]
        cycles, events = self._files(recording)
        try:
            if cycles.is_file():
                return pd.DataFrame(read_cycles(cycles), columns=ANNOTATED_COLUMNS)
            if events.is_file():
                record_label, found = read_events(events)
                return pd.DataFrame([] if record_label == POOR_QUALITY else found, columns=ANNOTATED_COLUMNS)
        except DataError as error:
            raise DataError(f"{error} {LEAVE_ASIDE}") from None
        return None

    def patient(self, recording: Path) -> str:
        """Whose a recording is: as a csv says it, or its name; "" where neither does."""
        return self._patients.get(recording.resolve(), "") or patient_in_name(recording)

    def refuse_none_of(self, recordings: Sequence[Path]) -> None:
        """Raise DataError where a folder was named that has an annotation of none of the recordings."""
        if not self.folder or not recordings or any(map(self._has, recordings)):
            return
        wanted = {file.name for recording in recordings for file in self._files(recording)}
        homes = [folder for folder in folders_below(self.folder) if wanted & set(names_in(folder))]
        raise DataError(
            f"--annotations {self.folder}: no annotation of these recordings lies in it, as {recordings[0].stem}.txt "
            f"or .json would. {f'Name {homes[0]}, which has some. ' if homes else ''}{LEAVE_ASIDE}"
        )

    def _has(self, recording: Path) -> bool:
        return recording.resolve() in self._listed or any(file.is_file() for file in self._files(recording))

    def _files(self, recording: Path) -> tuple[Path, Path]:
        beside = (self.folder or recording.parent) / recording.name
        return beside.with_suffix(".txt"), beside.with_suffix(".json")


def _listed_clips(folder: Path) -> dict[Path, pd.DataFrame]:
    """ANNOTATED_COLUMNS of every recording in the clips.csv of a folder, by the recording's path."""
    try:
        table = read_folder(folder, folder.name)
    except DataError as error:
        raise DataError(f"{error} {LEAVE_ASIDE}") from None
    paths = table.recordings.set_index("recording")["path"]
    clips = table.clips.assign(place=table.clips["clip_id"].map(table.places))
    grouped = clips.groupby("recording", sort=False)[list(ANNOTATED_COLUMNS)]
    return {Path(paths[name]).resolve(): clips for name, clips in grouped}


def make_plan(sounds: Sequence[Path], annotations: Annotations, clip_s: float, hop_s: float) -> WindowPlan:
    """What is to be heard of files, and of the recordings in folders and all folders below.

    A recording whose annotation holds no clip, as a Poor Quality one of SPRSound, is cut into windows too.

    Raises DataError where annotations were to lie in a folder that has none of any recording.
    """
    found, errors = [], []
    by_sound = [(sound, _recordings_below(sound) if sound.is_dir() else [sound]) for sound in sounds]
    annotations.refuse_none_of([path for _, paths in by_sound for path in paths])
    for sound, paths in by_sound:
        if not paths:
            errors.append(f"{sound}: there is no recording ({', '.join(ENDINGS)}) in this folder. Name another.")
        for path in paths:
            try:
                found.append(_plan(path, annotations, clip_s, hop_s))
            except DataError as error:
                errors.append(str(error))
    return WindowPlan(tuple(found), tuple(errors), clip_s, hop_s)


def _recordings_below(folder: Path) -> list[Path]:
    found = (path for path in folder.rglob("*") if path.suffix.lower() in ENDINGS)
    return sorted(path for path in found if not path.name.startswith("."))


def _plan(path: Path, annotations: Annotations, clip_s: float, hop_s: float) -> Recording:
    """Raises DataError where the recording or its annotation cannot be read."""
    info = probe(path)
    clips = annotations.clips(path)
    if clips is not None and len(clips):
        short = clips[(clips["end_s"] - clips["start_s"]) * info.rate < 1]
        if len(short):
            place = short["place"].iloc[0]
            raise DataError(f"{place}: the clip is shorter than one sample at {info.rate} Hz. Mend its times.")
        clips = clips[list(WINDOW_COLUMNS)].reset_index(drop=True)
        return Recording(path, clips, annotated=True, patient=annotations.patient(path))
    length_s = info.frames / info.rate
    windows = [(start_s, min(start_s + clip_s, length_s), "") for start_s in window_starts(length_s, clip_s, hop_s)]
    clips = pd.DataFrame(windows, columns=WINDOW_COLUMNS)
    return Recording(path, clips, annotated=False, patient=annotations.patient(path))


def window_starts(length_s: float, clip_s: float, hop_s: float) -> list[float]:
    """Starts of windows of `clip_s` seconds that cover a recording, one every `hop_s` seconds (at least 0.01).

    The last one is moved back to end with the recording (within 10 ms, for times that can be read), so that none is
    made of a short remnant. A recording shorter than a window is one, to be filled up as in training.
    """
    last, hop = math.floor(100 * (length_s - clip_s)), round(100 * hop_s)
    return [start / 100 for start in [*range(0, last, hop), max(0, last)]]
