"""KAUH: what names say, one filter or three, and every word of the data set."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from tiny import Cli

from rsbench.core.errors import DataError
from rsbench.data.kauh import FILTERS, OFFICIAL, PATIENTS, WORDS, read_kauh
from rsbench.data.splits import split
from rsbench.data.tasks import ICBHI_4

NAMES = (
    "BP47_asthma,E W,P L M,60,M",
    "DP47_Asthma,E W,P L M ,60,M",
    "EP47_asthma,E W,P L M,60,M",
    "EP2_N,N,A R U,18,F",
)

Build = Callable[..., Path]


@pytest.fixture
def kauh(tmp_path: Path) -> Build:
    """A folder as it is unpacked, audio being mere names: `kauh("BP47_…", …)`."""

    def build(*names: str) -> Path:
        folder = tmp_path / "kauh" / "Audio Files"
        folder.mkdir(parents=True, exist_ok=True)
        for name in names:
            (folder / f"{name}.wav").touch()
        return folder.parent

    return build


def test_a_name_says_it_all(kauh: Build) -> None:
    table = read_kauh(kauh(*NAMES))
    assert table.recordings[["patient", "subset", "location", "record_label"]].values.tolist() == [
        ["47", "bell", "P L M", "asthma"],
        ["47", "diaphragm", "P L M", "asthma"],
        ["2", "extended", "A R U", "n"],
        ["47", "extended", "P L M", "asthma"],
    ]
    assert set(table.clips["label"]) == {"E W", "N"}
    assert len(table.missing) == 336 - 4
    assert "BP1_…" in table.missing


def test_one_filter_hears_a_patient_once_and_three_are_grouped(kauh: Build) -> None:
    clips = read_kauh(kauh(*NAMES)).clips
    for name in ("kauh", "kauh-bell", "kauh-diaphragm"):
        assert clips[split(name).test_rows(clips)]["patient"].is_unique
    every = clips[split("kauh-filters").test_rows(clips)]
    assert every["patient"].value_counts().to_dict() == {"47": 3, "2": 1}


def test_every_word_has_a_class_and_the_undefined_one_is_left_out_strictly(kauh: Build) -> None:
    names = [f"EP{number}_x,{word},P L M,60,M" for number, word in enumerate(WORDS, start=1)]
    table = read_kauh(kauh(*names))
    by_word = dict(zip(table.clips["label"], ICBHI_4.indices(table), strict=True))
    assert ICBHI_4.classes[by_word["I C B"]] == ICBHI_4.classes[by_word["Crep"]] == "crackle"
    strict = dict(zip(table.clips["label"], ICBHI_4.indices(table, "four-class-strict").isna(), strict=True))
    assert {word for word, left_out in strict.items() if left_out} == {"Bronchial", "I C B"}


def test_published_counts_are_of_as_many_patients() -> None:
    assert (OFFICIAL[list(WORDS)].sum(axis=1) == PATIENTS).all()
    assert len(OFFICIAL) == len(FILTERS) == 3


@pytest.mark.parametrize(("name", "said"), [
    ("notes", r"notes\.wav: the name is not FILTER\+PATIENT"),
    ("EP3_x,E WW,P L M,60,M", "sound: unknown sound 'E WW'"),
    ("EP02_N,N,A R U,18,F", r"EP02_N,N,A R U,18,F\.wav: the name is not"),
    ("EP2_other,N,A R U,18,F", "one patient through one filter twice"),
])  # fmt: skip
def test_what_is_wrong_is_named(kauh: Build, name: str, said: str) -> None:
    with pytest.raises(DataError, match=said):
        read_kauh(kauh(*NAMES, name))


def test_a_folder_of_other_recordings(tmp_path: Path) -> None:
    (tmp_path / "a.wav").touch()
    with pytest.raises(DataError, match=r"no recording is named as this data set names them\. .* Recordings lie in"):
        read_kauh(tmp_path)


def test_it_is_checked_and_judged(kauh: Build, cli: Cli, record: Callable[..., Path]) -> None:
    for seed, path in enumerate(sorted(kauh(*NAMES).glob("*/*.wav"))):
        record(path, seconds=1.0, seed=seed)
    done = cli("data", "check", "--root", kauh().parent, "--dataset", "kauh", "--partial")
    assert done.code == 0, done.out + done.err
    assert "kauh-filters" in done.out
