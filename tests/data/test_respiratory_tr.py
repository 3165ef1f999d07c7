"""RespiratoryDatabase@TR: a severity per patient, which is none of the four classes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from tiny import Cli

from rsbench.core.errors import DataError
from rsbench.data.respiratory_tr import CHANNELS, OFFICIAL, PATIENTS, read_respiratory_tr
from rsbench.data.tasks import ICBHI_4

TABLE = "\ufeffPatient ID,Diagnosis\nH002,COPD3\nH045,COPD0\n"

Build = Callable[..., Path]


@pytest.fixture
def respiratory_tr(tmp_path: Path) -> Build:
    """Its folder, audio being mere names: `respiratory_tr("H045_L5", …, table=TABLE)`."""

    def build(*names: str, table: str = TABLE) -> Path:
        folder = tmp_path / "respiratory_tr"
        folder.mkdir(exist_ok=True)
        (folder / "Labels.csv").write_text(table)
        for name in names:
            (folder / f"{name}.wav").touch()
        return folder

    return build


def test_severities_are_labels_and_none_of_the_classes(respiratory_tr: Build) -> None:
    table = read_respiratory_tr(respiratory_tr("H002_R1", "H045_L5"))
    assert table.clips[["patient", "location", "label"]].values.tolist() == [
        ["H002", "R1", "COPD3"],
        ["H045", "L5", "COPD0"],
    ]
    assert ICBHI_4.indices(table).isna().all()
    assert len(table.missing) == OFFICIAL["recordings"].item() - 2 == 502
    assert "H045_R6" in table.missing


def test_published_counts() -> None:
    assert sum(PATIENTS.values()) == OFFICIAL["patients"].item() == 42
    assert OFFICIAL["recordings"].item() == 42 * len(CHANNELS)


@pytest.mark.parametrize("table", ["a;b\nCOPD0;H045\nCOPD3;H002\n", "x,y,z\n1,H045,COPD0\n2,H002,COPD3\n"])
def test_columns_are_known_by_what_they_hold(respiratory_tr: Build, table: str) -> None:
    read = read_respiratory_tr(respiratory_tr("H002_R1", "H045_L5", table=table))
    assert read.clips["label"].tolist() == ["COPD3", "COPD0"]


@pytest.mark.parametrize(("table", "said"), [
    ("a,b\nH045,COPD7\n", r"Labels\.csv, line 2, severity: none of its values are one"),
    ("a,b\nH045,COPD0\nH045,COPD1\n", "line 3, severity: H045 has COPD1 here and COPD0 before"),
    ("a,b\n", "the table has no row"),
    ("a,b\nH001,COPD0\n", r"H045_L5\.wav: Labels\.csv has no row for H045"),
])  # fmt: skip
def test_what_is_wrong_with_the_table_is_told(respiratory_tr: Build, table: str, said: str) -> None:
    with pytest.raises(DataError, match=said):
        read_respiratory_tr(respiratory_tr("H045_L5", table=table))


def test_other_names_and_a_table_of_a_spreadsheet(respiratory_tr: Build) -> None:
    root = respiratory_tr("H045_L5", "H045_L7")
    with pytest.raises(DataError, match=r"H045_L7\.wav: the name is not PATIENT_CHANNEL"):
        read_respiratory_tr(root)
    (root / "Labels.csv").rename(root / "Labels.xlsx")
    with pytest.raises(DataError, match=r"Labels\.xlsx: save this table as Labels\.csv"):
        read_respiratory_tr(root)


def test_it_is_checked_and_cannot_be_judged_by_four_classes(
    respiratory_tr: Build, cli: Cli, record: Callable[..., Path]
) -> None:
    root = respiratory_tr("H045_L5", "H002_R1")
    for seed, path in enumerate(sorted(root.glob("*.wav"))):
        record(path, seconds=1.0, seed=seed)
    done = cli("data", "check", "--root", root.parent, "--dataset", "respiratory_tr", "--partial")
    assert done.code == 0, done.out + done.err
    run = ["run", "--root", root.parent, "--partial", "--test", "respiratory_tr", "--train", "synthetic", "--dry-run"]
    done = cli(*run, "--loss", "ce", "--backbone", "cnn6")
    assert done.code == 2
    assert "split 'respiratory_tr' has no test clip" in done.err
