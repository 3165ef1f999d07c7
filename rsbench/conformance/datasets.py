"""What every data set must do, looked at in the folder of its recordings. Headers are read, samples are not."""

from __future__ import annotations

import functools
from pathlib import Path

from ..core.cache import cache_dir
from ..data.audio import probe
from ..data.clips import ClipTable, clip_bounds
from ..data.consistency import refuse_doubtful
from ..data.datasets import DATASETS, read_dataset
from ..data.identity import labels_id
from ..data.sources import SYNTHETIC, Roots
from ..data.splits import named_splits
from ..data.tasks import ICBHI_4
from .checks import Case, Check, contract, expect

NAMED = 3  # patients and subsets that a finding names


def located(name: str, roots: Roots) -> Case:
    """A data set in its folder: "folder=PATH". Raises DataError where it has none."""
    folder = cache_dir() / "synthetic" if name in SYNTHETIC else roots.folder(name)
    return Case("dataset", name, (("folder", str(folder)),))


def is_here(case: Case) -> bool:
    """Whether its folder holds any of it; of another edition's folder, it may hold none."""
    return case.name in SYNTHETIC or bool(DATASETS.entry(case.name).value.lies_in(_folder(case)))


def _folder(case: Case) -> Path:
    return Path(dict(case.options)["folder"])


@functools.lru_cache(maxsize=1)
def table_of(case: Case) -> ClipTable:
    """As its reader makes it; kept for the checks of one data set."""
    return read_dataset(case.name, _folder(case))


@contract(
    "Its reader makes a clip table of its folder, and it says what it is.",
    "Mend what is named, or the reader; give it a docstring, or register_dataset a summary.",
)
def is_read(case: Case) -> None:
    table_of.cache_clear()
    table = table_of(case)
    expect(len(table.recordings) > 0, f"no recording in {_folder(case)}")
    expect(bool(case.entry.summary), "no summary, and no docstring to take it from")
    refuse_doubtful(table)


@contract(
    "Every recording names its patient.",
    "Where patients are not known, name what stands for them (a date, the recording itself), and say so in a note.",
)
def recordings_name_patients(case: Case) -> None:
    recordings = table_of(case).recordings
    nameless = recordings["recording"][recordings["patient"].map(lambda patient: not str(patient).strip())]
    expect(nameless.empty, f"{len(nameless)} recordings without a patient, {', '.join(nameless[:NAMED])}")


@contract(
    "Every label has a class under every label map of the default task, or is said to have none.",
    "Add the word to the `words` of its clip table, with a class or None.",
)
def words_have_a_class(case: Case) -> None:
    for label_map in ICBHI_4.label_maps:
        ICBHI_4.indices(table_of(case), label_map.name)


@contract(
    "Every clip lies within its recording.",
    "Mend the times: are they in seconds, and from the start of the recording?",
)
def clips_lie_within_their_recordings(case: Case) -> None:
    table = table_of(case)
    heard = table.recordings[table.recordings["recording"].isin(table.clips["recording"])]
    headers = {name: probe(Path(path)) for name, path in zip(heard["recording"], heard["path"], strict=True)}
    clip_bounds(table.clips, {name: info.frames / info.rate for name, info in headers.items()}, table.places)
    early = table.clips["clip_id"][~(table.clips["start_s"] >= 0)]
    expect(early.empty, f"{len(early)} clips that start before their recording, {', '.join(early[:NAMED])}")


@contract(
    "No patient is in train and in test of a split that does not say so (shares_patients).",
    "Divide by patient, or declare Split(..., shares_patients=True) where it was published so.",
)
def patients_are_on_one_side(case: Case) -> None:
    clips = table_of(case).clips
    for rule in named_splits().values():
        if rule.dataset != case.name or rule.shares_patients or set(rule.train) & set(rule.test):
            continue  # who trains and tests on one part means it
        train, test = (set(clips["patient"][rows(clips)]) for rows in (rule.train_rows, rule.test_rows))
        both = sorted(train & test)
        expect(not both, f"{len(both)} patients on both sides of '{rule.name}', {', '.join(both[:NAMED])}")


@contract(
    "Every clip is in a split.",
    "Name its subset in one of the data set's splits, or leave the clip out.",
)
def clips_are_in_a_split(case: Case) -> None:
    rules = [rule for rule in named_splits().values() if rule.dataset == case.name]
    taken = {subset for rule in rules for subset in (*rule.train, *rule.test)}
    others = sorted(set(table_of(case).clips["subset"]) - taken)
    expect(not others, f"no split takes the subset {' or '.join(others[:NAMED])}")


@contract(
    "Read twice, and from a folder that is spelled otherwise, it has the same identity.",
    "Sort what is listed from a folder, draw nothing, and keep paths out of names and labels.",
)
def identity_is_stable(case: Case) -> None:
    folder = _folder(case)
    first = labels_id(table_of(case))
    expect(labels_id(read_dataset(case.name, folder)) == first, "another identity the second time")
    spelled_otherwise = folder / ".." / folder.resolve().name if not folder.is_symlink() else folder.resolve()
    expect(labels_id(read_dataset(case.name, spelled_otherwise)) == first, "another identity under another path")


CHECKS: tuple[Check, ...] = (
    is_read,
    recordings_name_patients,
    words_have_a_class,
    clips_lie_within_their_recordings,
    patients_are_on_one_side,
    clips_are_in_a_split,
    identity_is_stable,
)
