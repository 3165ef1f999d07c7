"""SPRSound 2022: paediatric respiratory sounds, 8 kHz, with an annotation per recording and per event.

Zhang et al., "SPRSound: Open-Source SJTU Paediatric Respiratory Sound Database", IEEE TBioCAS 16 (2022). A
recording is named patient_age_gender_location_number; its JSON holds a label of the recording and a list of
events.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from ..core.errors import DataError, did_you_mean
from .annotations import Place, frames, read_each, read_text
from .audio import audio_files
from .clips import ClipTable
from .datasets import register_dataset
from .splits import Split

LABELS = ("Normal", "Fine Crackle", "Coarse Crackle", "Wheeze", "Rhonchi", "Stridor", "Wheeze+Crackle")
POOR_QUALITY = "Poor Quality"  # a label of recordings; these have no events
DEVICE = "Yunting II"  # the stethoscope of all recordings

TRAIN, INTRA, INTER = ("train2022",), ("intra2022",), ("inter2022",)  # subsets
ALL = TRAIN + INTRA + INTER

OFFICIAL = pd.DataFrame(
    [
        ("train2022", 1949, 251, 5159, 912, 49, 452, 39, 15, 30, 177),
        ("intra2022", 379, 162, 688, 175, 14, 108, 14, 2, 3, 2),
        ("inter2022", 355, 41, 1040, 80, 3, 305, 0, 0, 1, 8),
    ],
    columns=["subset", "recordings", "patients", *LABELS, POOR_QUALITY],
)
_NAME = re.compile(r"(?P<patient>\d+)_[\d.]+_[01]_(?P<location>p[1-4])_\d+")


@dataclass(frozen=True)
class Layout:
    """Where a release keeps sound and annotations of the training and the two test parts."""

    train_wav: str
    train_json: str
    test_wav: str
    test_json: str

    def parts(self, root: Path) -> dict[str, tuple[Path, Path]]:
        """Subset → (folder of recordings, folder of annotations)."""
        tests = root / self.test_json
        return {
            "train2022": (root / self.train_wav, root / self.train_json),
            "intra2022": (root / self.test_wav, tests / "intra_test_json"),
            "inter2022": (root / self.test_wav, tests / "inter_test_json"),
        }


@dataclass(frozen=True)
class Described:
    """A recording that is there, with its annotation."""

    annotation: Path
    recording: Path
    subset: str


# The same sound as 41279835_14.1_0_p1_2945 of train2022, with other labels.
TWIN = "41279835_14.1_0_p1_2050"


def _biocas(folder: str) -> Layout:
    return Layout(*(f"{folder}{part}2022_{kind}" for part in ("train", "test") for kind in ("wav", "json")))


def _classification(train: str) -> Layout:
    return Layout(
        f"Classification/train_classification_wav{train}",
        f"Classification/train_classification_json{train}",
        "Classification/valid_classification_wav/2022",
        "Classification/valid_classification_json/2022",
    )


# The one of which most is there is taken. In copies of the older release the training part may have no folder
# of its year.
LAYOUTS = (
    _biocas("BioCAS2022/"),
    _biocas(""),
    _classification("/2022"),
    _classification(""),
)
HOLDS = (
    "BioCAS2022/ with train2022_wav, train2022_json, test2022_wav and test2022_json/{inter,intra}_test_json (or "
    "the older Classification/{train,valid}_classification_{wav,json}/2022)"
)


@register_dataset(
    "sprsound",
    summary=f"SPRSound 2022, 9089 events of 292 children. {HOLDS}",
    paper="Zhang et al., IEEE TBioCAS 16, 2022",
    defaults={"data.clip_s": 8.0},
    splits=[
        Split("sprsound", 1, "sprsound", "All 9089 events of 2022.", ALL, ALL),
        Split("sprsound-inter", 1, "sprsound", "Patients who are not in train2022.", TRAIN, INTER),
        Split(
            "sprsound-intra",
            2,
            "sprsound",
            "Patients who are in train2022, without a sound that train2022 holds too.",
            TRAIN,
            INTRA,
            test_without_recordings=(TWIN,),
        ),
        Split("sprsound-train", 1, "sprsound", "The training part of 2022.", TRAIN, TRAIN),
        Split(
            "sprsound-qlung", 1, "sprsound", "train2022 and inter2022, the 8085 events QLung states.", (), TRAIN + INTER
        ),
    ],
)
def read_sprsound(root: Path) -> ClipTable:
    """Read the folder that holds BioCAS2022/ or Classification/."""
    parts = _layout(root).parts(root)
    audio = {folder: audio_files(folder) for folder, _ in parts.values() if folder.is_dir()}
    annotated: dict[Path, set[str]] = {folder: set() for folder in audio}
    described: list[Described] = []
    missing: list[str] = []
    official = dict(zip(OFFICIAL["subset"], OFFICIAL["recordings"], strict=True))
    for subset, (wav, folder) in parts.items():
        files = sorted(folder.glob("[!.]*.json"))
        for path in files:
            found = audio.get(wav, {}).get(path.stem)
            if found is None:
                missing.append(path.stem)
                continue
            annotated[wav].add(path.stem)
            described.append(Described(path, found, subset))
        # No list of the official names is published, so of the others only their number is known.
        missing += [f"a recording of {subset}"] * max(0, official[subset] - len(files))
    _refuse_unannotated(audio, annotated)
    read = read_each(_read_recording, described)
    clips = [event for _, events in read for event in events]
    return ClipTable("sprsound", *frames(clips, [recording for recording, _ in read]), OFFICIAL, tuple(missing))


def _layout(root: Path) -> Layout:
    def annotated(layout: Layout) -> int:
        return sum(described.is_dir() for _, described in layout.parts(root).values())

    best = max(LAYOUTS, key=annotated)
    if not annotated(best):
        raise DataError(f"{root}: there are no annotations of SPRSound 2022. This folder must hold {HOLDS}.")
    return best


def _read_recording(described: Described) -> tuple[dict, list[dict]]:
    """The recording's row and a row per event."""
    path = described.annotation
    record_label, events = read_events(path)
    parts = _NAME.fullmatch(path.stem)
    if parts is None:
        raise DataError(f"{path}: the name is not patient_age_gender_location_number. Put it right or remove the file.")
    known = {**parts.groupdict(), "recording": path.stem, "device": DEVICE, "subset": described.subset}
    rows = [{**known, **event, "clip_id": f"{path.stem}:{index}"} for index, event in enumerate(events)]
    return {**known, "path": str(described.recording), "record_label": record_label}, rows


