"""Text and tables as editors, spreadsheets and servers leave them."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from rsbench.core.errors import DataError, shown
from rsbench.data.annotations import Place, read_lines, read_table, read_text
from rsbench.data.folder import read_folder

Own = Callable[[Sequence[str]], Path]

TABLE = "path,start_s,end_s,label,patient,subset\na.wav,0.5,1.5,normal,p1,test\n"


@pytest.mark.parametrize(
    "content",
    [
        TABLE.replace(",", ";").encode(),
        TABLE.replace(",", "\t").encode(),
        TABLE.replace(",", " , ").encode(),
        TABLE.encode("utf-16"),
        TABLE.encode("utf-16-be").join([b"\xfe\xff", b""]),
        TABLE.encode("utf-8-sig").replace(b"\n", b"\r"),
        f"{TABLE},,,,,\n\n".encode(),
    ],
    ids=["semicolons", "tabs", "blanks", "utf-16", "utf-16-be", "old line ends", "empty rows"],
)
def test_a_table_of_a_spreadsheet_is_read(own: Own, content: bytes) -> None:
    root = own([])
    (root / "clips.csv").write_bytes(content)
    (clip,) = read_folder(root, "mine").clips.to_dict("records")
    assert (clip["start_s"], clip["end_s"], clip["label"], clip["patient"]) == (0.5, 1.5, "normal", "p1")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"path\n\xe9.wav\n", "line 2: not a text file in UTF-8"),
        ("path".encode("utf-16-le"), "line 1: not text, or UTF-16 without its mark"),
        (b"version https://git-lfs.github.com/spec/v1\n", "a pointer of Git LFS"),
        (b"\n<!DOCTYPE html><html>", "a web page in place of the file"),
    ],
)
def test_what_is_no_text_is_called_what_it_is(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "clips.csv"
    path.write_bytes(content)
    with pytest.raises(DataError, match=rf"clips\.csv.*{message}"):
        read_text(path)


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.txt")
    with pytest.raises(DataError, match=r"a\.txt: not a file"):
        read_text(tmp_path / "a.txt")


def test_lines_are_counted_as_editors_count_them(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes("one\u2028\x0c\r\n\r\nthree\rfour".encode())
    assert [place.where for place, _ in read_lines(path)] == ["line 1", "line 3", "line 4"]


def test_a_column_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("path,label, label\n")
    with pytest.raises(DataError, match=r"a\.csv, line 1: two columns are called 'label'"):
        read_table(path)


def test_columns_that_are_there_are_named_beside_the_one_that_is_not(own: Own) -> None:
    with pytest.raises(DataError, match="the column path is not there.*There are 'Path', 'Label'"):
        read_folder(own(["Path,Label"]), "mine")


@pytest.mark.parametrize("value", ["1_0", "\uff11", "0x1", True, None, [1], "9" * 5000 + "x"])
def test_what_only_python_takes_for_a_number_is_refused(value: object) -> None:
    with pytest.raises(DataError, match="is not a number") as caught:
        Place("a.txt", "line 1").seconds(value, "start")
    assert len(str(caught.value)) < 200


def test_a_decimal_comma_is_called_so() -> None:
    with pytest.raises(DataError, match=r"'0,5' is not a number. Write its decimals with a point"):
        Place("a.txt", "line 1").seconds("0,5", "start")
    assert Place("a.txt", "line 1").seconds(" 1.5e2 ", "start", per_second=1000) == 0.15


def test_names_whose_accents_are_characters_of_their_own_are_found(own: Own) -> None:
    root = own([])
    composed, apart = (unicodedata.normalize(form, "né/é.wav") for form in ("NFC", "NFD"))
    (root / apart).parent.mkdir()
    (root / apart).touch()
    for written in (composed, apart):
        (root / "clips.csv").write_text(f"path,label,patient\n{written},normal,p1\n", encoding="utf-8")
        table = read_folder(root, "mine")
        assert Path(table.recordings["path"][0]).is_file()
        assert table.recordings["recording"][0] == composed.removesuffix(".wav")


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("../mine/a.wav", "leaves the folder of the recordings"),
        ("sub\\b.flac", "Write / between folders"),
        ("a" * 300 + ".wav", "there is no file"),
    ],
)
def test_paths_of_other_machines_and_places(own: Own, path: str, message: str) -> None:
    with pytest.raises(DataError, match=rf"line 2, path: .*{message}"):
        read_folder(own(["path,label,patient", f"{path},normal,p1"]), "mine")


@pytest.mark.parametrize(("word", "hint"), [("Train", "Did you mean 'train'"), ("val", "Known: test, train")])
def test_an_unknown_subset_names_line_and_column(own: Own, word: str, hint: str) -> None:
    lines = ["path,label,patient,subset", "a.wav,normal,p1,train", f"sub/b.flac,normal,p2,{word}"]
    with pytest.raises(DataError, match=rf"clips\.csv, line 3, subset: unknown subset '{word}'.*{hint}"):
        read_folder(own(lines), "mine")


def test_recordings_in_no_row_are_noted(own: Own) -> None:
    (note,) = read_folder(own(["path,label,patient", "a.wav,normal,p1"]), "mine").notes
    assert note.endswith("clips.csv: no row has sub/b.flac.")


def test_a_value_in_a_message_is_one_printable_line() -> None:
    assert shown("\x1b[31m\n") == r"'\x1b[31m\n'"
    assert len(shown("x" * 10_000)) < 100
