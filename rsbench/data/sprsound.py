"""SPRSound 2022: paediatric respiratory sounds, 8 kHz, with an annotation per recording and per event.

Zhang et al., "SPRSound: Open-Source SJTU Paediatric Respiratory Sound Database", IEEE TBioCAS 16 (2022). A
recording is named patient_age_gender_location_number; its JSON holds a label of the recording and a list of
events.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import pandas as pd

from ..core.errors import DataError, did_you_mean, shown
from .annotations import Place, frames, places_of, read_each, read_text
from .audio import audio_files
from .catalogue import absent, strangers
from .clips import ClipTable
from .datasets import register_dataset
from .layout import folders_below, where_recordings_lie
from .publication import Archive, Publication
from .splits import Split

LABELS = ("Normal", "Fine Crackle", "Coarse Crackle", "Wheeze", "Rhonchi", "Stridor", "Wheeze+Crackle")
POOR_QUALITY = "Poor Quality"  # a label of recordings; these have no events
RECORD_LABELS = ("Normal", "CAS", "DAS", "CAS & DAS", POOR_QUALITY)
NAMED = 3  # recordings that a note names
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
# Later editions have places up to p8, and names without a patient's number.
NAME = re.compile(r"(?P<patient>\d*)_[\d.]+_[01]_(?P<location>p[1-8])_\d+", re.ASCII)


@dataclass(frozen=True)
class Layout:
    """Where a release keeps sound and annotations of the training and the two test parts."""

    train_wav: str
    train_json: str
    test_wav: str
    test_json: str

    def parts(self, base: Path) -> dict[str, tuple[Path, Path]]:
        """Subset → (folder of recordings, folder of annotations), in the folder that holds the release."""
        tests = base / self.test_json
        return {
            "train2022": (base / self.train_wav, base / self.train_json),
            "intra2022": (base / self.test_wav, tests / "intra_test_json"),
            "inter2022": (base / self.test_wav, tests / "inter_test_json"),
        }

    def folders(self, base: Path) -> int:
        """How many of its folders of annotations, and then of recordings, are there."""
        found = [(wav.is_dir(), described.is_dir()) for wav, described in self.parts(base).values()]
        return sum(10 * described + wav for wav, described in found)


@dataclass(frozen=True)
class Described:
    """A recording that is there, with its annotation. patient: where another edition spells the number otherwise."""

    annotation: Path
    recording: Path
    subset: str
    patient: str = ""


# The same sound as 41279835_14.1_0_p1_2945 of train2022, with other labels.
TWIN = "41279835_14.1_0_p1_2050"


# What the repository and its copies have called the two folders of a part.
TRAINING = ("train2022_{}", "train_classification_{}/2022", "train_classification_{}", "train_{}")
TESTING = (
    "test2022_{}",
    "valid_classification_{}/2022",
    "test_classification_{}/2022",
    "valid_classification_{}",
    "test_{}",
)
LAYOUTS = [
    Layout(*(part.format(kind) for part in (train, test) for kind in ("wav", "json")))
    for train, test in product(TRAINING, TESTING)
]
HOLDS = (
    "BioCAS2022/ with train2022_wav, train2022_json, test2022_wav and test2022_json/{inter,intra}_test_json (or "
    "the older Classification/{train,valid}_classification_{wav,json}/2022)"
)


_REPOSITORY = "https://github.com/SJTU-YONGFU-RESEARCH-GRP/SPRSound"
_COMMIT = "874eeb8736ddb78937c2fb5332fc7e7293d0f0ca"
# All editions; folders named for tasks repeat recordings. GitHub packs a commit anew, with no sha256 to rely on.
PUBLICATION = Publication(
    _REPOSITORY,
    "CC BY 4.0",
    (Archive(f"{_REPOSITORY}/archive/{_COMMIT}.zip", f"SPRSound-{_COMMIT[:12]}.zip"),),
    takes=r"[^/]+/(releases/)?(BioCAS20\d\d|Patient Summary)/.+|[^/]+/(LICENSE|README)[^/]*",
    note="It is an archive of several GB.",
)


@register_dataset(
    "sprsound",
    summary=f"SPRSound 2022, 9089 events of 292 children. {HOLDS}",
    paper="Zhang et al., IEEE TBioCAS 16, 2022",
    defaults={"data.clip_s": 8.0},
    publication=PUBLICATION,
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
            shares_patients=True,
        ),
        Split("sprsound-train", 1, "sprsound", "The training part of 2022.", TRAIN, TRAIN),
        Split(
            "sprsound-qlung", 1, "sprsound", "train2022 and inter2022, the 8085 events QLung states.", (), TRAIN + INTER
        ),
    ],
)
def read_sprsound(root: Path) -> ClipTable:
    """Read the release of 2022, wherever its folders lie below `root`."""
    base, layout = _layout(root)
    parts = layout.parts(base)
    audio = {folder: audio_files(folder) for folder, _ in parts.values() if folder.is_dir()}
    annotated: dict[Path, set[str]] = {folder: set() for folder in audio}
    described: list[Described] = []
    unheard: set[str] = set()  # annotated, without a recording
    for subset, (wav, folder) in parts.items():
        for path in sorted(folder.glob("[!.]*.json")):
            found = audio.get(wav, {}).get(path.stem)
            if found is None:
                unheard.add(path.stem)
                continue
            annotated[wav].add(path.stem)
            described.append(Described(path, found, subset))
    if not described:
        raise DataError(f"{base}: none of its annotations has a recording. {where_recordings_lie(root)}")
    refuse_unannotated(audio, annotated)
    refuse_in_two_subsets(described)
    read = read_each(read_recording, described)
    recordings = [recording for recording, _ in read]
    clips = [event for _, events in read for event in events]
    names = [recording["recording"] for recording in recordings]
    return ClipTable(
        "sprsound",
        *frames([clip for clip in clips if clip["record_label"] != POOR_QUALITY], recordings),
        OFFICIAL,
        tuple(sorted(unheard.union(absent("sprsound", names)))),
        tuple(_notes(recordings, clips)),
        places=places_of(clips),
    )


def _layout(root: Path) -> tuple[Path, Layout]:
    """The folder that holds the release, and how: of all that are there the one of which most is there."""
    candidates = [(base, layout) for base in folders_below(root) for layout in LAYOUTS]
    base, best = max(candidates, key=lambda candidate: candidate[1].folders(candidate[0]))
    if best.folders(base) < 10:
        raise DataError(
            f"{root}: there are no annotations of SPRSound 2022. This folder must hold {HOLDS}. "
            f"{where_recordings_lie(root)}"
        )
    return base, best


def _notes(recordings: list[dict], clips: list[dict]) -> list[str]:
    """What was mended of what was read."""
    unnumbered = [recording["recording"] for recording in recordings if recording["patient"] == recording["recording"]]
    poor = [clip for clip in clips if clip["record_label"] == POOR_QUALITY]
    notes = []
    if unnumbered:
        notes.append(
            f"{len(unnumbered)} recordings name no patient, and each is taken for a patient of its own: "
            f"{', '.join(unnumbered[:NAMED])}."
        )
    if others := strangers("sprsound", (recording["recording"] for recording in recordings)):
        notes.append(f"{len(others)} recordings are not among those that were published: {', '.join(others[:NAMED])}.")
    if poor:
        notes.append(f"{len(poor)} events of {POOR_QUALITY} recordings are left out; the first: {poor[0]['place']}.")
    return notes


def read_recording(described: Described, graded: bool = True) -> tuple[dict, list[dict]]:
    """The recording's row and a row per event.

    graded: whether its annotation must have a label of the recording, as those of 2022 have. Raises DataError.
    """
    path = described.annotation
    parts = NAME.fullmatch(path.stem)
    if parts is None:
        raise DataError(f"{path}: the name is not patient_age_gender_location_number. Put it right or remove the file.")
    record_label, events = read_events(path)
    if record_label is None and graded:
        raise DataError(f"{path}: the field record_annotation is not there or of the wrong kind. Fetch the file again.")
    if record_label is not None and record_label not in RECORD_LABELS:
        hint = did_you_mean(shown(record_label), RECORD_LABELS)
        raise DataError(f"{path}, record_annotation: unknown label {shown(record_label)}.{hint}")
    known = {
        "patient": described.patient or parts["patient"] or path.stem,
        "location": parts["location"],
        "recording": path.stem,
        "device": DEVICE,
        "subset": described.subset,
        "record_label": record_label or "",
    }
    rows = [{**known, **event, "clip_id": f"{path.stem}:{index}"} for index, event in enumerate(events)]
    return {**known, "path": str(described.recording)}, rows


def read_events(path: Path) -> tuple[str | None, list[dict]]:
    """The recording's own label, None in editions that have none, and its events.

    An event has start_s, end_s, label and place (file and number). Those of a Poor Quality recording, which the release
    has not, are to be left out. Raises DataError that names file, event and field.
    """
    content = _read_json(path)
    # The data set's README writes recording_annotation, its files record_annotation.
    record_label = content.get("record_annotation", content.get("recording_annotation"))
    events = content.get("event_annotation")
    if not isinstance(record_label, str | None) or not isinstance(events, list):
        absent = "event_annotation" if isinstance(record_label, str | None) else "record_annotation"
        raise DataError(f"{path}: the field {absent} is not there or of the wrong kind. Fetch the file again.")
    return record_label, [_read_event(event, Place(path, f"event {n}")) for n, event in enumerate(events, start=1)]


def _read_event(event: object, place: Place) -> dict:
    """start_s, end_s, label and place of an event, whose times are milliseconds, as text."""
    if not isinstance(event, dict):
        raise place.error("event_annotation", f"{shown(event)} is not an event with start, end and type.")
    for field in ("start", "end", "type"):
        if field not in event:
            raise place.error(field, "the field is not there. Fetch the file again.")
    start_s = place.seconds(event["start"], "start", per_second=1000)
    end_s = place.seconds(event["end"], "end", per_second=1000)
    place.interval(start_s, end_s, "end")
    label = event["type"]
    if label not in LABELS:
        raise place.error("type", f"unknown event {shown(label)}.{did_you_mean(shown(label), LABELS)}")
    return {"start_s": start_s, "end_s": end_s, "label": label, "place": str(place)}


def _read_json(path: Path) -> dict:
    try:
        content = json.loads(read_text(path), object_pairs_hook=_once_each)
    except json.JSONDecodeError as error:
        raise DataError(f"{path}, line {error.lineno}: not JSON ({error.msg}). Fetch the file again.") from None
    except (ValueError, RecursionError) as error:  # a field twice, digits without end, brackets without end
        raise DataError(f"{path}: no annotation ({str(error).split(';')[0]}). Fetch the file again.") from None
    if not isinstance(content, dict):
        raise DataError(f"{path}: not an annotation: it must be an object with event_annotation. Fetch it again.")
    return content


def _once_each(pairs: list[tuple[str, object]]) -> dict[str, object]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"the field {shown(next(name for name in names if names.count(name) > 1))} is there twice")
    return fields


def refuse_in_two_subsets(described: list[Described]) -> None:
    """A recording belongs to one subset: in train and in test it would be trained on and judged."""
    first: dict[str, Described] = {}
    for one in described:
        other = first.setdefault(one.recording.stem, one)
        if other is not one:
            raise DataError(f"{other.annotation} and {one.annotation} annotate one recording. Remove one of them.")


def refuse_unannotated(audio: dict[Path, dict[str, Path]], annotated: dict[Path, set[str]]) -> None:
    """Raise DataError for a recording without an annotation: audio by folder and name, and the names annotated."""
    for folder, files in audio.items():
        for name in sorted(set(files) - annotated[folder]):
            raise DataError(
                f"{files[name]}: no annotation {name}.json belongs to it. Fetch it, or remove the recording."
            )
