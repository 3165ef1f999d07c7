"""The serial engine: what it does, in which order, and what it leaves alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from studies import LR, Log, crew, never, run_states, study, tasks

from rsbench.core.errors import SpecError
from rsbench.sweep.engines import RunTask, SerialEngine
from rsbench.sweep.spec import cells


def test_runs_are_done_and_one_that_fails_stops_no_other(tiny_root: Path, tmp_path: Path) -> None:
    whose, log = replace(crew(tiny_root, tmp_path), observers=("csv",)), Log()
    planned = tasks(whose, ["breaks_down", "ce"], seeds=[0, 1])
    SerialEngine(whose).runs(planned, log, never)
    assert log.begun == [task.run_id for task in planned]
    assert log.states() == ["failed", "failed", "done", "done"]
    assert run_states(tmp_path) == {key: state for key, (state, _) in log.ends.items()}
    assert "became nan" in log.ends[planned[0].run_id][1]
    assert log.epochs[planned[2].run_id] == [(1, 3), (2, 3), (3, 3)]
    logged = {path.parent.name: len(path.read_text().splitlines()) for path in tmp_path.glob("logs/csv/*/log.csv")}
    assert logged == {task.run_id: 1 + len(log.epochs[task.run_id]) for task in planned}


def test_a_limit_is_asked_before_each_start(tiny_root: Path, tmp_path: Path) -> None:
    whose, log = crew(tiny_root, tmp_path), Log()
    SerialEngine(whose).runs(tasks(whose, ["ce"], seeds=[0, 1, 2]), log, lambda: len(log.ends) == 2)
    assert log.states() == ["done", "done"]


def test_a_plan_made_from_other_data_is_not_carried_out(tiny_root: Path, tmp_path: Path) -> None:
    whose, log = crew(tiny_root, tmp_path), Log()
    (task,) = tasks(whose)
    SerialEngine(whose).runs([RunTask("ce-tiny-s0-0123456789", task.cell, task.settings)], log, never)
    assert log.states() == ["failed"]
    assert task.run_id in log.ends["ce-tiny-s0-0123456789"][1]
    assert run_states(tmp_path) == {}


def test_every_cell_gets_the_same_number_of_trials(tiny_root: Path, tmp_path: Path) -> None:
    whose, log, sweep = crew(tiny_root, tmp_path), Log(), study(["ce", "breaks_down"])
    SerialEngine(whose).search(cells(sweep), sweep, log, never)
    assert log.begun == ["ce #1", "breaks_down #1", "ce #2", "breaks_down #2", "ce #3", "breaks_down #3"]
    records = whose.trials(sweep).records()
    assert (
        sorted((record.cell, record.state) for record in records)
        == [("breaks_down", "failed")] * 3 + [("ce", "done")] * 3
    )
    assert run_states(tmp_path) == {}  # no trial is a run

    again = Log()
    SerialEngine(whose).search(cells(sweep), sweep, again, never)
    assert again.begun == []


def test_more_trials_go_on_from_those_there_are(tiny_root: Path, tmp_path: Path) -> None:
    whose, log = crew(tiny_root, tmp_path), Log()
    for trials in (1, 3):
        sweep = study(trials=trials)
        SerialEngine(whose).search(cells(sweep), sweep, log, never)
    assert log.begun == ["ce #1", "ce #2", "ce #3"]
    assert len(whose.trials(sweep).records()) == 3


def test_a_limit_leaves_every_cell_with_its_share(tiny_root: Path, tmp_path: Path) -> None:
    whose, log, sweep = crew(tiny_root, tmp_path), Log(), study(["ce", "arcface"])
    SerialEngine(whose).search(cells(sweep), sweep, log, lambda: len(log.ends) == 4)
    assert sorted(record.cell for record in whose.trials(sweep).records()) == ["arcface", "arcface", "ce", "ce"]


def test_successive_halving_stops_some(tiny_root: Path, tmp_path: Path) -> None:
    whose, log = crew(tiny_root, tmp_path), Log()
    sweep = study(trials=8, scheduler="asha", base={"epochs": 9})
    SerialEngine(whose).search(cells(sweep), sweep, log, never)
    records = whose.trials(sweep).records()
    stopped = [record for record in records if record.state == "stopped"]
    assert stopped
    assert len(stopped) < len(records)
    assert {len(record.scores) for record in stopped} <= {1, 3}  # the rungs: a ninth and a third of 9 epochs
    assert all(record.value == max(record.scores) for record in records)
    assert not list(whose.trials(sweep).folder.glob("*/checkpoints"))


@pytest.mark.parametrize(
    ("space", "blamed"),
    [
        ({"optim.lr": LR | {"low": -1, "log": False}}, r"optim\.lr=-1"),
        ({"optm.lr": LR}, r"optm\.lr.*Did you mean"),
        ({"optim.algorithm": ["adam", "adom"]}, "adom"),
    ],
)
def test_a_space_that_is_not_possible_is_refused_before_the_first_trial(
    tiny_root: Path, tmp_path: Path, space: dict[str, object], blamed: str
) -> None:
    whose, log, sweep = crew(tiny_root, tmp_path), Log(), study(space=space)
    with pytest.raises(SpecError, match=blamed):
        SerialEngine(whose).search(cells(sweep), sweep, log, never)
    assert log.begun == []


def test_neither_ray_nor_optuna_is_needed_to_do_runs() -> None:
    import subprocess
    import sys

    program = "import sys, rsbench.sweep.engines; sys.exit(bool({'ray', 'optuna'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
