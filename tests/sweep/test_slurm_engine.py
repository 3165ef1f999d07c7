"""Slurm as the engine: the same work as the serial one, submitted once, and collected whenever the command is given."""

from __future__ import annotations

import json
import os
import pickle
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import submitit
import yaml
from studies import Log, crew, never, run_states, study, tasks
from tiny import CLIP_S, OBSERVING_PLUGIN, TINY_PLUGIN, Cli

from rsbench.core.errors import SpecError
from rsbench.sweep import slurm_engine
from rsbench.sweep.engines import SerialEngine, WorkerConfig
from rsbench.sweep.slurm_engine import LOST_JOBS, SlurmEngine, report_of
from rsbench.sweep.slurm_settings import SlurmSettings, load_slurm_settings
from rsbench.sweep.spec import Resources, cells

FAKE = Path(__file__).with_name("fake_slurm.py")


def engine(whose: WorkerConfig, said: list[str] | None = None, **settings: object) -> SlurmEngine:
    given = SlurmSettings.model_validate({"cpus_per_task": 1} | settings)
    say = (said if said is not None else []).append
    return SlurmEngine(whose, Resources(), given, whose.study_folder(study()), say)


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A Slurm of this machine alone; returns the folder of its jobs."""
    folder, tools = tmp_path / "slurm", tmp_path / "bin"
    folder.mkdir()
    tools.mkdir()
    for tool in ("sbatch", "srun", "sacct", "scontrol", "scancel"):
        (tools / tool).write_text(f'#!/bin/sh\nexec {sys.executable} {FAKE} {tool} "$@"\n')
        (tools / tool).chmod(0o755)
    monkeypatch.setenv("PATH", str(tools), prepend=os.pathsep)
    monkeypatch.setenv("FAKE_SLURM", str(folder))
    monkeypatch.setitem(slurm_engine.LOOK_EVERY_S, "slurm", 0.1)
    monkeypatch.setattr(submitit.SlurmJob, "_results_timeout_s", 0)  # seconds that a shared disk may be late
    yield folder
    for job in folder.glob("1*"):  # what still waits in the queue waits no longer
        job.unlink()


def interrupt_when(condition: Callable[[], bool]) -> Callable[[], bool]:
    """Asked before every start, it is Ctrl-C as soon as the condition holds."""

    def stop() -> bool:
        if condition():
            raise KeyboardInterrupt
        return False

    return stop


def signal_once(out: Path, number: int) -> threading.Thread:
    """Send a signal, once, to whoever has come some way into a run."""

    def send() -> None:
        while True:
            time.sleep(0.01)
            for path in out.glob("runs/*/status.json"):
                status = json.loads(path.read_text())
                if status["state"] == "running" and status.get("epoch", 0) >= 2:
                    os.kill(status["pid"], number)
                    return

    sender = threading.Thread(target=send, daemon=True)
    sender.start()
    return sender


def assert_same_predictions(one: Path, other: Path, count: int) -> None:
    compared = list(one.glob("runs/*/predictions/*.parquet"))
    assert len(compared) == count
    for path in compared:
        counterpart = other / path.relative_to(one)
        pd.testing.assert_frame_equal(pd.read_parquet(path), pd.read_parquet(counterpart), check_exact=True)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # submitit leaves its outputs open
def test_the_same_runs_as_the_serial_engine(tiny_root: Path, tmp_path: Path) -> None:
    """In this process, by submitit's debug executor."""
    one, other, log = crew(tiny_root, tmp_path / "serial"), crew(tiny_root, tmp_path / "slurm"), Log()
    losses = ["stochastic", "breaks_down"]
    SerialEngine(one).runs(tasks(one, losses), Log(), never)
    engine(other, cluster="debug", runs_per_job=2).runs(tasks(other, losses), log, never)
    assert run_states(tmp_path / "slurm") == run_states(tmp_path / "serial")
    assert sorted(log.states()) == ["done", "failed"]
    assert sum("became nan" in error for _, error in log.ends.values()) == 1
    assert_same_predictions(tmp_path / "serial", tmp_path / "slurm", 2)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_job_is_told_to_stop_whoever_is_at_work(tiny_root: Path, tmp_path: Path) -> None:
    whose = crew(tiny_root, tmp_path)
    whose = replace(whose, plugins=(TINY_PLUGIN, OBSERVING_PLUGIN), observers=("slurm_signals",))
    before = signal.getsignal(signal.SIGUSR2)
    with pytest.raises(KeyboardInterrupt):
        engine(whose, cluster="debug").runs(tasks(whose), Log(), never)
    assert list(run_states(tmp_path).values()) == ["interrupted"]
    assert signal.getsignal(signal.SIGUSR2) == before


