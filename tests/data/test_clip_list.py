"""The list of clips for other people's models: what to cut, from which file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import soundfile
from tiny import Cli

from rsbench.data.clip_list import LIST_COLUMNS

Record = Callable[..., Path]


@pytest.fixture
def root(tmp_path: Path, icbhi: Path, record: Record) -> Path:
    """ICBHI's layout, one end 0.05 s late, and a data set of whole recordings."""
    late = icbhi / "ICBHI_final_database" / "101_1b1_Al_sc_Meditron.txt"
    late.write_text("0.1 0.9 1 0\n0.9 2.05 0 1\n")
    for name, seconds in (("a", 1.25), ("b", 2.0)):
        record(tmp_path / "mine" / f"{name}.wav", seconds=seconds)
    (tmp_path / "mine" / "clips.csv").write_text("path,label,patient\na.wav,normal,p1\nb.wav,both,p2\n")
    return tmp_path


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_every_clip_lies_in_its_file(cli: Cli, root: Path, ending: str) -> None:
    out = root / "lists" / f"clips.{ending}"
    done = cli("data", "clips", "--root", root, "--dataset", "icbhi,mine", "--partial", "--out", out)
    assert done.code == 0, done.err
    assert f"8 clips in {out}" in done.out
    found = pd.read_csv(out, keep_default_na=False) if ending == "csv" else pd.read_parquet(out)
    assert tuple(found.columns) == LIST_COLUMNS
    assert found["dataset"].tolist() == ["icbhi"] * 6 + ["mine"] * 2
    assert found["class"].tolist() == ["crackle", "wheeze", *["normal", "both"] * 3]
    for row in found.itertuples():
        assert 0 <= row.start_s < row.end_s <= soundfile.info(row.path).duration
    assert found.set_index("clip_id")["end_s"]["101_1b1_Al_sc_Meditron:1"] == 2.0
    assert found["end_s"].tolist()[-2:] == [1.25, 2.0]


def test_words_that_are_of_no_class_are_listed_without_one(cli: Cli, tmp_path: Path, record: Record) -> None:
    record(tmp_path / "hums" / "x.wav")
    plugin = tmp_path / "hums.py"
    plugin.write_text(
        "import pandas as pd\nfrom rsbench import clip_table, register_dataset\n"
        "@register_dataset('hums')\ndef read(root):\n"
        "    rows = pd.DataFrame({'path': ['x.wav'], 'label': ['Hum'], 'patient': [7]})\n"
        "    return clip_table('hums', root, rows, {'Hum': None})\n"
    )
    out = tmp_path / "clips.csv"
    done = cli("data", "clips", "--root", tmp_path, "--dataset", "hums", "--plugin", plugin, "--out", out)
    assert done.code == 0, done.err
    found = pd.read_csv(out, keep_default_na=False)
    assert found[["label", "class", "patient"]].values.tolist() == [["Hum", "", 7]]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--dataset", "mine", "--out", "clips.txt"], "--out clips.txt: give it an ending that says what to write"),
        (["--dataset", "mien", "--out", "clips.csv"], "Data set 'mien': there is no folder"),
        (["--dataset", "icbhi", "--out", "clips.csv"], "say --partial"),
    ],
)
def test_what_cannot_be_listed(cli: Cli, root: Path, options: list[str], said: str) -> None:
    done = cli("data", "clips", "--root", root, *options)
    assert done.code == 2
    assert said in done.err
    assert not Path("clips.csv").exists()


def test_an_unreadable_recording_is_named(cli: Cli, root: Path) -> None:
    (root / "mine" / "b.wav").write_bytes(b"RIFF")
    done = cli("data", "clips", "--root", root, "--dataset", "mine", "--out", root / "clips.csv")
    assert done.code == 2
    assert "b.wav" in done.err
    assert not (root / "clips.csv").exists()
