"""What may be wrong with clips that can each be read, said with file and line."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import soundfile

from rsbench.core.errors import DataError
from rsbench.data.check import check
from rsbench.data.clips import ClipTable
from rsbench.data.consistency import doubts
from rsbench.data.folder import clip_table, read_folder
from rsbench.data.sources import Roots, load_table
from rsbench.data.splits import own_split

Own = Callable[[Sequence[str]], Path]

HEADER = "path,start_s,end_s,label,patient,subset"


def read(root: Path) -> ClipTable:
    return load_table("mine", Roots((root.parent,)))


def test_a_clip_of_less_than_a_sample_is_refused(own: Own) -> None:
    root = own([HEADER, "a.wav,0,1,normal,p1,train", "a.wav,1,1.0002,both,p1,train"])
    with pytest.raises(DataError, match=r"clips\.csv, line 3: .* 0\.2 ms long, less than one sample at 4000 Hz"):
        read(root)


def test_a_clip_below_20_ms_is_doubted(own: Own) -> None:
    root = own([HEADER, "a.wav,0,0.019,normal,p1,train", "a.wav,1,1.021,both,p1,train"])
    (doubt,) = doubts(read(root), [own_split("mine")])
    assert "clips.csv, line 2: the clip from 0 to 0.019 s is 19 ms long" in doubt


@pytest.mark.parametrize(
    "patients", [("7", "7.0"), ("7", "007"), ("P1", "p1"), ("p1", "p01"), ("a b", "a_b"), ("é", "e\u0301")]
)
def test_a_patient_has_one_spelling(own: Own, patients: tuple[str, str]) -> None:
    one, other = patients
    root = own([HEADER, f"a.wav,0,1,normal,{one},train", f"sub/b.flac,0,1,both,{other},test"])
    if one == "é":
        assert read(root).recordings["patient"].nunique() == 1
        return
    with pytest.raises(DataError, match=r"Patients '.*clips\.csv, line 2\), '.*clips\.csv, line 3\) seem to be one"):
        read(root)


def test_patients_who_are_not_alike_are_two(own: Own) -> None:
    root = own([HEADER, "a.wav,0,1,normal,p1,train", "sub/b.flac,0,1,both,p10,test"])
    assert read(root).recordings["patient"].nunique() == 2


@pytest.mark.parametrize(
    ("label", "told"), [("normal", "labelled 'normal'."), ("both", "labelled 'normal' and 'both'")]
)
def test_one_interval_twice_is_doubted(own: Own, label: str, told: str) -> None:
    root = own([HEADER, "a.wav,0,1,normal,p1,train", "a.wav,1,2,both,p1,train", f"a.wav,0,1,{label},p1,train"])
    (doubt,) = doubts(read(root), [own_split("mine")])
    assert f"clips.csv, line 4: the same interval as {root}/clips.csv, line 2, {told}" in doubt


def test_a_subset_that_no_split_takes_is_doubted(own: Own) -> None:
    root = own([HEADER, "a.wav,0,1,normal,p1,train"])
    rows = read_folder(root, "mine").clips.assign(path="a.wav", subset="dev")
    table = clip_table("mine", root, rows[HEADER.split(",")])
    (doubt,) = doubts(table, [own_split("mine")])
    assert doubt.startswith("Subset 'dev' is in no split: its 1 clips are neither trained nor judged on")


def test_a_late_clip_names_file_and_line(own: Own) -> None:
    root = own([HEADER, "a.wav,0,1,normal,p1,train", "a.wav,1,9,both,p1,train"])
    (problem,) = check(read(root)).problems
    assert "clips.csv, line 3: recording a is 2.000 s long" in problem


@pytest.mark.parametrize(("subset", "broken"), [("test", True), ("train", False)])
def test_one_sound_in_two_containers_is_broken_on_two_sides_and_doubted_on_one(
    own: Own, subset: str, broken: bool
) -> None:
    root = own([HEADER, "a.wav,0,1,normal,p1,train", f"sub/b.flac,0,1,normal,p2,{subset}"])
    sound = np.random.default_rng(3).normal(0, 0.1, 8000)
    for path in (root / "a.wav", root / "sub" / "b.flac"):  # each container rounds in its own way
        soundfile.write(path, sound, 4000, subtype="PCM_16")
    found = check(read(root))
    assert found.broken == broken
    assert len(found.twins) == 1
    said = f"{root}/a.wav and {root}/sub/b.flac: one sound, in train and in test of mine. Keep one of them."
    assert list(found.problems) == [said] * broken


def test_noise_of_one_loudness_is_not_one_sound(own: Own) -> None:
    root = own([HEADER, "a.wav,0,1,normal,p1,train", "sub/b.flac,0,1,normal,p2,test"])
    assert check(read(root)).twins == ()
