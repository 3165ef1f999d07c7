"""The ICBHI 2017 Respiratory Sound Database: 920 recordings of 126 patients, 6898 respiratory cycles.

Rocha et al., "An open access database for the evaluation of respiratory sound classification algorithms",
Physiological Measurement 40 (2019). A recording is named patient_index_location_mode_device; beside it lies a .txt
with a line a cycle: start, end (s), crackle, wheeze (0 or 1).
"""

from __future__ import annotations

import functools
import re
from pathlib import Path

import pandas as pd

from ..core.errors import DataError, shown
from .annotations import frames, places_of, read_each, read_lines, read_text
from .audio import audio_files
from .clips import ClipTable
from .datasets import register_dataset
from .layout import folders_below, recordings_in, where_recordings_lie
from .publication import Archive, Publication
from .splits import Split

DATABASE = "ICBHI_final_database"
OFFICIAL_LIST = "ICBHI_challenge_train_test.txt"
DIAGNOSES = ("patient_diagnosis.csv", "ICBHI_Challenge_diagnosis.txt")  # one file under two names
LAYOUT = f"{DATABASE}/ (each recording as .wav or .flac beside its .txt) and {OFFICIAL_LIST}"

LABELS = {("0", "0"): "normal", ("1", "0"): "crackle", ("0", "1"): "wheeze", ("1", "1"): "both"}
OFFICIAL = pd.DataFrame(
    [("train", 539, 79, 2063, 1215, 501, 363), ("test", 381, 49, 1579, 649, 385, 143)],
    columns=["subset", "recordings", "patients", *LABELS.values()],
)

ON_BOTH_SIDES = ("156", "218")  # patients whom the official list has in train and in test

# The official list calls this recording by a name that the database has never held.
ALIASES = {"226_1b1_Pl_sc_Meditron": "226_1b1_Pl_sc_LittC2SE"}
NAME = re.compile(r"(?P<patient>\d{3})_[^_]+_(?P<location>[^_]+)_(?:sc|mc)_(?P<device>[^_]+)")


_SITE = "https://bhichallenge.med.auth.gr"
_FILES = f"{_SITE}/sites/default/files/ICBHI_final_database"
PUBLICATION = Publication(
    f"{_SITE}/ICBHI_2017_Challenge",
    "free for research; its page has the terms",
    (Archive(f"{_FILES}/{DATABASE}.zip", f"{DATABASE}.zip"), Archive(f"{_FILES}/{OFFICIAL_LIST}", OFFICIAL_LIST)),
    note="The certificate of its server has expired before.",
)


@register_dataset(
    "icbhi",
    summary=f"ICBHI 2017, 6898 respiratory cycles of 126 patients. {LAYOUT}",
    paper="Rocha et al., Physiological Measurement 40, 2019",
    defaults={"data.clip_s": 8.0},
    publication=PUBLICATION,
    splits=[
        Split(
            "icbhi-official",
            1,
            "icbhi",
            "The official 60/40 split; patients 156 and 218 are on both sides.",
            ("train",),
            ("test",),
            shares_patients=True,
        ),
        Split(
            "icbhi-official-clean",
            1,
            "icbhi",
            "The official split with patients 156 and 218 out of train.",
            ("train",),
            ("test",),
            ON_BOTH_SIDES,
        ),
        Split(
            "icbhi-official-testclean",
            1,
            "icbhi",
            "The official split with patients 156 and 218 out of test.",
            ("train",),
            ("test",),
            test_without_patients=ON_BOTH_SIDES,
        ),
        Split("icbhi", 1, "icbhi", "All 126 patients, to judge what was trained elsewhere.", (), ("train", "test")),
    ],
)
def read_icbhi(root: Path) -> ClipTable:
    """Read the database, wherever it lies below `root`, by the official list there."""
    database, also = _database(root)
    official_list = _official_list(root)
    subsets, notes = read_official_list(official_list)
    audio = _by_name(audio_files(database))
    annotations = _by_name({path.stem: path for path in sorted(database.glob("*.txt")) if NAME.fullmatch(path.stem)})
    _refuse_strangers(official_list, subsets, {**annotations, **audio})

    names = sorted(audio)
    for name in names:
        if name not in annotations:
            raise DataError(
                f"{audio[name]}: its annotation {name}.txt is not beside it. Fetch it, or remove the recording."
            )
    clips: list[dict] = []
    recordings: list[dict] = []
    for name, cycles in zip(names, read_each(read_cycles, [annotations[name] for name in names]), strict=True):
        parts = NAME.fullmatch(name)
        assert parts is not None  # every name of the list has matched
        known = {**parts.groupdict(), "recording": name, "subset": subsets[name]}
        recordings.append({**known, "path": str(audio[name]), "record_label": ""})
        clips += [{**known, **cycle, "clip_id": f"{name}:{index}"} for index, cycle in enumerate(cycles)]
    missing = tuple(sorted(set(subsets) - set(audio)))
    table = ClipTable(
        "icbhi",
        *frames(clips, recordings),
        OFFICIAL,
        missing,
        (*notes, *also),
        places=places_of(clips),
        diagnoses=functools.partial(read_diagnoses, root),
    )
    _assert_official(table, root)
    return table