def read_events(path: Path) -> tuple[str, list[dict]]:
    """The recording's own label, and its events: start_s, end_s and label of each; a Poor Quality one has none.

    Raises DataError that names file, event and field.
    """
    content = _read_json(path)
    # The data set's README writes recording_annotation, its files record_annotation.
    record_label = content.get("record_annotation", content.get("recording_annotation"))
    events = content.get("event_annotation")
    if not isinstance(record_label, str) or not isinstance(events, list):
        absent = "record_annotation" if not isinstance(record_label, str) else "event_annotation"
        raise DataError(f"{path}: the field {absent} is not there or of the wrong kind. Fetch the file again.")
    return record_label, [_read_event(event, Place(path, f"event {n}")) for n, event in enumerate(events, start=1)]


def _read_event(event: object, place: Place) -> dict:
    """start_s, end_s and label of an event, whose times are milliseconds, as text."""
    if not isinstance(event, dict):
        raise place.error("event_annotation", f"{event!r} is not an event with start, end and type.")
    for field in ("start", "end", "type"):
        if field not in event:
            raise place.error(field, "the field is not there. Fetch the file again.")
    start_s = place.seconds(event["start"], "start", per_second=1000)
    end_s = place.seconds(event["end"], "end", per_second=1000)
    place.interval(start_s, end_s, "end")
    if event["type"] not in LABELS:
        raise place.error("type", f"unknown event {event['type']!r}.{did_you_mean(str(event['type']), LABELS)}")
    return {"start_s": start_s, "end_s": end_s, "label": event["type"]}


def _read_json(path: Path) -> dict:
    try:
        content = json.loads(read_text(path))
    except json.JSONDecodeError as error:
        raise DataError(f"{path}, line {error.lineno}: not JSON ({error.msg}). Fetch the file again.") from None
    if not isinstance(content, dict):
        raise DataError(f"{path}: not an annotation: it must be an object with event_annotation. Fetch it again.")
    return content


def _refuse_unannotated(audio: dict[Path, dict[str, Path]], annotated: dict[Path, set[str]]) -> None:
    for folder, files in audio.items():
        for name in sorted(set(files) - annotated[folder]):
            raise DataError(
                f"{files[name]}: no annotation {name}.json belongs to it. Fetch it, or remove the recording."
            )
