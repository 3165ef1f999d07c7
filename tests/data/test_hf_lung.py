"""HF_Lung_V1: phases become clips, labelled with the sounds that they share time with; dates stand for patients."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny import Cli

from rsbench.core.errors import DataError
from rsbench.data.hf_lung import SHARED_S, WORDS, _with_sounds, read_hf_lung
from rsbench.data.splits import split

STETH, TRUNC = "steth_20190821_12_00_25", "trunc_2019-08-21-10-35-06-L1_1"
LINES = """I 00:00:00.000 00:00:02.000
D 00:00:01.500 00:00:02.050
E 00:00:02.000 00:00:03.250
Wheeze 00:00:02.100 00:00:03.000
Rhonchi 00:00:01.000 00:00:03.000
I 00:00:05.000 00:00:06.000
"""

Build = Callable[..., Path]


@pytest.fixture
def hf_lung(tmp_path: Path) -> Build:
    """Both parts below a folder, audio being mere names: `hf_lung({"train": {name: lines}})`."""

    def build(parts: dict[str, dict[str, str]]) -> Path:
        for part, recordings in parts.items():
            folder = tmp_path / "hf_lung" / "HF_Lung_V1" / part
            folder.mkdir(parents=True, exist_ok=True)
            for name, lines in recordings.items():
                (folder / f"{name}.wav").touch()
                (folder / f"{name}_label.txt").write_text(lines)
        return tmp_path / "hf_lung"

    return build


def test_phases_are_clips_and_what_is_outside_them_is_not(hf_lung: Build) -> None:
    table = read_hf_lung(hf_lung({"train": {STETH: LINES, TRUNC: ""}, "test": {"steth_20180814_09_37_11": ""}}))
    assert table.clips[["start_s", "end_s", "label"]].values.tolist() == [
        [0.0, 2.0, "I D Rhonchi"],
        [2.0, 3.25, "E Wheeze Rhonchi"],  # of D, 0.05 s: drawn by hand
        [5.0, 6.0, "I"],
    ]
    assert [WORDS[label] for label in table.clips["label"]] == ["both", "wheeze", "normal"]
    assert "2 recordings have no phase annotated, and so no clip." in table.notes


def test_dates_stand_for_patients_and_this_is_said(hf_lung: Build) -> None:
    table = read_hf_lung(hf_lung({"train": {STETH: LINES, TRUNC: LINES}}))
    assert table.recordings[["patient", "device", "location"]].values.tolist() == [
        ["2019-08-21", "Litt3200", ""],
        ["2019-08-21", "HF-Type-1", "L1"],
    ]
    assert table.notes[0].startswith("Recordings name no patient: each (shifted) date is taken for one")
    assert "dates stand for patients" in split("hf_lung").summary
    assert len(table.missing) == 9765 - 2


def test_a_phase_and_any_sounds_are_a_word_with_a_class() -> None:
    assert len(WORDS) == 2 * 2**4
    assert WORDS["E"] == WORDS["I"] == "normal"
    assert WORDS["E D"] == "crackle"
    assert WORDS["E Wheeze Stridor"] == "wheeze"
    assert WORDS["I D Wheeze Rhonchi Stridor"] == "both"


@given(st.floats(0, 10), st.floats(0.2, 5), st.floats(0, 10), st.floats(0.01, 5))
def test_a_sound_belongs_to_a_phase_that_it_shares_enough_with(
    start_s: float, length_s: float, sound_s: float, sounds_s: float
) -> None:
    phase = {"label": "I", "start_s": start_s, "end_s": start_s + length_s}
    sound = {"label": "D", "start_s": sound_s, "end_s": sound_s + sounds_s}
    steps = [sound_s + (step + 0.5) * sounds_s / 500 for step in range(500)]
    shared_s = sum(phase["start_s"] <= at < phase["end_s"] for at in steps) * sounds_s / 500
    near = abs(shared_s - min(SHARED_S, sounds_s / 2)) < sounds_s / 200
    assert near or (_with_sounds(phase, [sound]) == "I D") == (shared_s > min(SHARED_S, sounds_s / 2))


@pytest.mark.parametrize(("line", "said"), [
    ("I 00:00:01.000", "line 1, label, start, end: 2 values"),
    ("X 00:00:01.000 00:00:02.000", "line 1, label: unknown 'X'"),
    ("I 1.0 00:00:02.000", "line 1, start: '1.0' is not a time, as 00:00:01.250 is one"),
    ("I 00:00:02.000 00:00:01.000", "line 1, end: the clip ends at 1.0 s, before its start"),
])  # fmt: skip
def test_a_broken_line_names_file_line_and_field(hf_lung: Build, line: str, said: str) -> None:
    with pytest.raises(DataError, match=rf"{STETH}_label\.txt, {said}"):
        read_hf_lung(hf_lung({"train": {STETH: line}}))


def test_recordings_of_other_names_and_without_labels(hf_lung: Build) -> None:
    root = hf_lung({"train": {STETH: LINES, "mine": LINES}})
    (root / "HF_Lung_V1/train" / f"{TRUNC}.wav").touch()
    with pytest.raises(DataError, match=rf"mine\.wav: the name is not(.|\n)*its annotation {TRUNC}_label\.txt is"):
        read_hf_lung(root)


def test_archives_that_are_still_packed(tmp_path: Path) -> None:
    (tmp_path / "train.7z.001").touch()
    with pytest.raises(DataError, match=rf"Unpack {tmp_path}/train\.7z\.001 first, in its folder, with 7z x FILE"):
        read_hf_lung(tmp_path)


def test_it_is_checked(hf_lung: Build, cli: Cli, record: Callable[..., Path]) -> None:
    root = hf_lung({"train": {STETH: LINES}, "test": {"steth_20180814_09_37_11": LINES}})
    for seed, path in enumerate(root.glob("**/*.wav")):
        record(path, seconds=7.0, seed=seed)
    done = cli("data", "check", "--root", root.parent, "--dataset", "hf_lung", "--partial")
    assert done.code == 0, done.out + done.err
    assert "each (shifted) date is taken for one" in " ".join(done.out.split())
