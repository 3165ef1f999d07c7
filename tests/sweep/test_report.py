"""What a study has come to and what it found, from records on disk."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console, RenderableType
from searched import cell_names, found, searched_study, write_trial, write_trials

from rsbench.report.tables.study import budget_in_words, render, status
from rsbench.sweep.plan import PlannedRun
from rsbench.sweep.spec import SweepSpec, cells
from rsbench.sweep.trials import TrialStore

CE, QLUNG = "ce · tiny", "qlung · tiny"


@pytest.fixture
def store(tmp_path: Path) -> TrialStore:
    return TrialStore(tmp_path / "trials")


def text(*parts: RenderableType) -> str:
    printed = io.StringIO()
    Console(width=220, file=printed).print(*parts, sep="\n")
    return printed.getvalue()


def test_the_best_trial_of_each_cell_with_what_it_cost(store: TrialStore) -> None:
    trials = write_trials(store, QLUNG, 12)
    write_trial(store, QLUNG, 100, {"optim.lr": 1e-3}, "failed")
    write_trial(store, QLUNG, 101, {"optim.lr": 2e-5}, "stopped")
    write_trial(store, QLUNG, 102, {"optim.lr": 10**-3.2}, "running")  # has had no chance yet
    write_trial(store, "gone · tiny", 0, {"optim.lr": 10**-3.2})  # of a cell that the study no longer has
    best = found(searched_study(), store).best.set_index("cell")
    assert best.index.tolist() == [CE, QLUNG]
    winner = max(trials, key=lambda trial: trial.value or 0.0)
    row = best.loc[QLUNG]
    assert (row["trial_id"], row["score"], row["params"]) == (winner.trial_id, winner.value, winner.params)
    assert (row["trials"], row["stopped"], row["failed"]) == (14, 1, 1)
    assert (row["method"], row["backbone"]) == ("qlung", "tiny")
    assert (best.loc[CE, "trials"], best.loc[CE, "trial_id"], best.loc[CE, "params"]) == (0, "", {})
    assert np.isnan(best.loc[CE, "score"])


def test_what_mattered_is_told_per_cell(store: TrialStore) -> None:
    write_trials(store, QLUNG, 20)
    write_trials(store, CE, 4, margin=False)
    results = found(searched_study(), store)
    assert results.importance["cell"].unique().tolist() == [CE, QLUNG]  # in the order of the grid
    of_qlung = results.importance[results.importance["cell"] == QLUNG].set_index("parameter")
    assert of_qlung["importance"].idxmax() == "optim.lr"
    assert set(of_qlung.index) == {"optim.lr", "loss.class_weights", "loss.kappa_rad", "loss.cut"}
    printed = text(*render(results))
    assert "beyond chance" in printed
    assert "4 trials finished; it takes 10" in printed


def test_margins_are_a_losss_own_options(store: TrialStore) -> None:
    trials = write_trials(store, QLUNG, 3) + write_trials(store, CE, 3, margin=False)
    failed = write_trial(store, QLUNG, 50, {"optim.lr": 1e-3, "loss.kappa_rad": 0.9}, "failed")
    response = found(searched_study(), store).margin_response
    assert set(response["cell"]) == {QLUNG}
    kappa = response[response["parameter"] == "loss.kappa_rad"]
    pairs = {(trial.params["loss.kappa_rad"], trial.value) for trial in trials if trial.cell == QLUNG}
    told = kappa[kappa["state"] == "done"]
    assert set(zip(told["value"], told["score"], strict=True)) == pairs
    (lost,) = kappa[kappa["state"] == "failed"].itertuples()
    assert lost.value == failed.params["loss.kappa_rad"]
    assert np.isnan(lost.score)
    assert set(response["parameter"]) == {"loss.kappa_rad", "loss.cut"}


def test_the_budget_is_judged_in_one_sentence(store: TrialStore) -> None:
    write_trials(store, QLUNG, 8)
    write_trials(store, CE, 2, margin=False)
    results = found(searched_study(), store)
    curve = results.expected_best[results.expected_best["cell"] == QLUNG]
    assert curve["trials"].tolist() == list(range(1, 9))
    assert curve["score"].iloc[0] == pytest.approx(results.scored(QLUNG)["score"].mean())
    gain = curve["score"].iloc[-1] - curve["score"].iloc[-3]
    printed = text(*render(results))
    assert f"The last quarter (2 of 8 trials) was worth {gain:.2f} points." in printed
    assert "2 finished trials are too few to say." in printed
    assert budget_in_words(np.full(8, 50.0)) == "The last quarter (2 of 8 trials) was worth 0.00 points."


def test_failures_alone_are_shown_and_nothing_is_made_of_them(store: TrialStore) -> None:
    for index in range(12):
        write_trial(store, CE, index, {"optim.lr": 1e-3 * (index + 1)}, "failed")
    results = found(searched_study(["ce"]), store)
    assert (results.best["trials"].item(), results.best["failed"].item()) == (12, 12)
    assert results.importance.empty
    assert results.expected_best.empty
    (table,) = render(results)
    assert " 12 " in text(table)


def test_a_study_nobody_has_begun_has_empty_frames(store: TrialStore) -> None:
    results = found(searched_study(), store)
    assert len(results.best) == 2
    assert all(frame.empty for frame in (results.importance, results.expected_best, results.margin_response))
    assert "Best trial of each cell" in text(*render(results))


@pytest.fixture
def confirmed(tiny_run: Callable[..., Any], tmp_path: Path) -> tuple[list[PlannedRun], Path]:
    """Two runs of `ce` that are done, one that failed, and one of `qlung` to go."""
    done = [tiny_run(epochs=1, seed=seed) for seed in (0, 1)]
    runs = [PlannedRun(CE, seed, record.run_id, "done", {}) for seed, record in enumerate(done)]
    lost = [PlannedRun(CE, 2, "ce-lost", "failed", {}), PlannedRun(QLUNG, 0, "qlung-absent", "absent", {})]
    return runs + lost, tmp_path / "results" / "runs"


def test_confirm_runs_are_averaged_over_their_seeds(
    store: TrialStore, confirmed: tuple[list[PlannedRun], Path]
) -> None:
    planned, folder = confirmed
    results = found(searched_study(), store, planned, folder)
    told = results.runs.set_index(["cell", "split"])
    for split in ("tiny", "far"):
        scores = [
            json.loads((folder / run.run_id / "metrics.json").read_text())["val"][split]["argmax"]["score"]
            for run in planned
            if run.state == "done"
        ]
        row = told.loc[(CE, split)]
        assert row["score_mean"] == pytest.approx(np.mean(scores))
        assert row["score_sd"] == pytest.approx(np.std(scores, ddof=1))
        assert (row["n_ok"], row["n_planned"], row["selection"]) == (2, 3, "val")
    missing = told.loc[(QLUNG, "")]
    assert (missing["n_ok"], missing["n_planned"]) == (0, 1)
    printed = text(*render(results))
    assert "fresh seeds" in printed
    assert "2/3" in printed
    assert "TEST" in printed


def test_a_grid_without_a_search_has_its_runs_alone(
    store: TrialStore, confirmed: tuple[list[PlannedRun], Path]
) -> None:
    content = {"name": "plain", "purpose": "none", "grid": {"loss": ["ce"], "backbone": ["tiny"]}}
    sweep = SweepSpec.model_validate(content)
    (table,) = render(found(sweep, store, *confirmed))
    assert "The runs of the grid" in text(table)
    printed = text(status(sweep, cells(sweep), store, confirmed[0]))
    assert "2 done, 1 failed" in printed
    assert "validation" not in printed


def test_status_counts_trials_and_runs(store: TrialStore) -> None:
    write_trials(store, QLUNG, 5)
    write_trial(store, QLUNG, 50, {"optim.lr": 10**-3.2}, "stopped")
    sweep = searched_study()
    states = {"done": 2, "failed": 1, "absent": 1, "running": 1, "interrupted": 1}
    planned = [PlannedRun(QLUNG, 0, "", state, {}) for state, count in states.items() for _ in range(count)]
    lines = text(status(sweep, cells(sweep), store, planned)).splitlines()
    (line,) = [line for line in lines if line.strip().startswith(QLUNG)]
    assert line.split("2 done")[0].split()[3:] == ["6/12", "1", "–", "60.0"]
    assert "2 done, 1 failed, 3 to go" in line
    (idle,) = [line for line in lines if line.strip().startswith(CE)]
    assert idle.split()[3:] == ["0/12", "–", "–", "–", "–"]


def test_cells_of_several_backbones_are_told_apart(store: TrialStore) -> None:
    sweep = searched_study(["ce"], ["tiny", "cnn6"])
    for name in cell_names(sweep):
        write_trials(store, name, 4, margin=False)
    best = found(sweep, store).best
    assert best["method"].tolist() == ["ce", "ce"]
    assert best["backbone"].tolist() == ["tiny", "cnn6"]


def test_a_report_loads_neither_torch_nor_ray_nor_optuna() -> None:
    code = "import sys, rsbench.sweep.results, rsbench.report.figures.study\n"
    code += "print({'torch', 'ray', 'optuna'} & set(sys.modules))"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert printed.stdout.strip() == "set()"
