"""Nothing is lost: drivers, workers, machines and all of them at once are killed for real."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import psutil
import pytest
import ray
from driver import CHANGES, LOSSES, SEEDS
from studies import Log, crew, never, run_states, study, tasks

from rsbench.sweep.engines import SerialEngine
from rsbench.sweep.spec import Resources, cells
from rsbench.sweep.trials import TrialStore

DRIVER = Path(__file__).with_name("driver.py")
SLOW = "0.1"  # seconds per step, of which a run has 24


@contextlib.contextmanager
def started(what: str, root: Path, out: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A driver at work; whatever happens in the block, nothing of it outlives it."""
    command = [sys.executable, str(DRIVER), what, str(root), str(out)]
    driver = subprocess.Popen(command, env=os.environ | {"UNHURRIED_S": SLOW}, stdout=subprocess.DEVNULL)
    try:
        yield driver
    finally:
        kill_all(driver)


def kill_all(driver: subprocess.Popen[bytes]) -> None:
    """The driver and whoever it started."""
    if driver.poll() is None:
        for process in [*psutil.Process(driver.pid).children(recursive=True), driver]:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
    driver.wait()


def wait_for(condition: Callable[[], bool], driver: subprocess.Popen[bytes]) -> None:
    """Until the driver is where it shall be killed, however long a busy machine takes."""
    while not condition():
        assert driver.poll() is None, "the driver came to its end too early"
        time.sleep(0.02)


def statuses(out: Path) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in out.glob("runs/*/status.json")]


def in_the_middle(out: Path) -> bool:
    """One run is done, another under way."""
    found = statuses(out)
    under_way = [status for status in found if status["state"] == "running" and status.get("epoch", 0)]
    return bool(under_way) and any(status["state"] == "done" for status in found)


def gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@pytest.fixture(scope="module")
def whole(tiny_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same runs, with nothing happening to them."""
    out = tmp_path_factory.mktemp("whole")
    whose = crew(tiny_root, out)
    SerialEngine(whose).runs(tasks(whose, LOSSES, SEEDS, **CHANGES), Log(), never)
    return out


def assert_same_predictions(one: Path, other: Path) -> None:
    assert run_states(one) == run_states(other)
    for path in one.glob("runs/*/predictions/*.parquet"):
        counterpart = other / path.relative_to(one)
        pd.testing.assert_frame_equal(pd.read_parquet(path), pd.read_parquet(counterpart), check_exact=True)


def test_runs_go_on_when_the_driver_was_killed(tiny_root: Path, tmp_path: Path, whole: Path) -> None:
    """At once: workers that the driver left behind are waited for."""
    with started("runs", tiny_root, tmp_path) as driver:
        wait_for(lambda: in_the_middle(tmp_path), driver)
        driver.kill()
        driver.wait()
        written = metrics_written(tmp_path)

        whose, log = crew(tiny_root, tmp_path), Log()
        SerialEngine(whose).runs(tasks(whose, LOSSES, SEEDS, **CHANGES), log, never)
    assert log.states() == ["done"] * 4
    assert written.items() <= metrics_written(tmp_path).items()  # what was finished was not done again
    assert any(seen[0][0] > 1 for seen in log.epochs.values())  # what was begun went on
    assert_same_predictions(tmp_path, whole)


def metrics_written(out: Path) -> dict[str, int]:
    """Finished run → when."""
    return {path.parent.name: path.stat().st_mtime_ns for path in out.glob("runs/*/metrics.json")}


def test_a_search_goes_on_when_everything_was_killed(tiny_root: Path, tmp_path: Path) -> None:
    store = TrialStore(tmp_path / "sweeps" / "small" / "trials")

    def midway() -> bool:
        records = store.records()
        done = any(record.state == "done" for record in records)
        return done and any(record.state == "running" and record.scores for record in records)

    with started("search", tiny_root, tmp_path) as driver:
        wait_for(midway, driver)
        kill_all(driver)
    before = {record.trial_id: record for record in store.records()}
    ended = {key for key, record in before.items() if record.finished}

    sweep = study(LOSSES, base=CHANGES, trials=4)
    whose, log = crew(tiny_root, tmp_path), Log()
    SerialEngine(whose).search(cells(sweep), sweep, log, never)
    after = {record.trial_id: record for record in store.records()}
    assert len(log.begun) == 4 - len(ended)
    assert len(after) == 4  # what was under way was taken up again, and nothing was tried twice
    assert set(before) <= set(after)
    assert {key: after[key] for key in ended} == {key: before[key] for key in ended}
    assert all(record.state == "done" and len(record.scores) == 6 for record in after.values())


def test_a_machine_is_lost_half_way(
    tiny_root: Path, tmp_path: Path, whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ray.cluster_utils import Cluster

    from rsbench.sweep.ray_engine import RayEngine

    machine_is_lost = tmp_path / "lost"
    monkeypatch.setenv("UNHURRIED_UNTIL", str(machine_is_lost))  # no run may be done before
    options = {"num_cpus": 1, "object_store_memory": 100 * 2**20, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=options)
    second = cluster.add_node(num_cpus=1, object_store_memory=100 * 2**20)
    whose, log = crew(tiny_root, tmp_path), Log()
    planned = tasks(whose, LOSSES, SEEDS, **CHANGES)
    engine = RayEngine(whose, Resources(), cluster.address, tmp_path / "ray")
    assert engine.at_once == 2

    def lose() -> None:
        pids = []
        while len(pids) < 2:  # both machines are at work, and some way into it
            time.sleep(0.05)
            pids = [item["pid"] for item in statuses(tmp_path) if item["state"] == "running" and item.get("epoch", 0)]
        cluster.remove_node(second, allow_graceful=False)
        while not any(map(gone, pids)):
            time.sleep(0.05)
        machine_is_lost.touch()

    accident = threading.Thread(target=lose, daemon=True)
    accident.start()
    try:
        engine.runs(planned, log, never)
    finally:
        accident.join(timeout=60)
        ray.shutdown()
        cluster.shutdown()
    assert log.states() == ["done"] * 4
    assert len(log.begun) > 4  # one of them twice
    assert_same_predictions(tmp_path, whole)
