"""A loss that is solved makes a run like any other: one epoch, resumed, paired, under every rule."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from tiny import Cli

from rsbench.core.errors import SpecError
from rsbench.results.run import Run

Solve = Callable[..., Run]


@pytest.fixture
def solve(embeddings: Path, tiny_run: Callable[..., Run]) -> Solve:
    """A run of `logistic` on given embeddings."""
    return lambda **changes: tiny_run(
        **{"loss": "logistic", "backbone": f"embeddings:{embeddings}", "test": "tiny"} | changes
    )


@pytest.fixture
def solutions(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many clips each solution was fitted to and could choose on, as they come."""
    from rsbench.losses.logistic import LogisticRegression

    solutions: list[int] = []
    solve = LogisticRegression.solve

    def counted(loss: Any, embeddings: Any, labels: Any, held_out: Any, held_out_labels: Any) -> dict[str, float]:
        solutions.extend([len(embeddings), len(held_out)])
        return solve(loss, embeddings, labels, held_out, held_out_labels)

    monkeypatch.setattr(LogisticRegression, "solve", counted)
    return solutions


def test_a_run_has_one_epoch_and_says_what_was_chosen(solve: Solve, solutions: list[int]) -> None:
    run = solve(select="val,val-auroc,last", optim__epochs=20)
    assert run.spec.optim.epochs == 1
    assert run.spec.backbone.params["width"] == 0
    assert run.data.track == "frozen"
    assert {name: chosen.epoch for name, chosen in run.selection.items()} == {"val": 1, "val-auroc": 1, "last": 1}
    (epoch,) = run.epochs.to_dict("records")
    assert epoch["c"] > 0
    assert epoch["val_score"] == run.selection["val"].score
    assert solutions == [8 * run.data.train_patients, 8 * len(run.data.validation_patients)]


def test_a_solution_that_is_on_disk_is_not_made_again(
    solve: Solve, solutions: list[int], tmp_path: Path, interrupted_after: Callable[..., None]
) -> None:
    whole = solve(out=tmp_path / "whole")
    interrupted_after(lambda: solve(out=tmp_path / "parts"), 1)
    continued = solve(out=tmp_path / "parts")
    assert len(solutions) == 2 * 2
    assert continued.run_id == whole.run_id
    assert continued.metrics == whole.metrics
    pd.testing.assert_frame_equal(continued.predictions("tiny"), whole.predictions("tiny"), check_exact=True)


def test_folds_choose_nothing_on_those_they_are_judged_on(solve: Solve, solutions: list[int]) -> None:
    run = solve(select="cv-refit", validation__folds=2, loss__c=0.01)
    assert solutions[1::2] == [0, 0, 0]
    assert run.selection["cv-refit"].epoch == 1
    with pytest.raises(SpecError, match=r"loss\.c=0"):
        solve(select="last", validation__fraction=0)


def test_a_command_solves_beside_losses_that_train(embeddings: Path, tiny_root: Path, tmp_path: Path, cli: Cli) -> None:
    of_data = ("--root", tiny_root, "--train", "tiny", "--test", "tiny", "--set", "data.clip_s=0.5")
    own = ("--backbone", f"embeddings:{embeddings}", "--loss", "ce,logistic", "--epochs", "2", "--results", tmp_path)
    done = cli("run", *of_data, *own)
    assert done.code == 0, done.err
    found = {run.spec.loss.name: run for run in map(Run, (tmp_path / "runs").iterdir())}
    assert {name: len(run.epochs) for name, run in found.items()} == {"ce": 2, "logistic": 1}
    board = cli("leaderboard", "--results", tmp_path, "--split", "tiny")
    assert "logistic" in board.out


def test_a_backbone_that_would_learn_is_refused_and_a_frozen_one_is_solved_on(
    solve: Solve, tiny_run: Callable[..., Run]
) -> None:
    with pytest.raises(SpecError, match=r"backbone 'cnn6' cannot learn with it\. Freeze it, --set optim\.freeze=all"):
        tiny_run(loss="logistic", backbone="cnn6")
    with pytest.raises(SpecError, match=r"Leave backbone\.width=0 and backbone\.hidden=0 as they are"):
        solve(backbone__width=16)
    run = tiny_run(loss="logistic", backbone="tiny", optim__freeze="all")
    assert run.metrics["val"]["tiny"]["argmax"]["score"] > 50