def test_a_job_that_is_told_to_stop_is_queued_again_and_goes_on(
    tiny_root: Path, tmp_path: Path, slurm: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As before its time is over, or for another's job; the runs of the job are observed."""
    monkeypatch.setenv("UNHURRIED_S", "0.05")
    whose, log, said = crew(tiny_root, tmp_path), Log(), []
    whose = replace(whose, plugins=(TINY_PLUGIN, OBSERVING_PLUGIN), observers=("csv", "cannot_begin"), save_every_s=60)
    (first, second) = planned = tasks(whose, ["unhurried", "ce"], epochs=12)
    sender = signal_once(tmp_path, signal.SIGUSR2)
    engine(whose, said, runs_per_job=2).runs(planned, log, never)
    sender.join()
    assert log.states() == ["done", "done"], log.ends
    assert sorted(path.suffix for path in slurm.iterdir()) == ["", ".sh"]  # one job
    outputs = "".join(path.read_text() for path in (tmp_path / "sweeps" / "small" / "slurm").glob("*log.*"))
    assert "Caught signal SIGUSR2" in outputs
    assert "Requeued job 100" in outputs
    seen = [epoch for epoch, _ in log.epochs[first.run_id]]
    assert seen == sorted(set(seen))  # it went on, not over
    assert log.warnings.keys() == {first.run_id, second.run_id}
    for run_id in log.ends:
        logged = pd.read_csv(tmp_path / "logs" / "csv" / run_id / "log.csv")
        assert list(logged["epoch"]) == list(range(1, 13))


def test_nothing_is_submitted_twice(tiny_root: Path, tmp_path: Path, slurm: Path) -> None:
    whose, said, log = crew(tiny_root, tmp_path), [], Log()
    planned = tasks(whose, seeds=[0, 1, 2])
    (slurm / "hold").touch()
    with pytest.raises(KeyboardInterrupt):
        engine(whose, said).runs(planned[:2], log, interrupt_when(lambda: (slurm / "100_1").exists()))
    assert said == [
        "2 jobs stay in Slurm's queue, and go on without this command; given again, it watches them. To end them: "
        "scancel 100"
    ]
    again = engine(whose, said)
    assert again.announce(planned) == [
        "2 runs are in the queue already, in jobs 100",
        "1 runs to submit: 1 jobs of 1 runs at most, 256 at a time",
    ]
    with pytest.raises(KeyboardInterrupt):
        again.runs(planned, log, interrupt_when(lambda: (slurm / "101").exists()))
    assert sorted(path.name for path in slurm.glob("1*") if not path.suffix) == ["100_0", "100_1", "101"]
    assert "#SBATCH --array=0-1%2" in (slurm / "100.sh").read_text()
    assert log.begun == []


def test_a_job_that_is_lost_is_submitted_again_and_not_for_ever(tiny_root: Path, tmp_path: Path, slurm: Path) -> None:
    whose, log = crew(tiny_root, tmp_path), Log()
    (slurm / "hold").touch()

    def lose_what_waits() -> bool:
        for job in slurm.glob("1*"):
            if not job.suffix and not job.read_text():
                job.write_text("2147483646")  # nobody's number: it is over
        return False

    (task,) = tasks(whose)
    engine(whose).runs([task], log, lose_what_waits)
    state, error = log.ends[task.run_id]
    assert (state, len(list(slurm.glob("*.sh")))) == ("failed", LOST_JOBS + 1)
    assert "its job was lost too often (4×)" in error
    assert run_states(tmp_path) == {}  # no fault of the run: the next command tries again


def test_what_a_job_stumbled_over_is_told(tmp_path: Path, slurm: Path) -> None:
    job = submitit.SlurmJob(tmp_path, "7")
    job.paths.result_pickle.write_bytes(pickle.dumps(("error", "Traceback:\n  …\nImportError: no rsbench here\n")))
    report, why = report_of(job)
    assert report.outcomes == {}
    assert why == f"ImportError: no rsbench here; see {job.paths.stderr}"


def test_a_limit_ends_what_waits(tiny_root: Path, tmp_path: Path, slurm: Path) -> None:
    whose, log = crew(tiny_root, tmp_path), Log()
    (slurm / "hold").touch()
    engine(whose).runs(tasks(whose), log, lambda: (slurm / "100").exists())
    assert (slurm / "100").read_text() == "2147483646"
    assert log.ends == {}


def test_a_study_is_submitted_and_ranked(cli: Cli, tiny_root: Path, tmp_path: Path) -> None:
    """By submitit's local executor; nothing is submitted by a dry run."""
    content = {"name": "mine", "purpose": "a grid", "grid": {"loss": ["ce", "qlung"]}, "plugins": [TINY_PLUGIN]}
    content["base"] = {"backbone": "tiny", "train": "tiny", "test": "tiny", "epochs": 2, "data.clip_s": CLIP_S}
    for name, part in {"mine": content, "slurm": {"cluster": "local", "runs_per_job": 2, "timeout_min": 30}}.items():
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(part))
    command = ["sweep", tmp_path / "mine.yaml", "--engine", "slurm", "--slurm", tmp_path / "slurm.yaml"]
    command += ["--root", tiny_root, "--results", tmp_path / "results", "--device", "cpu"]
    planned = cli(*command, "--dry-run")
    assert planned.code == 0, planned.err
    assert "2 runs to submit: 1 jobs of 2 runs at most" in planned.err
    assert not (tmp_path / "results").exists()
    done = cli(*command)
    assert done.code == 0, done.err
    assert len(re.findall(r"^ \w+ .* 1 *$", done.out, re.MULTILINE)) == 2  # a seed of two losses
    assert len(list((tmp_path / "results" / "sweeps" / "mine" / "slurm").glob("*_submitted.pkl"))) == 1
    assert "2 done" in cli(*command, "--dry-run").err


