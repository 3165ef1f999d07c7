"""Runs of one seed on given embeddings go step by step over the same batches, and each ends as it would alone."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from tiny import TINY_PLUGIN, Cli, tiny_settings

from rsbench.core.errors import RsbenchError, RunFailed
from rsbench.experiment.context import make_context, make_spec
from rsbench.experiment.prepare import prepare_experiment
from rsbench.experiment.run import alike, run_together
from rsbench.results.run import Run
from rsbench.training.checkpoint import Checkpoints
from rsbench.training.clipset import EmbeddingClips

LOSSES = ("ce", "qlung", "supcon", "stochastic")  # one and two views, a margin, draws of its own


@pytest.fixture
def together(embeddings: Path, tiny_root: Path) -> Callable[..., dict[str, Any]]:
    """Runs of several losses under `out`: loss → its run, or the error that ended it."""

    def call(
        out: Path, losses: Sequence[str] = LOSSES, *, quiet: bool = False, log: tuple[str, ...] = (), **changes: Any
    ) -> dict[str, Any]:
        context = make_context(tiny_root, out, threads=1, quiet=quiet, observers=log)
        settings = {"backbone": f"embeddings:{embeddings}", "test": "tiny", "optim.epochs": 3, "optim.batch_size": 16}
        specs = [make_spec(tiny_settings(loss=loss) | settings | changes, context, [TINY_PLUGIN]) for loss in losses]
        cache = context.data_cache()
        experiments = [prepare_experiment(spec, cache) for spec in specs]
        names = {experiment.run_id: experiment.spec.loss.name for experiment in experiments}
        ended = dict(run_together(experiments, context))
        return {names[run_id]: run for run_id, run in ended.items()}

    return call


def assert_same(one: Run, other: Run) -> None:
    assert one.run_id == other.run_id
    assert one.metrics == other.metrics
    assert one.selection == other.selection
    pd.testing.assert_frame_equal(one.predictions("tiny"), other.predictions("tiny"), check_exact=True)
    first, second = (run.epochs.drop(columns="seconds") for run in (one, other))
    pd.testing.assert_frame_equal(first, second, check_exact=True)
    weights = [sorted((run.path / "checkpoints").iterdir()) for run in (one, other)]
    assert [path.name for path in weights[0]] == [path.name for path in weights[1]]
    assert all(mine.read_bytes() == others.read_bytes() for mine, others in zip(*weights, strict=True))


@pytest.fixture(scope="module")
def alone(embeddings: Path, tiny_root: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The same runs, one after the other."""
    call = together.__wrapped__(embeddings, tiny_root)  # type: ignore[attr-defined]
    out = tmp_path_factory.mktemp("alone")
    return {loss: call(out, [loss])[loss] for loss in LOSSES}


def test_each_ends_as_it_would_alone(together: Any, alone: dict[str, Run], tmp_path: Path) -> None:
    for loss, run in together(tmp_path).items():
        assert_same(run, alone[loss])


def test_each_tells_its_own_observers(together: Any, alone: dict[str, Run], tmp_path: Path) -> None:
    for loss, run in together(tmp_path, log=("csv",)).items():
        assert_same(run, alone[loss])
        logged = pd.read_csv(tmp_path / "logs" / "csv" / run.run_id / "log.csv")
        pd.testing.assert_frame_equal(logged, run.epochs)


