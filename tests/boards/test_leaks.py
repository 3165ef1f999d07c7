"""What a process holds does not grow with the runs it has made or the records it has read before.

`--inputs 40000` reads 10,000 records and makes 50 runs; by default it is 50 records and 4 runs. Memory is asked of the
system, in whose pages small growth hides; that is why objects are counted too.
"""

from __future__ import annotations

import gc
import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import on_disk
import pytest
from tiny import run_tiny

from rsbench.boards.leaderboard import leaderboard
from rsbench.results.run import load_runs

METHODS = 8
RECORD_KB = 20  # of memory for a record on a board: its row of about 100 values, and the hits of its patients
SLACK_KB = 100_000  # what allocators keep for later, however much was read


@dataclass(frozen=True)
class Held:
    """What a process holds: memory of its own, objects that Python collects, files and sockets that are open."""

    memory_kb: int
    objects: int
    files: int


def held() -> Held:
    gc.collect()
    lines = Path("/proc/self/status").read_text().splitlines()
    memory_kb = next(int(line.split()[1]) for line in lines if line.startswith("RssAnon:"))
    return Held(memory_kb, len(gc.get_objects()), len(os.listdir("/proc/self/fd")))  # noqa: PTH208 - names are enough


@pytest.fixture
def inputs(request: pytest.FixtureRequest) -> int:
    if sys.platform != "linux":
        pytest.skip("what a process holds is read from /proc")
    return int(request.config.getoption("--inputs"))


def write_copies(like: Path, results: Path, count: int) -> None:
    """Runs of METHODS with as many seeds as it takes. Files that are alike are linked."""
    spec = on_disk.read(like, "spec.json")
    for number in range(count):
        seed, method = divmod(number, METHODS)
        copy = results / "runs" / f"ce-tiny-s{seed}-{number:08x}"
        shutil.copytree(like, copy, copy_function=os.link, ignore=shutil.ignore_patterns("checkpoints", ".lock"))
        lr = spec["optim"]["lr"] * (1 + method)
        on_disk.write(copy, "spec.json", spec | {"seed": seed, "optim": spec["optim"] | {"lr": lr}})


@pytest.fixture(scope="module")
def finished(tiny_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results folder of one run."""
    out = tmp_path_factory.mktemp("finished")
    run_tiny(tiny_root, out, epochs=1)
    return out


def test_reading_records_again_holds_nothing_more(finished: Path, tmp_path: Path, inputs: int) -> None:
    count = inputs // 4
    write_copies(next((finished / "runs").iterdir()), tmp_path, count)
    leaderboard(load_runs(finished), "tiny", "val")  # imports, and fills what is kept once per process
    before = held()
    board = leaderboard(load_runs(tmp_path), "tiny", "val")
    whole = held()
    del board
    first = held()
    leaderboard(load_runs(tmp_path), "tiny", "val")
    second = held()
    print(f"{count} records: {before}, {whole}, {first}, {second}")
    assert whole.memory_kb - before.memory_kb < RECORD_KB * count + SLACK_KB
    assert second.memory_kb - first.memory_kb < SLACK_KB
    assert second.objects - first.objects < count / 2
    assert second.files == before.files


def test_runs_of_one_process_leave_nothing_behind(finished: Path, tiny_root: Path, tmp_path: Path, inputs: int) -> None:
    """`finished` has imported what a run needs, and filled what is kept once per process."""
    count = min(50, inputs // 50)
    run_tiny(tiny_root, tmp_path, seed=1, epochs=1)
    before = held()
    for number in range(count):
        run_tiny(tiny_root, tmp_path, seed=2 + number, epochs=1)
    after = held()
    print(f"{count} runs: {before}, {after}")
    assert after.files == before.files
    assert after.objects - before.objects <= 100 * count
    assert after.memory_kb - before.memory_kb < SLACK_KB