def test_a_search_is_no_array(tiny_root: Path, tmp_path: Path) -> None:
    sweep = study()
    with pytest.raises(SpecError, match="study 'small': a search chooses each trial by those before it"):
        engine(crew(tiny_root, tmp_path), cluster="debug").search(cells(sweep), sweep, Log(), never)


def test_without_slurm_there_is_one_message(tiny_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SpecError, match="there is no sbatch and no srun here. Give the command on a machine of"):
        engine(crew(tiny_root, tmp_path))


def test_what_sbatch_refuses_is_said(tiny_root: Path, tmp_path: Path, slurm: Path) -> None:
    sbatch = tmp_path / "bin" / "sbatch"
    sbatch.write_text("#!/bin/sh\necho 'sbatch: error: invalid partition specified: gqu' >&2\nexit 1\n")
    whose = crew(tiny_root, tmp_path)
    with pytest.raises(SpecError, match="sbatch does not take the jobs: sbatch: error: invalid partition.*gqu"):
        engine(whose, partition="gqu").runs(tasks(whose), Log(), never)


def test_settings_reach_the_script(tiny_root: Path, tmp_path: Path, slurm: Path) -> None:
    whose = crew(tiny_root, tmp_path)
    (slurm / "hold").touch()
    given = {"partition": "gpu", "gpus_per_node": 1, "mem_gb": 7.5, "timeout_min": 90, "gres": "shard:1"}
    given |= {"setup": ["module load cuda"], "additional_parameters": {"nice": 100}, "array_parallelism": 2}
    with pytest.raises(KeyboardInterrupt):
        engine(whose, **given).runs(
            tasks(whose, seeds=range(3)), Log(), interrupt_when(lambda: (slurm / "100.sh").exists())
        )
    lines = (slurm / "100.sh").read_text().splitlines()
    options = ("partition=gpu", "gpus-per-node=1", "mem=7680MB", "time=90", "gres=shard:1", "nice=100", "array=0-2%2")
    assert {f"#SBATCH --{option}" for option in (*options, "cpus-per-task=1", "job-name=rsbench-small")} <= set(lines)
    assert "module load cuda" in lines


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("partion: gpu", "partion: there is no such field. Did you mean 'partition'?"),
        ("runs_per_job: 0", "runs_per_job: Input should be greater than or equal to 1."),
        ("timeout_min: long", "timeout_min: Input should be a valid integer"),
        ("cluster: pbs", "cluster: Input should be 'slurm', 'local' or 'debug'"),
    ],
)
def test_a_file_that_is_wrong_names_the_field(content: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "slurm.yaml"
    path.write_text(content)
    with pytest.raises(SpecError) as caught:
        load_slurm_settings(path)
    assert str(caught.value).startswith(f"--slurm {path}: {said}")


def test_options_that_contradict_one_another(cli: Cli) -> None:
    for options in (["--serial", "--engine", "slurm"], ["--engine", "ray", "--slurm", "a.yaml"]):
        refused = cli("sweep", "smoke", *options)
        assert (refused.code, "do not go together. Leave out one." in refused.err) == (2, True)