def test_what_they_share_is_drawn_once(
    together: Any, alone: dict[str, Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[int] = []
    views = EmbeddingClips.views

    def counted(clips: EmbeddingClips, rows: torch.Tensor, count: int, draws: torch.Generator) -> torch.Tensor:
        drawn.append(count)
        return views(clips, rows, count, draws)

    monkeypatch.setattr(EmbeddingClips, "views", counted)
    together(tmp_path, quiet=True)  # and so without an estimate
    steps = drawn.count(2)  # of the loss that takes two views
    assert steps > 3
    assert drawn.count(1) == steps  # of the other three together


def test_one_that_was_killed_an_epoch_earlier_catches_up(
    together: Any, alone: dict[str, Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save, saved = Checkpoints.save, 0

    def until_killed(checkpoints: Checkpoints, *arguments: Any) -> None:
        nonlocal saved
        checkpoints.every_s = 0
        if saved == len(LOSSES) + 2:  # two have their second epoch on disk, two their first
            raise KeyboardInterrupt
        save(checkpoints, *arguments)
        saved += 1

    with monkeypatch.context() as patched:
        patched.setattr(Checkpoints, "save", until_killed)
        with pytest.raises(KeyboardInterrupt):
            together(tmp_path)
    states = [json.loads(path.read_text())["state"] for path in tmp_path.glob("runs/*/status.json")]
    assert states == ["interrupted"] * len(LOSSES)
    for loss, run in together(tmp_path).items():
        assert_same(run, alone[loss])


def test_one_that_fails_leaves_the_others_as_they_are(together: Any, alone: dict[str, Run], tmp_path: Path) -> None:
    ended = together(tmp_path, ("breaks_down", "ce", "qlung"))
    assert isinstance(ended["breaks_down"], RunFailed)
    assert "became nan in epoch 2" in str(ended["breaks_down"])
    for loss in ("ce", "qlung"):
        assert_same(ended[loss], alone[loss])


def test_each_tells_the_time_of_its_own_turns(together: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever takes long costs the others nothing."""
    monkeypatch.setenv("UNHURRIED_S", "0.2")
    ended = together(tmp_path, ("ce", "unhurried"), quiet=True)
    slow, other = ended["unhurried"], ended["ce"]
    slept_s = 0.2 * 3 * 4  # three epochs of four steps
    assert slow.epochs["seconds"].sum() > slept_s
    assert slow.cost.seconds > slept_s
    assert other.epochs["seconds"].sum() < slow.epochs["seconds"].sum() - slept_s / 2
    assert other.cost.seconds < slow.cost.seconds - slept_s / 2


def test_what_is_done_is_left_alone(together: Any, tmp_path: Path) -> None:
    before = together(tmp_path, ("ce",))["ce"]
    at = before.status.at
    assert not any(isinstance(run, RsbenchError) for run in together(tmp_path).values())
    assert before.status.at == at


def test_folds_too(together: Any, tmp_path: Path) -> None:
    changes = {"select": "cv-refit", "validation.folds": 2, "validation.fraction": 0}
    both = together(tmp_path / "both", ("ce", "qlung"), **changes)
    for loss, run in both.items():
        assert_same(run, together(tmp_path / "alone", (loss,), **changes)[loss])


def test_tested_folds_too_and_what_they_share_is_drawn_once(
    together: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[int] = []
    views = EmbeddingClips.views

    def counted(clips: EmbeddingClips, rows: torch.Tensor, count: int, draws: torch.Generator) -> torch.Tensor:
        drawn.append(count)
        return views(clips, rows, count, draws)

    monkeypatch.setattr(EmbeddingClips, "views", counted)
    changes = {"train": None, "test": "tiny-cv2", "optim.epochs": 1}
    both = together(tmp_path / "both", ("ce", "qlung"), quiet=True, **changes)
    shared = len(drawn)
    for loss, run in both.items():
        assert_same(run, together(tmp_path / "alone", (loss,), quiet=True, **changes)[loss])
    assert len(drawn) == 3 * shared


def test_only_what_differs_in_its_loss_alone_goes_together(embeddings: Path, tiny_root: Path, tmp_path: Path) -> None:
    context = make_context(tiny_root, tmp_path, quiet=True)
    given = {"backbone": f"embeddings:{embeddings}", "test": "tiny"}
    changes: list[dict[str, Any]] = [
        {"loss": "ce"},
        {"loss": "qlung", "seed": 1},
        {"loss": "qlung"},
        {"loss": "ce", "optim.lr": 0.1},
        {"loss": "ce", "seed": 1},
    ]
    specs = [make_spec(tiny_settings() | given | change, context, [TINY_PLUGIN]) for change in changes]
    heard = [make_spec(tiny_settings(loss=loss), context) for loss in ("ce", "qlung")]
    assert alike([*specs, *heard]) == [[0, 2], [1, 4], [3], [5], [6]]


def test_a_grid_of_the_command_is_told_in_the_order_it_was_asked_for(
    cli: Cli, embeddings: Path, tiny_root: Path, tmp_path: Path
) -> None:
    given = ["--backbone", f"embeddings:{embeddings}", "--train", "tiny", "--test", "tiny", "--root", tiny_root]
    grid = ["--loss", "qlung,ce", "--seeds", "0-1", "--epochs", "1", "--results", tmp_path, "--set", "data.clip_s=0.5"]
    done = cli("run", *given, *grid, "--format", "json")
    assert done.code == 0, done.err
    told = [run["run_id"].split("-")[0] + run["run_id"].split("-s")[1][0] for run in json.loads(done.out)["runs"]]
    assert told == ["qlung0", "qlung1", "ce0", "ce1"]
    assert "qlung, ce, seed 1 (3 of 4)" in done.err
