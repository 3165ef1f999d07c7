"""A data set of one's own: one csv."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from rsbench.core.errors import DataError, PluginError
from rsbench.data.folder import clip_table, read_folder

Own = Callable[[Sequence[str]], Path]

HEADER = "path,start_s,end_s,label,patient"


def test_clips_and_recordings(own: Own) -> None:
    lines = [
        f"{HEADER},device,location,subset,record_label",
        "a.wav,0,1.5,normal,p1,phone,left,train,good",
        "sub/b.flac,0.25,1,wheeze,p2,,,,",
        "a.wav,1.5,2,both,p1,phone,left,train,good",
    ]
    table = read_folder(own(lines), "mine")
    assert table.dataset == "mine"
    assert table.clips["clip_id"].tolist() == ["a:0", "sub/b:0", "a:1"]
    assert table.clips["end_s"].tolist() == [1.5, 1.0, 2.0]
    assert table.clips["subset"].tolist() == ["train", "test", "train"]
    assert table.recordings["recording"].tolist() == ["a", "sub/b"]
    assert table.recordings["record_label"].tolist() == ["good", ""]
    assert all(Path(path).is_file() for path in table.recordings["path"])


def test_a_spreadsheets_byte_order_mark_and_line_ends(own: Own) -> None:
    root = own([])
    (root / "clips.csv").write_bytes(f"\ufeff{HEADER}\r\na.wav,0,1,normal,p1\r\n".encode())
    assert len(read_folder(root, "mine").clips) == 1


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("gone.wav,0,1,normal,p1", "line 3, path: there is no file"),
        ("/a.wav,0,1,normal,p1", "line 3, path: /a.wav is absolute"),
        ("a.wav,zero,1,normal,p1", "line 3, start_s: 'zero' is not a number"),
        ("a.wav,0,nan,normal,p1", "line 3, end_s: 'nan' is not a time"),
        ("a.wav,0,,normal,p1", "line 3, end_s: '' is not a number"),
        ("a.wav,1,1,normal,p1", "line 3, end_s: the clip has no length"),
        ("a.wav,0,1,Normal,p1", "line 3, label: unknown label 'Normal'. Did you mean 'normal'"),
        ("a.wav,0,1,normal,", "line 3, patient: is empty"),
        ("a.wav,0,1,normal,p2", "line 3, patient: 'p2', but 'p1' in an earlier clip of a"),
        ("a.wav,0,1,normal", "line 3, columns: more or fewer values"),
        ("a.wav,0,1,normal,p1,x", "line 3, columns: more or fewer values"),
        ('"a.wav,0,1,normal,p1', "line 3: not csv"),
    ],
)
def test_a_broken_row_names_line_and_column(own: Own, row: str, message: str) -> None:
    with pytest.raises(DataError, match=rf"clips\.csv, {message}"):
        read_folder(own([HEADER, "a.wav,0,1,normal,p1", row]), "mine")


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["path,start_s,end_s,label"], "line 1: the column patient is not there"),
        (["path,start_s,label,patient"], "line 1: the column end_s is not there"),
        ([f"{HEADER},devise"], "line 1: unknown column 'devise'. Did you mean 'device'"),
        ([HEADER], "there is no clip in it"),
        ([], "line 1: the column path is not there"),
    ],
)
def test_a_broken_header_or_no_row(own: Own, lines: list[str], message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_folder(own(lines), "mine")


def test_without_times_a_clip_is_its_whole_recording(own: Own) -> None:
    clips = read_folder(own(["path,label,patient", "a.wav,normal,p1", "sub/b.flac,both,p2"]), "mine").clips
    assert clips["start_s"].tolist() == [0, 0]
    assert np.isinf(clips["end_s"]).all()


def test_a_data_frame_is_read_as_its_csv_is(own: Own) -> None:
    root = own(
        [
            f"{HEADER},device,location,subset",
            "a.wav,0,1.5,normal,1,phone,left,train",
            "sub/b.flac,0.25,1,wheeze,2,,,",
            "a.wav,1.5,2,both,1,phone,left,train",
        ]
    )
    from_csv, from_frame = read_folder(root, "mine"), clip_table("mine", root, pd.read_csv(root / "clips.csv"))
    pd.testing.assert_frame_equal(from_frame.clips, from_csv.clips)
    pd.testing.assert_frame_equal(from_frame.recordings, from_csv.recordings)


def rows(**changes: object) -> pd.DataFrame:
    good = {"path": "a.wav", "start_s": 0.0, "end_s": 1.0, "label": "normal", "patient": "p1"}
    return pd.DataFrame([good, good | changes])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"path": Path("gone.wav")}, r"clip 2 \(gone.wav\), path: there is no file"),
        ({"path": "/a.wav"}, r"clip 2 \(/a.wav\), path: /a.wav is absolute"),
        ({"end_s": np.nan}, r"clip 2 \(a.wav\), end_s: '' is not a number"),
        ({"end_s": np.inf}, r"clip 2 \(a.wav\), end_s: 'inf' is not a time"),
        ({"label": "C"}, r"clip 2 \(a.wav\), label: unknown label 'C'.*gets a class in `words`"),
        ({"label": None}, r"clip 2 \(a.wav\), label: unknown label ''"),
        ({"patient": np.nan}, r"clip 2 \(a.wav\), patient: is empty"),
        ({"devise": "phone"}, "columns: unknown column 'devise'. Did you mean 'device'"),
    ],
)
def test_a_broken_row_of_a_data_frame_names_clip_and_column(own: Own, changes: dict, message: str) -> None:
    with pytest.raises(DataError, match=rf"Data set 'mine', {message}"):
        clip_table("mine", own([]), rows(**changes))


def test_words_of_its_own(own: Own) -> None:
    table = clip_table("mine", own([]), rows(label="D"), {"D": "crackle"})
    assert table.clips["label"].tolist() == ["normal", "D"]
    assert table.words == {"D": "crackle"}
    with pytest.raises(PluginError, match=r"'mine', words: 'D' stands for 'crackles', which is no class"):
        clip_table("mine", own([]), rows(), {"D": "crackles"})