def _database(root: Path) -> tuple[Path, list[str]]:
    """The folder of the recordings, and a note of each copy that is not read.

    It is the one of the official layout, or any below `root` that holds recordings of such names.
    """
    found = {
        folder: sorted((path.name, path.exists() and path.stat().st_size) for path in files)
        for folder in folders_below(root)
        if (files := [path for path in recordings_in(folder) if NAME.fullmatch(path.stem)])
    }
    if not found:
        if (root / DATABASE).is_dir():
            why = f"{root / DATABASE}: no recording is called as those of ICBHI are, 101_1b1_Al_sc_Meditron for one."
        else:
            why = f"{root}: {_absent(DATABASE)}"
        raise DataError(f"{why} {where_recordings_lie(root)}")
    database = root / DATABASE if root / DATABASE in found else next(iter(found))
    others = [folder for folder in found if folder != database]
    for folder in others:
        if found[folder] != found[database] and database != root / DATABASE:
            raise DataError(
                f"{root}: recordings of ICBHI lie in {database} and in {folder}, and not the same ones. Put them into "
                f"one folder, {root / DATABASE}, or name one of them with --root icbhi=FOLDER."
            )
    return database, [f"{folder} holds recordings too, and is not read beside {database}." for folder in others]


def _official_list(root: Path) -> Path:
    """The official list at or below `root`; capitals do not matter."""
    found = [
        path
        for folder in folders_below(root)
        for path in sorted(folder.glob("*.txt"))
        if path.name.lower() == OFFICIAL_LIST.lower()
    ]
    if not found:
        above = root.absolute().parent / OFFICIAL_LIST
        hint = f" There is one in {above.parent}: move it." if above.is_file() else ""
        raise DataError(f"{root}: {_absent(OFFICIAL_LIST)}{hint}")
    for path in found[1:]:
        if read_text(path) != read_text(found[0]):
            raise DataError(f"{found[0]} and {path} are not the same list. Keep one of them.")
    return found[0]


def _absent(what: str) -> str:
    return f"there is no {what}. This folder must hold {LAYOUT}."


def read_official_list(path: Path) -> tuple[dict[str, str], list[str]]:
    """Recording → "train" or "test", and what was mended: the misnamed one stands under its true name."""
    subsets: dict[str, str] = {}
    notes = []
    for place, line in read_lines(path):
        words = line.split()
        if len(words) != 2 or words[1] not in ("train", "test") or not NAME.fullmatch(words[0]):
            raise place.error("recording, part", f"{shown(line)} is not a recording's name and train or test.")
        name = ALIASES.get(words[0], words[0])
        if name != words[0]:
            notes.append(f"{path.name}: {words[0]} is read as {name}, the recording's name in the database.")
        if subsets.setdefault(name, words[1]) != words[1]:
            raise place.error("part", f"{name} is in train and in test. Fetch the official list again.")
    if not subsets:
        raise DataError(f"{path}: the official list is empty. Fetch it again.")
    return subsets, notes


def read_diagnoses(root: Path) -> dict[str, str]:
    """Patient → diagnosis, from the file of the official distribution at or below `root`.

    Raises DataError where there is none, or naming file and line of what is no patient and a diagnosis.
    """
    files = [path for folder in folders_below(root) for name in DIAGNOSES if (path := folder / name).is_file()]
    if not files:
        raise DataError(f"{root}: there is no {DIAGNOSES[0]}, which says what each patient has. Put it there.")
    diagnoses: dict[str, str] = {}
    for number, (place, line) in enumerate(read_lines(files[0])):
        patient, _, diagnosis = (part.strip() for part in line.replace("\t", ",").partition(","))
        if not number and not patient.isdigit():
            continue  # a header, which some copies have
        if not (re.fullmatch(r"\d{3}", patient) and diagnosis):
            raise place.error("patient, diagnosis", f"{shown(line)} is not a patient's number and a diagnosis.")
        if diagnoses.setdefault(patient, diagnosis) != diagnosis:
            raise place.error("diagnosis", f"patient {patient} has another one in an earlier line. Fetch it again.")
    return diagnoses


def read_cycles(path: Path) -> list[dict]:
    """The cycles of an annotation file: start_s, end_s, label and place (file and line).

    Raises DataError that names file, line and field, and for a file without a cycle.
    """
    cycles = []
    for place, line in read_lines(path):
        words = line.split()
        if len(words) != 4:
            raise place.error(
                "start, end, crackle, wheeze",
                f"{len(words)} values in {shown(line)}; there must be four, with blanks or tabs between.",
            )
        start_s, end_s = place.seconds(words[0], "start"), place.seconds(words[1], "end")
        place.interval(start_s, end_s, "end")
        for field, flag in zip(("crackle", "wheeze"), words[2:], strict=True):
            if flag not in ("0", "1"):
                raise place.error(field, f"{shown(flag)} is not a flag. Write 0 or 1.")
        label = LABELS[words[2], words[3]]
        cycles.append({"start_s": start_s, "end_s": end_s, "label": label, "place": str(place)})
    if not cycles:
        raise DataError(f"{path}: the annotation file holds no cycle. Fetch it again.")
    return cycles


def _by_name(files: dict[str, Path]) -> dict[str, Path]:
    return {ALIASES.get(name, name): path for name, path in files.items()}


def _refuse_strangers(official_list: Path, subsets: dict[str, str], files: dict[str, Path]) -> None:
    for name, path in sorted(files.items()):
        if name not in subsets:
            raise DataError(
                f"{path}: {official_list.name} has no recording '{name}', so it is in neither train nor test. Remove "
                "the file, or put its name right (patient_index_location_mode_device)."
            )


def _assert_official(table: ClipTable, root: Path) -> None:
    """A complete set must have the published counts."""
    if table.partial:
        return
    found = pd.crosstab(table.clips["subset"], table.clips["label"])
    expected = OFFICIAL.set_index("subset")[list(LABELS.values())]
    found = found.reindex(index=expected.index, columns=expected.columns, fill_value=0)
    if not (found == expected).all(axis=None):
        raise DataError(
            f"{root}: all recordings are here, but their cycles are not the official ones. Expected "
            f"{expected.to_dict('index')}, found {found.to_dict('index')}. Fetch the annotations again."
        )
