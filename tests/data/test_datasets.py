"""Data sets of others: what registering one refuses, what is said when its reader fails, and whose data are whose."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from rsbench.core.errors import DataError, PluginError
from rsbench.core.plugins import load
from rsbench.data.clips import ClipTable
from rsbench.data.datasets import DATASETS, read_dataset, register_dataset
from rsbench.data.folder import clip_table
from rsbench.data.identity import labels_id
from rsbench.data.sources import Roots, load_table
from rsbench.data.splits import SPLITS, Split, split

READER = """
from rsbench import Split, register_dataset


@register_dataset("{name}", splits=[Split("{split}", 1, "{name}", "", (), ("test",))])
def read(root):
    return {result}
"""


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    """What these tests register is gone afterwards."""
    with DATASETS.scoped(), SPLITS.scoped():
        yield


def plugin(path: Path, name: str, split: str, result: str = "None") -> str:
    path.write_text(READER.format(name=name, split=split, result=result))
    return str(path)


def test_a_data_set_without_splits_has_one_of_its_name() -> None:
    @register_dataset("ward")
    def read_ward(root: Path) -> ClipTable:
        raise NotImplementedError

    rule = split("ward")
    assert (rule.dataset, rule.version, rule.train, rule.test) == ("ward", 1, ("train",), ("test",))


def test_two_data_sets_with_a_split_of_one_name_are_refused(tmp_path: Path) -> None:
    load(plugin(tmp_path / "one.py", "one", "lungs"))
    with pytest.raises(PluginError, match="split 'lungs' is registered twice") as caught:
        load(plugin(tmp_path / "two.py", "two", "lungs"))
    assert str(tmp_path / "one.py") in str(caught.value)
    assert str(tmp_path / "two.py") in str(caught.value)


def test_a_built_in_split_is_not_taken(tmp_path: Path) -> None:
    with pytest.raises(PluginError, match=r"'sprsound-inter' is registered twice: in .*sprsound\.py and in .*mine\.py"):
        load(plugin(tmp_path / "mine.py", "mine", "sprsound-inter"))


def test_a_split_of_another_data_set_and_a_side_that_is_a_word() -> None:
    with pytest.raises(PluginError, match="Split 'x' is of data set 'icbhi', and 'ward' brings it"):
        register_dataset("ward", splits=[Split("x", 1, "icbhi", "", (), ("test",))])
    with pytest.raises(PluginError, match=r"Split 'x': 'test' is a word; write a tuple of words, \('test',\)"):
        Split("x", 1, "ward", "", (), "test")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("result", "said"),
    [
        ("1 / 0", r"cannot read .*ward: ZeroDivisionError: division by zero \(.*failing\.py, line 7\)\. Mend it"),
        ("max([])", r"ValueError: .*\(.*failing\.py, line 7\)"),
        ("None", r"in .*failing\.py must return its ClipTable, but returns NoneType"),
        ("__import__('rsbench').ClipTable('other', None, None)", "but returns that of 'other'"),
    ],
)
def test_a_reader_that_fails_is_named_with_its_line(tmp_path: Path, result: str, said: str) -> None:
    load(plugin(tmp_path / "failing.py", "ward", "ward-all", result))
    (tmp_path / "ward").mkdir()
    with pytest.raises(PluginError, match=f"Data set 'ward': its reader .*{said}|Data set 'ward': its reader {said}"):
        load_table("ward", Roots((tmp_path,)))


def test_an_error_of_the_data_is_told_as_it_is(tmp_path: Path) -> None:
    @register_dataset("ward")
    def read_ward(root: Path) -> ClipTable:
        raise DataError(f"{root}: not a ward.")

    (tmp_path / "ward").mkdir()
    with pytest.raises(DataError, match=r"ward: not a ward\.$"):
        load_table("ward", Roots((tmp_path,)))


@pytest.fixture
def crackles(tmp_path: Path) -> ClipTable:
    """Two clips with words of their own, and a word that no clip has."""
    for name in "ab":
        (tmp_path / f"{name}.wav").write_bytes(b"")
    clips = pd.DataFrame({"path": ["a.wav", "b.wav"], "label": ["C", "Crep"], "patient": [1, 2]})
    return clip_table("ward", tmp_path, clips, {"C": "crackle", "Crep": "crackle", "W": "wheeze"})


def test_words_in_use_are_part_of_the_identity_of_labels(crackles: ClipTable) -> None:
    same = replace(crackles, words={"Crep": "crackle", "C": "crackle"})
    assert labels_id(same) == labels_id(crackles)
    for other in ("both", None):
        assert labels_id(replace(crackles, words={**crackles.words, "Crep": other})) != labels_id(crackles)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda table: replace(table, clips=table.clips.drop(columns="device")), "its clips have no column device"),
        (lambda table: replace(table, clips=pd.concat([table.clips] * 2)), "two of its clips are called a:0"),
        (
            lambda table: replace(table, recordings=table.recordings[1:]),
            "the clip a:0 is of a recording that is not in",
        ),
        (
            lambda table: replace(table, recordings=pd.concat([table.recordings] * 2)),
            "two of its recordings are called",
        ),
    ],
)
def test_a_table_made_by_hand_is_checked(
    crackles: ClipTable, tmp_path: Path, spoil: Callable[[ClipTable], ClipTable], said: str
) -> None:
    @register_dataset("ward")
    def read_ward(root: Path) -> ClipTable:
        return spoil(crackles)

    with pytest.raises(PluginError, match=said):
        read_dataset("ward", tmp_path)
