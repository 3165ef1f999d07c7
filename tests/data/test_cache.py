"""The cache: built once, whole or not at all, by whoever comes first."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rsbench.core.cache import CONTENT, build_once, cache_dir
from rsbench.core.errors import DataError

BUILDER = """
import sys, time
from pathlib import Path
from rsbench.core.cache import build_once

def build(folder):
    with Path(sys.argv[2]).open("a") as log:
        log.write("built\\n")
    (folder / "first").write_text("x")
    time.sleep(float(sys.argv[3]))
    (folder / "second").write_text("y")

build_once(Path(sys.argv[1]), build)
assert (Path(sys.argv[1]) / "second").read_text() == "y"
"""


def start(target: Path, log: Path, seconds: float) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", BUILDER, str(target), str(log), str(seconds)])


def test_the_cache_is_where_the_environment_says(cache: Path) -> None:
    assert cache_dir() == cache


def test_two_processes_build_one_folder_once(tmp_path: Path) -> None:
    target, log = tmp_path / "cache" / "thing", tmp_path / "log"
    builders = [start(target, log, 0.5) for _ in range(2)]
    assert [builder.wait(60) for builder in builders] == [0, 0]
    assert log.read_text() == "built\n"


def test_a_builder_killed_half_way_leaves_nothing_that_is_taken_for_whole(tmp_path: Path) -> None:
    target, log = tmp_path / "cache" / "thing", tmp_path / "log"
    builder = start(target, log, 600)
    unfinished = target.with_name("thing.unfinished")
    deadline = time.monotonic() + 60
    while not (unfinished / "first").exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    (unfinished / "leftover").write_text("of the dead")
    builder.send_signal(signal.SIGKILL)
    builder.wait(60)
    assert not target.exists()

    assert start(target, log, 0).wait(60) == 0
    assert {path.name for path in target.iterdir()} == {"first", "second", CONTENT}
    assert not unfinished.exists()


def test_an_error_of_the_builder_passes_and_leaves_no_rubbish(tmp_path: Path) -> None:
    def build(folder: Path) -> None:
        (folder / "half").write_text("x")
        raise DataError("a broken recording")

    with pytest.raises(DataError, match="a broken recording"):
        build_once(tmp_path / "thing", build)
    assert [path.name for path in tmp_path.iterdir()] in ([], ["thing.lock"])


def test_a_full_disk_is_one_clear_error(tmp_path: Path) -> None:
    def build(folder: Path) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(DataError, match=r"No space left on device.*RSBENCH_CACHE"):
        build_once(tmp_path / "thing", build)


def test_a_cache_that_cannot_be_made_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DataError, match="RSBENCH_CACHE"):
        build_once(tmp_path / "file" / "thing", lambda folder: None)
