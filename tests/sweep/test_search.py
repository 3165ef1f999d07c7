"""Optuna's history agrees with the records on disk, whatever was killed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState
from studies import study

from rsbench.sweep.search import (
    count_finished,
    distributions,
    make_pruner,
    open_storage,
    open_study,
    tell,
)
from rsbench.sweep.space import Space
from rsbench.sweep.spec import Cell, Range, Search
from rsbench.sweep.trials import TrialRecord, TrialStore

CELL = Cell("ce · tiny", {})
SPACE: Space = {"optim.lr": Range(low=1e-4, high=1e-1, log=True), "loss.class_weights": ("none", "inverse")}


def search(**changes: Any) -> Search:
    found = study(**changes).search
    assert found is not None
    return found


def opened(folder: Path, **changes: Any) -> tuple[optuna.Study, TrialStore]:
    store = TrialStore(folder / "trials")
    return open_study(open_storage(folder), CELL, SPACE, search(**changes), store), store


def record(params: dict[str, Any], value: float | None, state: Any = "done") -> TrialRecord:
    trial_id = f"ce-{params['optim.lr']:.12g}"
    scores = (value,) if value is not None else ()
    return TrialRecord(trial_id, CELL.name, params, state, scores, value, 1.0)


def work(study_: optuna.Study, store: TrialStore, count: int) -> list[dict[str, Any]]:
    """Trials that go as they should: asked, done, kept, told."""
    done = []
    for _ in range(count):
        asked = study_.ask(distributions(SPACE))
        kept = record(asked.params, 50 + asked.number)
        store.write(kept)
        tell(study_, asked.number, kept)
        done.append(asked.params)
    return done


@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_draws_follow_from_the_seed_and_never_start_over(tmp_path: Path, sampler: str) -> None:
    first, store = opened(tmp_path / "a", sampler=sampler)
    drawn = work(first, store, 4)
    again, _ = opened(tmp_path / "a", sampler=sampler)
    assert count_finished(again) == 4
    drawn += work(again, store, 4)
    assert len({params["optim.lr"] for params in drawn}) == 8

    same, store = opened(tmp_path / "b", sampler=sampler)
    assert work(same, store, 4) == drawn[:4]
    other, store = opened(tmp_path / "c", sampler=sampler, seed=5)
    assert work(other, store, 4) != drawn[:4]


def test_a_trial_whose_driver_died_is_tried_again_with_the_same_settings(tmp_path: Path) -> None:
    first, store = opened(tmp_path)
    work(first, store, 1)
    lost = [first.ask(distributions(SPACE)).params for _ in range(2)]
    store.write(record(lost[0], 20.0, "running"))  # begun, never ended

    again, _ = opened(tmp_path)
    assert count_finished(again) == 1
    assert work(again, store, 2) == lost
    assert count_finished(again) == 3
    third, _ = opened(tmp_path)
    assert count_finished(third) == 3
    assert not third.get_trials(states=(TrialState.RUNNING, TrialState.WAITING))


def test_killed_while_that_is_put_right(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, store = opened(tmp_path)
    lost = first.ask(distributions(SPACE)).params
    with monkeypatch.context() as patched:
        patched.setattr("rsbench.sweep.search.tell", lambda *arguments: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            opened(tmp_path)
    again, _ = opened(tmp_path)
    assert count_finished(again) == 0
    assert len(again.get_trials(states=(TrialState.WAITING,))) == 1
    assert work(again, store, 1) == [lost]


def test_a_trial_that_ended_just_before_the_driver_died_is_told(tmp_path: Path) -> None:
    first, store = opened(tmp_path)
    params = first.ask(distributions(SPACE)).params
    store.write(record(params, 61.5))
    again, _ = opened(tmp_path)
    assert (count_finished(again), again.best_value, again.best_params) == (1, 61.5, params)


def test_records_outlive_the_database(tmp_path: Path) -> None:
    first, store = opened(tmp_path)
    work(first, store, 3)
    failed = record({"optim.lr": 0.05, "loss.class_weights": "none"}, None, "failed")
    store.write(failed)
    (tmp_path / "optuna.db").unlink()
    again, _ = opened(tmp_path)
    assert count_finished(again) == 4
    assert again.best_value == 52
    assert len(again.get_trials(states=(TrialState.FAIL,))) == 1


def test_a_record_that_was_deleted_is_made_again(tmp_path: Path) -> None:
    """How a failed trial is tried again: its folder goes."""
    first, store = opened(tmp_path)
    asked = first.ask(distributions(SPACE))
    failed = record(asked.params, None, "failed")
    store.write(failed)
    tell(first, asked.number, failed)
    assert count_finished(opened(tmp_path)[0]) == 1
    (store.path(failed.trial_id) / "trial.json").unlink()
    again, _ = opened(tmp_path)
    assert count_finished(again) == 0
    assert work(again, store, 1) == [asked.params]


def test_trials_say_what_was_trained_and_where_it_lies(tmp_path: Path) -> None:
    """Also those that a new database learns from the records."""
    cell = Cell("ce · tiny", {"loss.name": "ce"})
    for database in (tmp_path / "as told", tmp_path / "anew"):
        store = TrialStore(tmp_path / "trials")
        study_ = open_study(open_storage(database), cell, SPACE, search(), store)
        if database.name == "as told":
            params = work(study_, store, 2)
        trials = sorted(study_.trials, key=lambda trial: params.index(trial.params))
        for trial, tried in zip(trials, params, strict=True):
            kept = store.find(cell.name, tried)
            assert kept
            assert {key: trial.user_attrs[key] for key in ("loss", "run_id", "folder")} == {
                "loss": "ce",
                "run_id": kept.trial_id,
                "folder": str(store.path(kept.trial_id)),
            }


def test_trials_of_other_cells_are_none_of_its_business(tmp_path: Path) -> None:
    first, store = opened(tmp_path)
    work(first, store, 2)
    other = open_study(open_storage(tmp_path), Cell("qlung", {}), SPACE, search(), store)
    assert count_finished(other) == 0


def test_nobody_is_stopped_unless_that_is_asked_for() -> None:
    assert isinstance(make_pruner(search(), 50), optuna.pruners.NopPruner)
    assert isinstance(make_pruner(search(scheduler="asha"), 50), optuna.pruners.SuccessiveHalvingPruner)


def test_the_best_has_ended_and_has_a_score(tmp_path: Path) -> None:
    store = TrialStore(tmp_path)
    assert store.best(CELL.name) is None
    for lr, value, state in ((0.1, 50, "done"), (0.2, 70, "running"), (0.3, None, "failed"), (0.4, 60, "stopped")):
        store.write(record({"optim.lr": lr}, value, state))
    best = store.best(CELL.name)
    assert best is not None
    assert best.value == 60
