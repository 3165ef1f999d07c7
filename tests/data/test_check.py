"""`data check`: everything that is wrong, at once."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from rich.console import Console
from tiny import Cli

from rsbench.core.errors import DataError
from rsbench.data.annotations import read_each
from rsbench.data.check import DataCheck, check, count_overlapping
from rsbench.data.folder import read_folder
from rsbench.data.icbhi import read_icbhi
from rsbench.data.splits import split
from rsbench.data.sprsound import read_sprsound
from rsbench.evaluation.nuisance import length_audit
from rsbench.report.tables.data import render

DATABASE = "ICBHI_final_database"


def printed(found: DataCheck) -> str:
    text = io.StringIO()
    render(found, Console(file=text, width=200))
    return text.getvalue()


def test_an_incomplete_set_is_not_ok_and_not_broken(icbhi: Path) -> None:
    found = check(read_icbhi(icbhi))
    assert (found.ok, found.broken) == (False, False)
    counts = found.counts.set_index(["subset", "what"])
    assert counts.loc[("train", "recordings")].tolist() == [2, 539]
    assert counts.loc[("test", "both")].tolist() == [1, 143]
    assert found.formats.iloc[0].to_dict() == {"rate": 4000, "coding": "PCM_16", "channels": 1, "recordings": 3}
    text = printed(found)
    assert "2 / 539" in text
    assert "Missing: 1 official recordings: 107_2b3_Tc_mc_AKGC417L" in text
    assert "226_1b1_Pl_sc_Meditron is read as 226_1b1_Pl_sc_LittC2SE" in text


def test_all_unreadable_files_are_named(icbhi: Path) -> None:
    for name in ("101_1b1_Al_sc_Meditron", "103_2b2_Ar_mc_LittC2SE"):
        (icbhi / DATABASE / f"{name}.wav").write_bytes(b"RIFF")
    found = check(read_icbhi(icbhi))
    assert found.broken
    assert len(found.unreadable) == 2
    text = printed(found)
    assert "101_1b1_Al_sc_Meditron.wav" in text
    assert "103_2b2_Ar_mc_LittC2SE.wav" in text


def test_all_broken_annotations_are_named(icbhi: Path) -> None:
    for name, text in (("101_1b1_Al_sc_Meditron", "0 1 0 2\n"), ("103_2b2_Ar_mc_LittC2SE", "")):
        (icbhi / DATABASE / f"{name}.txt").write_text(text)
    with pytest.raises(DataError) as caught:
        read_icbhi(icbhi)
    first, second = str(caught.value).splitlines()
    assert "101_1b1_Al_sc_Meditron.txt, line 1, wheeze: '2' is not a flag" in first
    assert "103_2b2_Ar_mc_LittC2SE.txt: the annotation file holds no cycle" in second


def test_many_errors_are_told_and_the_rest_counted() -> None:
    def refuse(number: int) -> int:
        if number % 2:
            raise DataError(f"{number} is odd.")
        return number

    assert read_each(refuse, [2, 4]) == [2, 4]
    with pytest.raises(DataError) as caught:
        read_each(refuse, range(50))
    assert str(caught.value).splitlines() == [*(f"{2 * n + 1} is odd." for n in range(20)), "… and 5 more errors."]


def test_late_ends_and_overlaps_are_counted_and_later_ends_are_problems(icbhi: Path) -> None:
    database = icbhi / DATABASE
    (database / "101_1b1_Al_sc_Meditron.txt").write_text("0.0 1.0 0 0\n0.9 2.05 0 1\n")
    (database / "103_2b2_Ar_mc_LittC2SE.txt").write_text("0.0 3.0 0 0\n")
    found = check(read_icbhi(icbhi))
    assert (found.clipped, found.overlapping, found.broken) == (1, 1, True)
    assert "103_2b2_Ar_mc_LittC2SE is 2.000 s long" in found.problems[0]


def test_a_clip_inside_an_earlier_one_overlaps(icbhi: Path) -> None:
    text = "0.0 1.5 0 0\n0.2 0.4 0 0\n1.0 1.2 0 0\n1.5 1.8 0 0\n"
    (icbhi / DATABASE / "101_1b1_Al_sc_Meditron.txt").write_text(text)
    assert count_overlapping(read_icbhi(icbhi).clips) == 2


def test_a_patient_on_both_sides_is_named(icbhi: Path, record: Callable[..., Path]) -> None:
    for name, part in (("218_1b1_Al_sc_Meditron", "train"), ("218_1b1_Pl_sc_Meditron", "test")):
        record(icbhi / DATABASE / f"{name}.wav")
        (icbhi / DATABASE / f"{name}.txt").write_text("0 1 0 0\n")
        with (icbhi / "ICBHI_challenge_train_test.txt").open("a") as file:
            file.write(f"{name}\t{part}\n")
    found = check(read_icbhi(icbhi))
    assert found.on_both_sides == {"icbhi-official": ("218",)}
    assert "Patients on both sides of icbhi-official: 1 (218)" in printed(found)


def test_a_whole_set_of_ones_own_is_ok(tmp_path: Path, record: Callable[..., Path]) -> None:
    record(tmp_path / "a.wav")
    rows = ["path,start_s,end_s,label,patient", "a.wav,0,1,normal,p1", "a.wav,1,2,both,p1", ""]
    (tmp_path / "clips.csv").write_text("\n".join(rows))
    found = check(read_folder(tmp_path, "mine"))
    assert found.ok
    assert found.counts["official"].isna().all()
    sides = found.splits.set_index(["split", "side", "class"])
    assert sides.loc[("mine", "test", "both"), ["clips", "patients", "sizes"]].tolist() == [1, 1, (1,)]
    assert "mine" in printed(found)


def test_one_sound_of_sprsound_is_on_two_sides_with_two_labels(real_root: Path) -> None:
    table = read_sprsound(real_root / "sprsound")
    of_child = table.recordings[table.recordings["patient"] == "41279835"]
    clips = table.clips[table.clips["patient"] == "41279835"]
    found = check(type(table)("sprsound", clips, of_child, table.official, table.missing))
    (twins,) = found.twins
    assert set(twins) == {"41279835_14.1_0_p1_2050", "41279835_14.1_0_p1_2945"}
    said = "".join(printed(found).split())
    assert "Onesoundunder2names:" in said
    assert "41279835_14.1_0_p1_2050inintra2022(" in said
    tested = split("sprsound-intra").test_rows(table.clips)
    assert set(table.clips["recording"][tested]).isdisjoint(twins)


def test_poor_quality_recordings_are_counted_beside_the_official_number(real_root: Path) -> None:
    table = read_sprsound(real_root / "sprsound")
    few = table.recordings[table.recordings["record_label"] == "Poor Quality"]
    found = check(type(table)("sprsound", table.clips[:0], few, table.official, table.missing))
    assert found.poor_quality == 187
    counts = found.counts.set_index(["subset", "what"])
    assert counts.loc[("inter2022", "Poor Quality")].tolist() == [8, 8]
    assert counts.loc[("train2022", "Poor Quality")].tolist() == [177, 177]


def test_recordings_without_sound_are_counted_and_named(icbhi: Path) -> None:
    path = icbhi / DATABASE / "101_1b1_Al_sc_Meditron.wav"
    soundfile.write(path, np.zeros(8000), 4000)
    found = check(read_icbhi(icbhi))
    assert not found.broken
    assert "1 with no sound: 101_1b1_Al_sc_Meditron.wav." in printed(found)


@pytest.mark.parametrize("name", ["four-class", "four-class-strict"])
def test_both_label_maps(icbhi: Path, name: str) -> None:
    assert check(read_icbhi(icbhi), map_name=name).splits["clips"].sum() > 0


def test_lengths_of_sprsound_tell_the_class_as_the_documentation_says(real_root: Path) -> None:
    clips = read_sprsound(real_root / "sprsound").clips
    clips = clips.assign(
        class_index=(clips["label"] != "Normal").astype(int), length_s=clips["end_s"] - clips["start_s"]
    )
    found = length_audit(clips, [split("sprsound-inter"), split("sprsound-intra")])
    assert found["value"].round(3).tolist() == [0.185, 0.167, 0.185, 0.114]


def test_clips_are_as_long_as_their_recording_lets_them_be(tmp_path: Path, record: Callable[..., Path]) -> None:
    path = record(tmp_path / "a.wav")
    whole = soundfile.info(path).duration
    rows = ["path,start_s,end_s,label,patient", "a.wav,0,1,normal,p1", f"a.wav,1,{whole + 0.05},both,p1", ""]
    (tmp_path / "clips.csv").write_text("\n".join(rows))
    clips = check(read_folder(tmp_path, "mine")).clips
    assert clips["length_s"].tolist() == pytest.approx([1, whole - 1])
    assert clips["class_index"].tolist() == [0, 3]
    assert clips["rate"].tolist() == [soundfile.info(path).samplerate] * 2


def test_what_a_nuisance_explains_is_printed_and_changes_no_exit_code(cli: Cli, tiny_root: Path) -> None:
    for by in ("level", "patient"):
        outcome = cli("data", "check", "--root", tiny_root, "--dataset", "tiny", "--by", by)
        assert outcome.code == 0
        assert f"What {by} alone explains" in outcome.out
        assert ("another patient in test than in train" in outcome.out) == (by == "patient")
    refused = cli("data", "check", "--root", tiny_root, "--by", "lenght")
    assert refused.code != 0
    assert "--by lenght: there is no such nuisance. Did you mean 'length'?" in refused.err
