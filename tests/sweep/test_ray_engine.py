"""Ray Tune as the engine: the same work as the serial one, several at once."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import ray
from studies import Log, crew, never, run_states, study, tasks
from tiny import OBSERVING_PLUGIN

from rsbench.core.errors import SpecError
from rsbench.sweep.engines import SerialEngine, WorkerConfig
from rsbench.sweep.ray_engine import RayEngine
from rsbench.sweep.search import open_storage
from rsbench.sweep.spec import Resources, cells


def test_an_address_where_nobody_answers(tiny_root: Path, tmp_path: Path) -> None:
    """First of all: once Ray is started here, no address is asked for any more."""
    lost = RayEngine(crew(tiny_root, tmp_path), Resources(), "127.0.0.1:1", None)
    with pytest.raises(SpecError, match=r"--address 127\.0\.0\.1:1: no Ray cluster answers"):
        lost.runs([], Log(), never)


def test_how_runs_share_a_gpu_is_said(tiny_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whose = crew(tiny_root, tmp_path)
    monkeypatch.setattr(RayEngine, "_machines", lambda self: [{"CPU": 8.0, "GPU": 2.0}])
    planned = tasks(whose)
    (said,) = engine(whose, gpus=0.25).announce(planned)
    assert said.startswith("4 runs share a GPU (resources.gpus: 0.25)")
    assert engine(whose, gpus=1).announce(planned) == engine(whose).announce(planned) == []


@pytest.fixture(scope="module", autouse=True)
def one_ray() -> Iterator[None]:
    """Ray is started by the first engine, and used by all."""
    yield
    ray.shutdown()


def engine(whose: WorkerConfig, **resources: float) -> RayEngine:
    return RayEngine(whose, Resources.model_validate(resources), None, None)


def observed(whose: WorkerConfig) -> WorkerConfig:
    """The same, with an observer that keeps a log and one that fails."""
    return replace(whose, plugins=(*whose.plugins, OBSERVING_PLUGIN), observers=("csv", "cannot_begin"))


def kill_the_first_worker(out: Path) -> threading.Thread:
    """Kill, once, whoever is some way into a run."""

    def kill() -> None:
        while True:
            time.sleep(0.01)
            for path in out.glob("runs/*/status.json"):
                status = json.loads(path.read_text())
                if status["state"] == "running" and status.get("epoch", 0) >= 1:
                    os.kill(status["pid"], signal.SIGKILL)
                    return

    killer = threading.Thread(target=kill)
    killer.start()
    return killer


def test_the_same_runs_to_the_bit_though_a_worker_was_killed(tiny_root: Path, tmp_path: Path) -> None:
    losses, seeds = ["stochastic", "breaks_down"], [0, 1]
    one, other = crew(tiny_root, tmp_path / "serial"), observed(crew(tiny_root, tmp_path / "ray"))
    SerialEngine(one).runs(tasks(one, losses, seeds, epochs=40), Log(), never)
    log = Log()
    killer = kill_the_first_worker(tmp_path / "ray")
    engine(other).runs(tasks(other, losses, seeds, epochs=40), log, never)
    killer.join()
    assert run_states(tmp_path / "ray") == run_states(tmp_path / "serial")
    assert sorted(log.states()) == ["done", "done", "failed", "failed"]
    assert sum("became nan" in error for _, error in log.ends.values()) == 2
    assert len(log.begun) == 5
    assert all(sum(epoch == 1 for epoch, _ in seen) <= 1 for seen in log.epochs.values())  # it went on, not over
    assert all(log.epochs[key][-1] == (40, 40) for key, (state, _) in log.ends.items() if state == "done")
    compared = list((tmp_path / "serial").glob("runs/*/predictions/*.parquet"))
    assert len(compared) == 4
    for path in compared:
        counterpart = tmp_path / "ray" / path.relative_to(tmp_path / "serial")
        pd.testing.assert_frame_equal(pd.read_parquet(path), pd.read_parquet(counterpart), check_exact=True)
    assert sorted(log.warnings) == sorted(log.ends)  # of the observer that cannot begin, by the workers
    for run in (tmp_path / "ray" / "runs").iterdir():
        logged = pd.read_csv(tmp_path / "ray" / "logs" / "csv" / run.name / "log.csv")
        pd.testing.assert_frame_equal(logged, pd.read_csv(run / "epochs.csv"))


def test_the_same_trials(tiny_root: Path, tmp_path: Path) -> None:
    """While Optuna still draws at random, what it draws does not depend on who ends first."""
    sweep = study(["ce", "breaks_down"], trials=4)
    found = []
    for kind in ("serial", "ray"):
        whose, log = crew(tiny_root, tmp_path / kind), Log()
        (SerialEngine(whose) if kind == "serial" else engine(whose)).search(cells(sweep), sweep, log, never)
        records = whose.trials(sweep).records()
        found.append([(record.trial_id, record.state, record.scores) for record in records])
        assert sorted(log.begun) == sorted(f"{cell} #{n}" for cell in ("ce", "breaks_down") for n in range(1, 5))
        assert sorted(log.states()) == ["done"] * 4 + ["failed"] * 4
        storage = open_storage(whose.study_folder(sweep))
        said = [
            trial.user_attrs for one in storage.get_all_studies() for trial in storage.get_all_trials(one._study_id)
        ]
        assert sorted(about["run_id"] for about in said) == sorted(record.trial_id for record in records)
    assert found[0] == found[1]

    again = Log()
    engine(whose).search(cells(sweep), sweep, again, never)
    assert again.begun == []
    SerialEngine(whose).search(cells(sweep), sweep, again, never)
    assert again.begun == []


def test_successive_halving_within_a_cell(tiny_root: Path, tmp_path: Path) -> None:
    """One trial at a time: the first goes to its end, and who is stopped does not depend on what else the machine does.

    The third rung is far enough off that Tune, which is told of epochs late, still stops a trial before its end.
    """
    sweep, whose, log = study(["ce"], trials=5, scheduler="asha", base={"epochs": 27}), crew(tiny_root, tmp_path), Log()
    engine(whose, cpus=os.cpu_count() or 1).search(cells(sweep), sweep, log, never)
    records = whose.trials(sweep).records()
    assert sorted(record.state for record in records) == sorted(log.states())
    assert set(log.states()) == {"done", "stopped"}
    assert {len(record.scores) for record in records if record.state == "stopped"} <= {1, 3, 9}
    assert not list(whose.trials(sweep).folder.glob("*/checkpoints"))


def test_a_run_whose_worker_is_lost_too_often_is_left_for_another_time(
    tiny_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whose, log = crew(tiny_root, tmp_path), Log()
    planned = tasks(whose, ["ce"], epochs=40)
    with monkeypatch.context() as patched:
        patched.setattr("rsbench.sweep.ray_engine.LOST_WORKERS", 0)
        killer = kill_the_first_worker(tmp_path)
        engine(whose).runs(planned, log, never)
        killer.join()
    ((state, error),) = log.ends.values()
    assert state == "failed"
    assert "was lost too often (1×)" in error
    assert list(run_states(tmp_path).values()) == ["running"]  # no failure of its own is recorded
    SerialEngine(whose).runs(planned, log, never)
    assert log.states() == ["done"]


def test_as_many_at_once_as_fit(tiny_root: Path, tmp_path: Path) -> None:
    whose = crew(tiny_root, tmp_path)
    cores = os.cpu_count() or 1
    assert [engine(whose, cpus=cpus).at_once for cpus in (0.5, 1, cores)] == [2 * cores, cores, 1]
    with pytest.raises(SpecError, match="4096 CPUs, and no machine"):
        engine(whose, cpus=4096).runs([], Log(), never)
