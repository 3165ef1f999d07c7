"""Files are written whole or not at all; folders are held by one process; damage is named."""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pydantic import TypeAdapter

from rsbench.core.errors import ResultsError
from rsbench.core.files import read_sealed, write_json, write_parquet, write_sealed, writing
from rsbench.results import store
from rsbench.results.run import load_runs
from rsbench.results.store import RunFolder


def test_a_failed_write_leaves_the_old_file_and_no_litter(tmp_path: Path) -> None:
    path = tmp_path / "figures.json"
    write_json(path, {"score": 1})
    with pytest.raises(RuntimeError), writing(path) as file:  # noqa: PT012
        file.write(b"half of")
        raise RuntimeError("killed")
    assert json.loads(path.read_text()) == {"score": 1}
    assert list(tmp_path.iterdir()) == [path]


def test_nan_has_no_place_in_json(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "figures.json", {"score": float("nan")})


def test_a_full_disk_is_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ResultsError, match=r"figures\.json: the disk is full.*same command"):
        write_json(tmp_path / "figures.json", {})
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_explained(tmp_path: Path) -> None:
    (tmp_path / "occupied").write_text("a file where a folder should be")
    with (
        pytest.raises(ResultsError, match="occupied.*name another place"),
        RunFolder(tmp_path / "occupied" / "run").locked(),
    ):
        pass


def test_parquet_keeps_what_it_was_given(tmp_path: Path) -> None:
    frame = pd.DataFrame({"clip_id": ["a", "b"], "quality": pd.array([0.5, 1.0], dtype="float32")})
    write_parquet(tmp_path / "frame.parquet", frame)
    pd.testing.assert_frame_equal(RunFolder(tmp_path).read_parquet("frame.parquet"), frame)


def test_status_is_absent_until_it_is_set(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    assert folder.status().state == "absent"
    with folder.locked():
        folder.set_status("running", epoch=3)
    assert (folder.status().state, folder.status().epoch) == ("running", 3)


def _hold(path: Path, held: multiprocessing.synchronize.Event, done: multiprocessing.synchronize.Event) -> None:
    with RunFolder(path).locked():
        held.set()
        done.wait(30)


def test_two_processes_never_work_on_one_run(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    held, done = context.Event(), context.Event()
    other = context.Process(target=_hold, args=(tmp_path / "run", held, done))
    other.start()
    assert held.wait(60)
    with pytest.raises(ResultsError, match="another process"), RunFolder(tmp_path / "run").locked():
        pass
    done.set()
    other.join(30)
    with RunFolder(tmp_path / "run").locked():
        pass


@pytest.mark.parametrize("name", ["status.json", "predictions/tiny.parquet"])
def test_damage_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / "predictions").mkdir()
    (tmp_path / name).write_bytes(b"{ half a file")
    folder = RunFolder(tmp_path)
    with pytest.raises(ResultsError, match=r"cannot be read.*Delete the folder"):
        folder.status() if name == "status.json" else folder.read_parquet(name)


def test_no_runs_is_explained(tmp_path: Path) -> None:
    with pytest.raises(ResultsError, match="there are no runs here.*rsbench run"):
        load_runs(tmp_path)


GONE = 2**22 + 1  # no process has such a number


@pytest.mark.parametrize("pid", [GONE, os.getpid(), 10**30], ids=["gone", "as ours", "absurd"])
def test_what_a_killed_process_left_half_written_goes(tmp_path: Path, pid: int) -> None:
    left = [tmp_path / f".figures.json.{pid}.tmp", tmp_path / "predictions" / f".far.parquet.{pid}.tmp"]
    left[1].parent.mkdir()
    for path in left:
        path.write_bytes(b"half of")
    write_json(tmp_path / "figures.json", {})
    assert [path.exists() for path in left] == [False, True]
    with RunFolder(tmp_path).locked():
        assert not left[1].exists()


def test_what_others_write_or_call_so_stays(tmp_path: Path) -> None:
    names = (f"figures.json.{os.getppid()}", f"figures.json.{GONE}@another-machine", "notes", "a.1b")
    others = [tmp_path / f".{name}.tmp" for name in names]
    for path in others:
        path.write_bytes(b"half of")
    with RunFolder(tmp_path).locked():
        write_json(tmp_path / "figures.json", {})
    assert all(path.exists() for path in others)


def test_a_sealed_file_is_read_only_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "state"
    write_sealed(path, b"content")
    assert read_sealed(path) == b"content"
    whole = path.read_bytes()
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        assert read_sealed(path) is None
        path.write_bytes(whole[:place])
        assert read_sealed(path) is None
    assert read_sealed(tmp_path) is None
    assert read_sealed(tmp_path / "nothing") is None


def test_a_table_whose_numbers_changed_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "frame.parquet"
    write_parquet(path, pd.DataFrame({"number": np.random.default_rng(0).random(1000)}))
    whole = path.read_bytes()
    for place in range(100, 7000, 500):  # of the numbers, which are 8 bytes each
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(ResultsError, match=r"frame\.parquet: cannot be read"):
            RunFolder(tmp_path).read_parquet("frame.parquet")


class _Noting:
    """A reader of a file that notes when it parses."""

    def __init__(self, of_file: TypeAdapter[Any], name: str, parsed: list[str]) -> None:
        self.of_file, self.name, self.parsed = of_file, name, parsed

    def validate_json(self, content: bytes, **options: Any) -> Any:
        self.parsed.append(self.name)
        return self.of_file.validate_json(content, **options)


def test_what_runs_share_to_the_byte_is_parsed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record = next((Path(__file__).parent / "records").glob("*/runs/*"))
    folders = [RunFolder(shutil.copytree(record, tmp_path / name)) for name in ("one", "other")]
    parsed: list[str] = []
    for name, of_file in store.FILES.items():
        monkeypatch.setitem(store.FILES, name, _Noting(of_file, name, parsed))
    store._remembered.cache_clear()
    for folder in folders:
        folder.read(store.ENVIRONMENT)
        folder.read(store.METRICS)
    assert parsed == [store.ENVIRONMENT, store.METRICS, store.METRICS]
