"""The reader of ICBHI: its traps, its errors and the official counts."""

from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd
import pytest

from rsbench.core.errors import DataError
from rsbench.data.icbhi import ALIASES, OFFICIAL, read_icbhi, read_official_list
from rsbench.data.splits import split

DATABASE = "ICBHI_final_database"
FIRST = f"{DATABASE}/101_1b1_Al_sc_Meditron.txt"


def test_a_small_layout_is_read(icbhi: Path) -> None:
    table = read_icbhi(icbhi)
    assert table.clips["clip_id"].tolist()[:2] == ["101_1b1_Al_sc_Meditron:0", "101_1b1_Al_sc_Meditron:1"]
    assert table.clips.iloc[1].to_dict() | {"clip_id": ""} == {
        "clip_id": "",
        "recording": "101_1b1_Al_sc_Meditron",
        "start_s": 0.9,
        "end_s": 1.8,
        "label": "both",
        "patient": "101",
        "device": "Meditron",
        "location": "Al",
        "subset": "test",
    }
    assert table.recordings["subset"].tolist() == ["test", "train", "train"]
    assert table.missing == ("107_2b3_Tc_mc_AKGC417L",)


def test_the_misnamed_recording_stands_under_its_true_name(icbhi: Path) -> None:
    table = read_icbhi(icbhi)
    last = table.recordings.iloc[-1]
    assert (last["recording"], last["device"]) == ("226_1b1_Pl_sc_LittC2SE", "LittC2SE")
    assert "226_1b1_Pl_sc_Meditron" in table.notes[0]
    assert "226_1b1_Pl_sc_Meditron" not in table.missing


def test_a_list_with_both_names_is_the_same_list(icbhi: Path) -> None:
    once = read_icbhi(icbhi)
    with (icbhi / "ICBHI_challenge_train_test.txt").open("a") as file:
        file.write("226_1b1_Pl_sc_LittC2SE\ttrain\n")
    pd.testing.assert_frame_equal(read_icbhi(icbhi).clips, once.clips)


def test_the_list_may_lie_inside_the_database(icbhi: Path) -> None:
    name = "ICBHI_challenge_train_test.txt"
    shutil.move(icbhi / name, icbhi / DATABASE / name)
    assert len(read_icbhi(icbhi).clips) == 6


def test_official_recordings_without_audio_are_missing(icbhi: Path) -> None:
    (icbhi / DATABASE / "101_1b1_Al_sc_Meditron.wav").unlink()
    table = read_icbhi(icbhi)
    assert table.missing == ("101_1b1_Al_sc_Meditron", "107_2b3_Tc_mc_AKGC417L")
    assert len(table.clips) == 4


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("0.5\t0.5\t0\t0", "line 2, end: the clip has no length"),
        ("0.9\t0.5\t0\t0", r"line 2, end: the clip ends at 0\.5 s, before its start at 0\.9 s"),
        ("nan\t0.5\t0\t0", "line 2, start: 'nan' is not a time"),
        ("0.1\tinf\t0\t0", "line 2, end: 'inf' is not a time"),
        ("-1\t0.5\t0\t0", "line 2, start: '-1' is not a time"),
        ("0.1\tsoon\t0\t0", "line 2, end: 'soon' is not a number"),
        ("0.1\t0.5\t2\t0", "line 2, crackle: '2' is not a flag"),
        ("0.1\t0.5\t0\tyes", "line 2, wheeze: 'yes' is not a flag"),
        ("0.1\t0.5\t0", "line 2, .*3 values"),
    ],
)
def test_a_broken_cycle_names_file_line_and_field(icbhi: Path, lines: str, message: str) -> None:
    (icbhi / FIRST).write_text(f"0.0\t0.1\t0\t0\n{lines}\n")
    with pytest.raises(DataError, match=rf"101_1b1_Al_sc_Meditron\.txt, {message}"):
        read_icbhi(icbhi)


def test_overlapping_cycles_are_allowed(icbhi: Path) -> None:
    (icbhi / FIRST).write_text("0.0 0.9 0 0\n0.5 1.2 1 0\n")
    assert len(read_icbhi(icbhi).clips) == 6


def test_an_empty_annotation_file(icbhi: Path) -> None:
    (icbhi / FIRST).write_text("\r\n")
    with pytest.raises(DataError, match=r"101_1b1_Al_sc_Meditron\.txt: the annotation file holds no cycle"):
        read_icbhi(icbhi)


def test_audio_without_annotation(icbhi: Path) -> None:
    (icbhi / FIRST).unlink()
    with pytest.raises(DataError, match=r"101_1b1_Al_sc_Meditron\.wav: its annotation .* is not beside it"):
        read_icbhi(icbhi)


