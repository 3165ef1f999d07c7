"""A cache that was damaged is as good as none: what is wrong is built again, to the same bits."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from on_disk import cut, zero_second_half
from tiny import write_own_dataset

from rsbench.core.cache import CONTENT, build_once
from rsbench.core.errors import DataError
from rsbench.core.files import seal, sha256_of
from rsbench.data import hashing
from rsbench.data.clips import ClipTable
from rsbench.data.folder import read_folder
from rsbench.data.hashing import content_hashes
from rsbench.data.waveforms import prepare


def become_a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def become_a_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


DAMAGES = [zero_second_half, cut, Path.unlink, become_a_folder, become_a_pipe]


@pytest.fixture
def table(tmp_path: Path) -> ClipTable:
    return read_folder(write_own_dataset(tmp_path / "tiny", {"train": 2, "test": 1}), "tiny")


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", ["samples.f32", "recordings.parquet", CONTENT])
def test_damaged_waveforms_are_decoded_again(
    table: ClipTable, cache: Path, name: str, damage: Callable[[Path], None]
) -> None:
    whole = prepare(table, 4000).samples.tobytes()
    (path,) = cache.glob(f"waveforms/*/{name}")
    damage(path)
    again = prepare(table, 4000)
    assert again.samples.tobytes() == whole
    assert path.is_file()


def test_what_lies_where_a_folder_should_be_is_replaced(tmp_path: Path) -> None:
    for number, place in enumerate((Path.touch, Path.mkdir, lambda path: path.symlink_to(path))):
        place(tmp_path / f"thing{number}")
        place(tmp_path / f"thing{number}.unfinished")
        folder = build_once(tmp_path / f"thing{number}", lambda empty: (empty / "one").touch())
        assert {path.name for path in folder.iterdir()} == {"one", CONTENT}


def test_a_whole_folder_is_hashed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def build(empty: Path) -> None:
        (empty / "one").write_text("1")
        (empty / "two").write_text("2")

    hashed: list[str] = []
    monkeypatch.setattr("rsbench.core.cache.sha256_of", lambda file: hashed.append(file.name) or sha256_of(file))
    folder = build_once(tmp_path / "thing", build, unread={"two"})
    build_once(folder, build)  # what was just written was hashed when it was listed
    assert hashed == ["one", "two"]

    monkeypatch.setattr("rsbench.core.cache._hashed", {})  # as in another process
    build_once(folder, build, unread={"two"})
    build_once(folder, build)
    build_once(folder, build)
    assert hashed == ["one", "two"] * 2


def test_sound_that_nobody_asks_for_is_not_hashed(
    table: ClipTable, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = prepare(table, 4000).samples.tobytes()
    (path,) = cache.glob("waveforms/*/samples.f32")
    hashed: list[str] = []
    monkeypatch.setattr("rsbench.core.cache.sha256_of", lambda file: hashed.append(file.name) or sha256_of(file))
    monkeypatch.setattr("rsbench.core.cache._hashed", {})
    prepare(table, 4000)
    assert hashed == ["recordings.parquet"]
    zero_second_half(path)
    assert prepare(table, 4000).samples.tobytes() == whole
    assert "samples.f32" in hashed


def test_damage_that_keeps_the_size_is_noticed_in_one_process(tmp_path: Path) -> None:
    def build(empty: Path) -> None:
        (empty / "one").write_text("one")

    folder = build_once(tmp_path / "thing", build)
    os.utime(folder / "one", ns=(0, 0))
    build_once(folder, build)
    (folder / "one").write_text("two")
    assert (build_once(folder, build) / "one").read_text() == "one"


def test_a_lock_that_is_a_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "thing.lock").mkdir()
    with pytest.raises(DataError, match=r"cannot be written at .*thing\.lock"):
        build_once(tmp_path / "thing", lambda empty: None)


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_hashes_are_no_hashes(
    table: ClipTable, cache: Path, monkeypatch: pytest.MonkeyPatch, damage: Callable[[Path], None]
) -> None:
    monkeypatch.setattr(hashing, "SETTLED_NS", -1)
    paths = [Path(path) for path in table.recordings["path"]]
    found = content_hashes("tiny", paths)
    damage(cache / "hashes" / "tiny.json")
    assert content_hashes("tiny", paths) == found


def test_each_data_set_has_its_own_hashes(table: ClipTable, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hashing, "SETTLED_NS", -1)
    paths = [Path(path) for path in table.recordings["path"]]
    content_hashes("one", paths[:1])
    content_hashes("other", paths[1:])
    assert {path.name for path in (cache / "hashes").glob("*.json")} == {"one.json", "other.json"}


def test_waveforms_of_another_version_are_decoded_again(table: ClipTable, cache: Path) -> None:
    """Those of a cache that has no list of its content."""
    whole = prepare(table, 4000).samples.copy()
    (listed,) = cache.glob(f"waveforms/*/{CONTENT}")
    listed.unlink()
    (samples,) = cache.glob("waveforms/*/samples.f32")
    samples.write_bytes(bytes(samples.stat().st_size))
    assert np.array_equal(prepare(table, 4000).samples, whole)


def test_what_another_version_listed_in_its_own_way_is_built_again(tmp_path: Path) -> None:
    folder = build_once(tmp_path / "thing", lambda empty: (empty / "one").touch())
    for listed in (b'{"one": [0, "", 17]}', b'{"one": 0}'):
        (folder / CONTENT).write_bytes(listed + seal(listed))
        build_once(folder, lambda empty: (empty / "one").write_text("again"))
        assert (folder / "one").read_text() == "again"
