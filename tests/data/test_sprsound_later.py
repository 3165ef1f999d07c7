"""SPRSound 2023 to 2025: who is new, what is missing, and that nobody is trained on and tested under another name."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tiny import Cli

from rsbench import QualityIndex
from rsbench.core.errors import DataError
from rsbench.data.catalogue import catalogue
from rsbench.data.sources import Roots
from rsbench.data.splits import split
from rsbench.data.sprsound import read_sprsound
from rsbench.data.sprsound_later import PUBLISHED, read_sprsound_later
from rsbench.experiment.prepare import refuse_other_editions
from rsbench.quality.leakage import refuse_seen_patients

OF_2022 = "40512331"  # a patient of train2022, by the catalogue
EVENTS = {"event_annotation": [{"start": "239", "end": "2591", "type": "Normal"}]}
POOR = {"record_annotation": "Poor Quality", "event_annotation": [{"start": "0", "end": "9", "type": "Wheeze"}]}

# A child known from 2022, one of 2023 who comes again with leading zeros, one new each year, and two without a number.
NAMES = {
    2023: {f"{OF_2022}_9.1_1_p1_7": EVENTS, "77000001_4.0_0_p3_6103": EVENTS, "16281_3.7_1_p3_11865": EVENTS},
    2024: {"00016281_3.9_1_p3_12865": EVENTS, "77000002_3.6_0_p8_8003": POOR, "_3.4_1_p4_10990": EVENTS},
    2025: {"77000003_5.3_0_p1_25271": EVENTS, "_0.7_0_p5_34309": EVENTS},
}


@pytest.fixture
def later(tmp_path: Path) -> Path:
    """The folder of a clone: editions of later years, those of 2025 under releases/. Audio is mere names."""
    root = tmp_path / "sprsound"
    for year, described in NAMES.items():
        base = root / ("releases" if year == 2025 else ".") / f"BioCAS{year}"
        for kind in ("wav", "json"):
            (base / f"test{year}_{kind}").mkdir(parents=True)
        for name, annotation in described.items():
            (base / f"test{year}_json" / f"{name}.json").write_text(json.dumps(annotation))
            (base / f"test{year}_wav" / f"{name}.wav").touch()
    return root


def test_subsets_say_who_was_in_an_earlier_edition(later: Path) -> None:
    recordings = read_sprsound_later(later).recordings.set_index("recording")
    assert recordings["subset"].to_dict() == {
        f"{OF_2022}_9.1_1_p1_7": "test2023-known",
        "77000001_4.0_0_p3_6103": "test2023",
        "16281_3.7_1_p3_11865": "test2023",
        "00016281_3.9_1_p3_12865": "test2024-known",
        "77000002_3.6_0_p8_8003": "test2024",
        "_3.4_1_p4_10990": "test2024-unnumbered",
        "77000003_5.3_0_p1_25271": "test2025",
        "_0.7_0_p5_34309": "test2025-unnumbered",
    }
    assert recordings.loc["00016281_3.9_1_p3_12865", "patient"] == "16281"  # one patient has one spelling
    assert recordings.loc["_3.4_1_p4_10990", "patient"] == "_3.4_1_p4_10990"  # a patient of its own


def test_new_patients_are_in_no_earlier_edition(later: Path) -> None:
    clips = read_sprsound_later(later).clips
    new = clips[split("sprsound-new").test_rows(clips)]
    assert sorted(new["patient"]) == ["16281", "77000001", "77000003"]  # 77000002's recording is of poor quality
    published = catalogue("sprsound")
    assert published is not None
    assert not set(new["patient"]) & {name.partition("_")[0] for name in published.index}
    assert split("sprsound-2024").test_rows(clips).sum() == 2


def test_a_copy_of_an_edition_is_not_read_twice(later: Path) -> None:
    clips = read_sprsound_later(later).clips
    (later / "releases/BioCAS2023").mkdir()
    for folder in (later / "BioCAS2023").iterdir():
        (later / "releases/BioCAS2023" / folder.name).symlink_to(folder)
    assert read_sprsound_later(later).clips.equals(clips)


def test_what_is_missing_is_counted_by_edition(later: Path) -> None:
    (later / "BioCAS2023/test2023_wav/77000001_4.0_0_p3_6103.wav").unlink()
    table = read_sprsound_later(later)
    assert len(table.missing) + len(table.recordings) == sum(PUBLISHED.values()) == 3884
    assert table.missing[0] == "77000001_4.0_0_p3_6103"
    assert table.missing.count("a recording of 2024") == 1704 - 3


def test_notes_count_what_new_patients_leave_out(later: Path) -> None:
    notes = read_sprsound_later(later).notes
    assert notes[1].startswith("2024: 1 recordings are of patients of an earlier edition, and 1 name no patient")


@pytest.mark.parametrize(
    ("name", "said"), [("77000009_4.0_0_p9_1", "the name is not"), ("no", "no annotation no.json")]
)
def test_strange_files_are_named(later: Path, name: str, said: str) -> None:
    (later / f"BioCAS2024/test2024_wav/{name}.wav").touch()
    if name != "no":
        (later / f"BioCAS2024/test2024_json/{name}.json").write_text(json.dumps(EVENTS))
    with pytest.raises(DataError, match=said):
        read_sprsound_later(later)


def test_a_folder_without_later_editions(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no annotations of SPRSound 2023 to 2025\. .*BioCAS2023/ with test2023_wav"):
        read_sprsound_later(tmp_path)


def test_it_lies_in_the_folder_of_sprsound(later: Path) -> None:
    roots = Roots((later.parent,))
    assert roots.folder("sprsound-later") == later
    assert roots.present() == ["sprsound", "sprsound-later"]
    assert Roots(named={"sprsound": later}).folder("sprsound-later") == later
    (later / "BioCAS2022").mkdir()
    for year in NAMES:
        for path in later.glob(f"**/test{year}_json"):
            path.rename(later / f"other{year}")
    assert roots.present() == ["sprsound"]  # a folder of 2022 alone


def test_who_is_trained_on_is_not_tested_in_another_edition(later: Path, sprsound: Callable[..., Path]) -> None:
    of_2022 = sprsound({"train2022": {f"{OF_2022}_8.1_1_p1_3544": {"record_annotation": "Normal", **EVENTS}}})
    tables = {"sprsound": read_sprsound(of_2022), "sprsound-later": read_sprsound_later(later)}
    trains = [split("sprsound-train")]
    refuse_other_editions(trains, [split("sprsound-new"), split("sprsound-2024")], tables)
    with pytest.raises(DataError, match=rf"'sprsound-2023' holds 1 patients whom 'sprsound-train' trains .*{OF_2022}"):
        refuse_other_editions(trains, [split("sprsound-2023")], tables)


def test_who_was_heard_by_an_index_is_not_judged_in_another_edition(later: Path) -> None:
    class Knows(QualityIndex):
        seen = {"sprsound": frozenset({OF_2022})}

        def measure(self, samples: np.ndarray, rate: int) -> tuple[float, ...]:
            return (0.0,)

    tables = {"sprsound-later": read_sprsound_later(later)}
    refuse_seen_patients("knows", Knows(), [split("sprsound-new")], tables)
    with pytest.raises(DataError, match="recordings of 1 patients of the split 'sprsound-2023'.*--test sprsound-new"):
        refuse_seen_patients("knows", Knows(), [split("sprsound-2023")], tables)


def test_check_of_an_incomplete_edition(later: Path, cli: Cli, record: Callable[..., Path]) -> None:
    for seed, path in enumerate(later.glob("**/*.wav")):
        record(path, seconds=3.0, rate=8000, seed=seed)
    done = cli("data", "check", "--root", later.parent, "--dataset", "sprsound-later", "--partial")
    assert done.code == 0, done.out + done.err
    assert "sprsound-new" in done.out
