"""HF_Lung_V1: 9,765 recordings of 15 s at 4 kHz, annotated with phases of breathing and with adventitious sounds.

Hsu et al., "Benchmarking of eight recurrent neural network variants for breath phase and adventitious sound detection
on a self-developed open-access lung sound database", PLOS ONE 16 (2021). Beside each recording lies `NAME_label.txt`
with lines such as `I 00:00:00.250 00:00:01.450`. Names hold a date, shifted, and no patient. HF_Lung_V2 holds V1: never
add the two. Tested on generated files in the published layout.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import chain, combinations
from pathlib import Path

import pandas as pd

from ..core.errors import DataError, did_you_mean, shown
from .annotations import Place, frames, places_of, read_each, read_lines
from .audio import audio_files
from .clips import ClipTable
from .datasets import register_dataset
from .layout import folders_below, where_recordings_lie
from .publication import Archive, Publication
from .splits import Split

PHASES = ("I", "E")  # inspiration, expiration: a clip each
CRACKLES, WHEEZES = ("D",), ("Wheeze", "Rhonchi", "Stridor")  # discontinuous and continuous sounds
SOUNDS = (*CRACKLES, *WHEEZES)
SHARED_S = 0.1  # that a sound must share with a phase, or half of the sound: bounds are drawn by hand
HOLDS = "train/ and test/, each with NAME.wav beside NAME_label.txt"
DEVICES = {"steth": "Litt3200", "trunc": "HF-Type-1"}
OFFICIAL = pd.DataFrame([("train", 7809), ("test", 1956)], columns=["subset", "recordings"])
BY_DATE = "Recordings name no patient: each (shifted) date is taken for one, so that a day is never on both sides."

_NAME = re.compile(
    r"(?P<maker>steth|trunc)_(?P<year>\d{4})-?(?P<month>\d\d)-?(?P<day>\d\d)[-_]\d\d[-_]\d\d[-_]\d\d"
    r"(-(?P<location>L[1-8])(_\d+)?)?",
    re.ASCII,
)
_TIME = re.compile(r"(\d\d):([0-5]\d):([0-5]\d(?:\.\d+)?)", re.ASCII)


def _class_of(sounds: tuple[str, ...]) -> str:
    crackle, wheeze = bool({*sounds} & {*CRACKLES}), bool({*sounds} & {*WHEEZES})
    return {(False, False): "normal", (True, False): "crackle", (False, True): "wheeze"}.get((crackle, wheeze), "both")


# "I", "E D", "E D Wheeze": a phase, and the sounds within it.
WORDS: Mapping[str, str | None] = {
    " ".join((phase, *sounds)): _class_of(sounds)
    for phase in PHASES
    for sounds in chain.from_iterable(combinations(SOUNDS, count) for count in range(len(SOUNDS) + 1))
}

_REPOSITORY = "https://gitlab.com/techsupportHF/HF_Lung_V1"
_COMMIT = "2a77d37230b1673d332645e6c6afeea29900bcf9"
PUBLICATION = Publication(
    _REPOSITORY,
    "given as CC BY 4.0 and as CC BY-NC 4.0: read the LICENSE in its repository",
    (Archive(f"{_REPOSITORY}/-/archive/{_COMMIT}/HF_Lung_V1-{_COMMIT}.zip", f"HF_Lung_V1-{_COMMIT[:12]}.zip"),),
    note="In it are train.7z.001 and test.7z.001 with their further parts, for you to unpack with 7z.",
)


@register_dataset(
    "hf_lung",
    summary=f"HF_Lung_V1, phases of breathing in 9,765 recordings; grouped by date, not by patient. {HOLDS}",
    paper="Hsu et al., PLOS ONE 16, 2021",
    defaults={"data.clip_s": 4.0},
    publication=PUBLICATION,
    splits=[
        Split(
            "hf_lung",
            1,
            "hf_lung",
            "The authors' training and test parts; dates stand for patients.",
            ("train",),
            ("test",),
        ),
        Split("hf_lung-all", 1, "hf_lung", "Both parts, to judge what was trained elsewhere.", (), ("train", "test")),
    ],
)
def read_hf_lung(root: Path) -> ClipTable:
    """Read both parts, wherever their folders lie below `root`. What lies outside every phase is no clip."""
    parts = _parts(root)
    found: list[tuple[str, Path, Path]] = []
    missing: list[str] = []
    for subset, count in OFFICIAL.itertuples(index=False):
        files = audio_files(parts[subset]) if subset in parts else {}
        found += [(subset, path, path.with_name(f"{name}_label.txt")) for name, path in files.items()]
        missing += [f"a recording of {subset}"] * max(0, count - len(files))
    if not found:
        raise DataError(f"{root}: its parts hold no recording. {where_recordings_lie(root)}")
    read = read_each(_read_recording, found)
    recordings = [recording for recording, _ in read]
    clips = [clip for _, own in read for clip in own]
    silent = sum(not own for _, own in read)
    notes = [BY_DATE, *([f"{silent} recordings have no phase annotated, and so no clip."] if silent else [])]
    return ClipTable(
        "hf_lung",
        *frames(clips, recordings),
        OFFICIAL,
        tuple(missing),
        tuple(notes),
        words=WORDS,
        places=places_of(clips),
    )


def _parts(root: Path) -> dict[str, Path]:
    """The nearest folders called train and test that hold labels. Raises DataError where there is none."""
    parts: dict[str, Path] = {}
    for folder in folders_below(root):
        if folder.name in ("train", "test") and next(folder.glob("*_label.txt"), None):
            parts.setdefault(folder.name, folder)
    if not parts:
        packed = [str(path) for folder in folders_below(root) for path in sorted(folder.glob("*.7z.001"))]
        unpack = f" Unpack {' and '.join(packed)} first, in its folder, with 7z x FILE." if packed else ""
        raise DataError(f"{root}: this folder must hold {HOLDS}.{unpack} {where_recordings_lie(root)}")
    return parts


def _read_recording(found: tuple[str, Path, Path]) -> tuple[dict, list[dict]]:
    """The recording's row and a row per phase, labelled with the sounds within it."""
    subset, path, annotation = found
    parts = _NAME.fullmatch(path.stem)
    if parts is None:
        raise DataError(
            f"{path}: the name is not as those of HF_Lung_V1, steth_20190821_12_00_25 or "
            "trunc_2019-08-21-10-35-06-L1_1. Put it right, or remove the file."
        )
    if not annotation.is_file():
        raise DataError(
            f"{path}: its annotation {annotation.name} is not beside it. Fetch it, or remove the recording."
        )
    known = {
        "recording": path.stem,
        "patient": f"{parts['year']}-{parts['month']}-{parts['day']}",
        "device": DEVICES[parts["maker"]],
        "location": parts["location"] or "",
        "subset": subset,
        "record_label": "",
    }
    intervals = read_intervals(annotation)
    sounds = [interval for interval in intervals if interval["label"] in SOUNDS]
    phases = [interval for interval in intervals if interval["label"] in PHASES]
    clips = [
        {**known, **phase, "label": _with_sounds(phase, sounds), "clip_id": f"{path.stem}:{index}"}
        for index, phase in enumerate(phases)
    ]
    return {**known, "path": str(path)}, clips


