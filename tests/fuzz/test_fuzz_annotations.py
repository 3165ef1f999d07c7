"""Damaged annotations, lists and tables: they are read, or one message names the file."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from mutations import HOSTILE, mutated, teaches

from rsbench.core.errors import DataError
from rsbench.data.folder import read_folder
from rsbench.data.hf_lung import read_intervals
from rsbench.data.icbhi import read_cycles, read_official_list
from rsbench.data.respiratory_tr import read_severities
from rsbench.data.sprsound import read_events

CYCLES = b"0.036\t1.500\t0\t0\r\n1.500\t3.000\t1\t0\r\n3.000\t4.500\t0\t1\r\n4.500\t5.900\t1\t1\r\n"
PHASES = b"I 00:00:00.000 00:00:02.000\nD 00:00:01.500 00:00:02.050\nE 00:00:02.000 00:00:03.250\n"
SEVERITIES = b"\xef\xbb\xbfPatient ID,Diagnosis\r\nH002,COPD3\r\nH045,COPD0\r\n"
LIST = b"101_1b1_Al_sc_Meditron\ttest\n103_2b2_Ar_mc_LittC2SE\ttrain\n226_1b1_Pl_sc_Meditron\ttrain\n"
EVENTS = json.dumps(
    {
        "record_annotation": "CAS & DAS",
        "event_annotation": [
            {"start": "100", "end": "1500", "type": "Normal"},
            {"start": 1600, "end": 3000, "type": "Rhonchi"},
        ],
    }
).encode()
TABLE = b"path,start_s,end_s,label,patient,subset\na.wav,0,1.5,normal,7,train\nsub/b.wav,0.25,1,wheeze,p2,test\n"
TOKENS = (
    *HOSTILE, b'"', b"{", b"[" * 3000, b"9" * 5000, b"\\ud800", b"\r", b"\n", b"\t", b";", b",,,", b"..", b"/", b"true",
    b"a" * 300, b"e\xcc\x81", b"\xe2\x80\xa8", b"1_0", b"null", b"<!doctype html>", b"version https://git-lfs",
)  # fmt: skip


def damaged(source: bytes, generator: random.Random) -> bytes:
    """Damaged bytes, now and then of another encoding or separator."""
    changed = mutated(source, generator, TOKENS)
    change = generator.choice(("utf-16", ";", "\t", *[""] * 7))
    if change == "utf-16":
        return changed.decode("latin-1").encode("utf-16")
    return changed.replace(b",", change.encode()) if change else changed


@pytest.mark.parametrize(
    ("name", "source", "read"),
    [
        ("101_1b1_Al_sc_Meditron.txt", CYCLES, read_cycles),
        ("list.txt", LIST, read_official_list),
        ("40512331_8.1_1_p1_3544.json", EVENTS, read_events),
        ("steth_20190821_12_00_25_label.txt", PHASES, read_intervals),
        ("Labels.csv", SEVERITIES, read_severities),
    ],
)
def test_damaged_annotations_are_read_or_named(
    tmp_path: Path,
    generators: Iterator[random.Random],
    name: str,
    source: bytes,
    read: Callable[[Path], object],
) -> None:
    path = tmp_path / name
    path.write_bytes(source)
    assert teaches(lambda: read(path)) is None
    for generator in generators:
        path.write_bytes(damaged(source, generator))
        teaches(lambda: read(path), naming=[name])


def test_damaged_tables_are_read_or_every_line_names_them(tmp_path: Path, generators: Iterator[random.Random]) -> None:
    (tmp_path / "sub").mkdir()
    for name in ("a.wav", "sub/b.wav"):
        (tmp_path / name).touch()
    path = tmp_path / "clips.csv"
    path.write_bytes(TABLE)
    assert len(read_folder(tmp_path, "mine").clips) == 2
    for generator in generators:
        path.write_bytes(damaged(TABLE, generator))
        try:
            read_folder(tmp_path, "mine")
        except DataError as error:
            for line in str(error).split("\n")[:20]:  # the next one counts further errors
                assert line.isprintable(), repr(line)
                assert str(tmp_path) in line
                assert len(line) < 1000
