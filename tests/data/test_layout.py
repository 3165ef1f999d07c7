"""Recordings are found wherever an archive, a clone or a copy has put them; where none lies, that is said."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from rsbench.core.errors import DataError
from rsbench.data.icbhi import read_icbhi
from rsbench.data.layout import folders_below, where_recordings_lie
from rsbench.data.sources import Roots, load_table
from rsbench.data.sprsound import read_sprsound

DATABASE, LIST = "ICBHI_final_database", "ICBHI_challenge_train_test.txt"
EVENTS = [{"start": "100", "end": "500", "type": "Normal"}]
TRAIN, INTRA, INTER = "40512331_8.1_1_p1_3544", "40512331_8.2_1_p2_11", "65034376_1.5_0_p3_1"


@pytest.mark.parametrize(
    "moved",
    [
        f"{DATABASE}/{DATABASE}",
        f"{DATABASE}/audio_and_txt_files",
        "Respiratory_Sound_Database/Respiratory_Sound_Database/audio_and_txt_files",
        ".",
    ],
)
def test_icbhi_is_read_wherever_its_recordings_lie(icbhi: Path, moved: str) -> None:
    expected = read_icbhi(icbhi).clips
    shutil.move(icbhi / DATABASE, icbhi / "recordings")
    for path in (icbhi / "recordings").iterdir():
        (icbhi / moved).mkdir(parents=True, exist_ok=True)
        shutil.move(path, icbhi / moved / path.name)
    shutil.move(icbhi / LIST, icbhi / moved / LIST.lower())
    table = read_icbhi(icbhi)
    assert table.clips.equals(expected)
    assert table.places[table.clips["clip_id"][1]].endswith("101_1b1_Al_sc_Meditron.txt, line 2")


def test_two_copies_of_icbhi_are_one_and_two_sets_are_none(icbhi: Path) -> None:
    shutil.move(icbhi / DATABASE, icbhi / "one")
    shutil.copytree(icbhi / "one", icbhi / "two")
    (_, note) = read_icbhi(icbhi).notes
    assert note == f"{icbhi}/two holds recordings too, and is not read beside {icbhi}/one."
    next((icbhi / "two").glob("*.wav")).unlink()
    with pytest.raises(DataError, match=rf"recordings of ICBHI lie in {icbhi}/one and in {icbhi}/two"):
        read_icbhi(icbhi)


def test_two_official_lists_that_differ_are_refused(icbhi: Path) -> None:
    (icbhi / DATABASE / LIST).write_text("101_1b1_Al_sc_Meditron\ttrain\n")
    with pytest.raises(DataError, match="are not the same list. Keep one of them"):
        read_icbhi(icbhi)


def test_no_recording_is_never_accepted(icbhi: Path, sprsound: Callable[..., Path]) -> None:
    for path in (icbhi / DATABASE).glob("*.wav"):
        path.unlink()
    others = sprsound({"train2022": {TRAIN: {"record_annotation": "Normal", "event_annotation": EVENTS}}})
    for path in others.rglob("*.wav"):
        path.unlink()
    for name in ("icbhi", "sprsound"):
        with pytest.raises(DataError, match=rf"No recording \(.wav, .*\) lies in .*{name} or below it"):
            load_table(name, Roots((icbhi.parent,)), partial=True)


def test_a_database_of_other_recordings_is_called_so(icbhi: Path) -> None:
    for path in (icbhi / DATABASE).glob("*.wav"):
        path.rename(path.with_name(f"copy of {path.name}"))
    with pytest.raises(DataError, match=rf"{DATABASE}: no recording is called as those of ICBHI are.*{DATABASE} \(3\)"):
        load_table("icbhi", Roots((icbhi.parent,)), partial=True)


def test_a_folder_of_another_name_is_named(icbhi: Path) -> None:
    shutil.move(icbhi, icbhi.with_name("ICBHI"))
    with pytest.raises(DataError, match=rf"No data set was found .*Recordings lie in .*/ICBHI/{DATABASE} \(3\)"):
        Roots((icbhi.parent,)).present()
    with pytest.raises(DataError, match=rf"Recordings lie in .*/ICBHI/{DATABASE} \(3\)"):
        load_table("icbhi", Roots((icbhi.parent,)), partial=True)


def release(base: Path, train: str, test: str) -> None:
    """The smallest SPRSound: a recording per subset."""
    for part, below, name in (
        (train, "", TRAIN),
        (test, "intra_test_json", INTRA),
        (test, "inter_test_json", INTER),
    ):
        wav, folder = base / part.format("wav"), base / part.format("json") / below
        wav.mkdir(parents=True, exist_ok=True)
        folder.mkdir(parents=True, exist_ok=True)
        (wav / f"{name}.wav").touch()
        (folder / f"{name}.json").write_text(json.dumps({"record_annotation": "DAS", "event_annotation": EVENTS}))


@pytest.mark.parametrize("base", ["releases/BioCAS2022", "SPRSound/BioCAS2022", "SPRSound-main/releases/BioCAS2022"])
def test_sprsound_is_read_wherever_its_release_lies(tmp_path: Path, base: str) -> None:
    release(tmp_path / base, "train2022_{}", "test2022_{}")
    assert sorted(read_sprsound(tmp_path).clips["subset"]) == ["inter2022", "intra2022", "train2022"]


@pytest.mark.parametrize(
    ("train", "test"),
    [
        ("train_classification_{}", "test_classification_{}/2022"),
        ("train_classification_{}/2022", "valid_classification_{}/2022"),
        ("train_{}", "test_{}"),
    ],
)
def test_sprsound_is_read_by_every_name_its_folders_have_had(tmp_path: Path, train: str, test: str) -> None:
    release(tmp_path / "SPRSound" / "Classification", train, test)
    (tmp_path / "SPRSound" / "Detection").mkdir()
    assert len(read_sprsound(tmp_path).clips) == 3


def test_events_of_poor_quality_recordings_are_left_out_and_said(tmp_path: Path) -> None:
    release(tmp_path, "train2022_{}", "test2022_{}")
    note = tmp_path / "train2022_json" / f"{TRAIN}.json"
    note.write_text(json.dumps({"record_annotation": "Poor Quality", "event_annotation": EVENTS}))
    table = read_sprsound(tmp_path)
    assert TRAIN not in set(table.clips["recording"])
    assert f"1 events of Poor Quality recordings are left out; the first: {note}, event 1." in table.notes


def test_recordings_without_a_patient_are_patients_of_their_own_and_said(tmp_path: Path) -> None:
    release(tmp_path, "train2022_{}", "test2022_{}")
    for path in tmp_path.rglob(f"{TRAIN}.*"):
        path.rename(path.with_stem("_5.3_0_p8_34877"))
    table = read_sprsound(tmp_path)
    assert table.recordings["patient"].tolist() == ["_5.3_0_p8_34877", "40512331", "65034376"]
    assert "1 recordings name no patient" in table.notes[0]


def test_one_recording_in_two_subsets_is_refused(tmp_path: Path) -> None:
    release(tmp_path, "train2022_{}", "test2022_{}")
    shutil.copy(tmp_path / f"train2022_json/{TRAIN}.json", tmp_path / f"test2022_json/inter_test_json/{TRAIN}.json")
    shutil.copy(tmp_path / f"train2022_wav/{TRAIN}.wav", tmp_path / f"test2022_wav/{TRAIN}.wav")
    with pytest.raises(DataError, match="annotate one recording. Remove one of them"):
        read_sprsound(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"event_annotation": [], "event_annotation": []}', "the field 'event_annotation' is there twice"),
        ("[" * 200_000, "no annotation"),
        ('{"event_annotation": ' + "9" * 5000 + "}", "no annotation"),
        ('{"record_annotation": "poor quality", "event_annotation": []}', "Did you mean 'Poor Quality'"),
    ],
)
def test_json_that_only_looks_like_an_annotation(tmp_path: Path, text: str, message: str) -> None:
    release(tmp_path, "train2022_{}", "test2022_{}")
    (tmp_path / "train2022_json" / f"{TRAIN}.json").write_text(text)
    with pytest.raises(DataError, match=rf"{TRAIN}\.json.*{message}"):
        read_sprsound(tmp_path)


def test_links_in_a_circle_are_followed_once(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "again").symlink_to(tmp_path)
    (tmp_path / "loop").symlink_to("loop")
    assert folders_below(tmp_path) == [tmp_path, tmp_path / "a", tmp_path / "a" / "b"]
    assert where_recordings_lie(tmp_path / "gone").startswith("No recording")