@pytest.mark.parametrize("ending", ["wav", "txt"])
def test_a_recording_that_the_official_list_lacks(icbhi: Path, ending: str) -> None:
    (icbhi / DATABASE / f"999_1b1_Al_sc_Meditron.{ending}").touch()
    with pytest.raises(DataError, match=rf"999_1b1_Al_sc_Meditron\.{ending}: .* in neither train nor test"):
        read_icbhi(icbhi)


@pytest.mark.parametrize("absent", [DATABASE, "ICBHI_challenge_train_test.txt"])
def test_a_wrong_folder_says_what_it_must_hold(icbhi: Path, absent: str) -> None:
    path = icbhi / absent
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    with pytest.raises(DataError, match=f"there is no {absent}. This folder must hold {DATABASE}"):
        read_icbhi(icbhi)


def test_a_list_that_contradicts_itself(icbhi: Path) -> None:
    with (icbhi / "ICBHI_challenge_train_test.txt").open("a") as file:
        file.write("101_1b1_Al_sc_Meditron\ttrain\n")
    with pytest.raises(DataError, match="line 5, part: 101_1b1_Al_sc_Meditron is in train and in test"):
        read_icbhi(icbhi)


@pytest.fixture
def complete(real_root: Path, tmp_path: Path) -> Path:
    """All 920 annotations in the official layout, with empty files in place of the audio: readers do not decode."""
    root, real = tmp_path / "complete", real_root / "icbhi"
    (root / DATABASE).mkdir(parents=True)
    for path in (real / "annotations_all").glob("*.txt"):
        shutil.copyfile(path, root / DATABASE / path.name)
        (root / DATABASE / f"{path.stem}.wav").touch()
    shutil.copyfile(real / "ICBHI_challenge_train_test.txt", root / "ICBHI_challenge_train_test.txt")
    return root


def test_the_complete_set_has_the_official_counts(complete: Path) -> None:
    table = read_icbhi(complete)
    assert not table.partial
    assert table.clips["label"].value_counts().to_dict() == {
        "normal": 3642,
        "crackle": 1864,
        "wheeze": 886,
        "both": 506,
    }
    assert table.recordings["patient"].nunique() == 126
    by_subset = table.recordings.groupby("subset")
    official = OFFICIAL.set_index("subset")
    assert by_subset.size().to_dict() == official["recordings"].to_dict() == {"train": 539, "test": 381}
    assert by_subset["patient"].nunique().to_dict() == official["patients"].to_dict() == {"train": 79, "test": 49}
    devices = table.recordings.groupby("subset")["device"].value_counts()
    assert devices["train"].to_dict() == {"AKGC417L": 361, "LittC2SE": 87, "Meditron": 86, "Litt3200": 5}
    assert devices["test"].to_dict() == {"AKGC417L": 285, "Litt3200": 55, "Meditron": 41}

    clips = table.clips
    rule = split("icbhi-official")
    train, test = rule.train_rows(clips), rule.test_rows(clips)
    assert clips[train]["label"].value_counts().tolist() == [2063, 1215, 501, 363]
    assert clips[test]["label"].value_counts().tolist() == [1579, 649, 385, 143]
    assert set(clips[train]["patient"]) & set(clips[test]["patient"]) == {"156", "218"}
    testclean = split("icbhi-official-testclean")
    assert testclean.test_rows(clips).sum() == 2636
    assert not set(clips[testclean.train_rows(clips)]["patient"]) & set(clips[testclean.test_rows(clips)]["patient"])
    clean = split("icbhi-official-clean")
    assert not set(clips[clean.train_rows(clips)]["patient"]) & set(clips[clean.test_rows(clips)]["patient"])


def test_a_complete_set_with_other_counts_is_refused(complete: Path) -> None:
    with (complete / FIRST).open("a") as file:
        file.write("0.0\t0.5\t0\t0\n")
    with pytest.raises(DataError, match="not the official ones"):
        read_icbhi(complete)


def test_the_recordings_at_hand(real_root: Path) -> None:
    table = read_icbhi(real_root / "icbhi")
    counts = pd.crosstab(table.clips["subset"], table.clips["label"])[["normal", "crackle", "wheeze", "both"]]
    assert counts.loc["train"].tolist() == [740, 147, 120, 42]
    assert counts.loc["test"].tolist() == [639, 102, 140, 39]
    assert table.clips.groupby("subset")["patient"].nunique().to_dict() == {"train": 41, "test": 33}
    assert len(table.missing) + len(table.recordings) == 920


def test_the_alias_is_needed(real_root: Path) -> None:
    subsets, notes = read_official_list(real_root / "icbhi" / "ICBHI_challenge_train_test.txt")
    assert set(ALIASES.values()) <= set(subsets)
    assert len(notes) == 1


def test_all_patients_judge_what_was_trained_elsewhere(icbhi: Path) -> None:
    clips = read_icbhi(icbhi).clips
    rule = split("icbhi")
    assert rule.test_rows(clips).all()
    assert not rule.train_rows(clips).any()