def read_intervals(path: Path) -> list[dict]:
    """The lines of an annotation: label, start_s, end_s and place. Raises DataError that names file, line and field."""
    intervals = []
    for place, line in read_lines(path):
        words = line.split()
        if len(words) != 3:
            raise place.error("label, start, end", f"{len(words)} values in {shown(line)}; there must be three.")
        label, start, end = words
        if label not in (*PHASES, *SOUNDS):
            raise place.error("label", f"unknown {shown(label)}.{did_you_mean(label, (*PHASES, *SOUNDS))}")
        start_s, end_s = _seconds(place, start, "start"), _seconds(place, end, "end")
        place.interval(start_s, end_s, "end")
        intervals.append({"label": label, "start_s": start_s, "end_s": end_s, "place": str(place)})
    return intervals


def _seconds(place: Place, text: str, field: str) -> float:
    time = _TIME.fullmatch(text)
    if time is None:
        raise place.error(field, f"{shown(text)} is not a time, as 00:00:01.250 is one.")
    hours, minutes, seconds = time.groups()
    return 3600 * int(hours) + 60 * int(minutes) + float(seconds)


def _with_sounds(phase: dict, sounds: list[dict]) -> str:
    """The phase's word and those of the sounds that share enough of it, in the order of SOUNDS."""
    within = {sound["label"] for sound in sounds if _shares(phase, sound)}
    return " ".join((phase["label"], *(word for word in SOUNDS if word in within)))


def _shares(phase: dict, sound: dict) -> bool:
    shared_s = min(phase["end_s"], sound["end_s"]) - max(phase["start_s"], sound["start_s"])
    return shared_s >= min(SHARED_S, (sound["end_s"] - sound["start_s"]) / 2)
