"""What training goes on from: whole states alone, the one before where the last is damaged; the bits stay the same."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from on_disk import cut, zero_second_half
from small_models import trained
from torch import nn

from rsbench.core.errors import StorageError, WeightsError
from rsbench.core.weights import read_state
from rsbench.training import checkpoint, loop
from rsbench.training.checkpoint import STATE, STATE_BEFORE, Checkpoints, Kept, TrainingState

Run = Callable[..., Any]
CHANGES = {"loss": "stochastic", "epochs": 3, "select": "val,last"}


def swap_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) * 2 // 3] ^= 16
    path.write_bytes(content)


def assert_same_run(one: Any, other: Any) -> None:
    assert one.metrics == other.metrics
    assert one.selection == other.selection
    for name in ("tiny", "far"):
        pd.testing.assert_frame_equal(one.predictions(name), other.predictions(name), check_exact=True)
    first, second = (pd.read_csv(run.path / "epochs.csv").drop(columns="seconds") for run in (one, other))
    pd.testing.assert_frame_equal(first, second, check_exact=True)
    assert all(trained(one)[name].equal(tensor) for name, tensor in trained(other).items())
    left = {path.name for path in (one.path / "checkpoints").iterdir()}
    assert left == {path.name for path in (other.path / "checkpoints").iterdir()}


@pytest.fixture(scope="module")
def whole(tiny_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    from tiny import run_tiny

    changes = {key.replace(".", "__"): value for key, value in CHANGES.items()}
    return run_tiny(tiny_root, tmp_path_factory.mktemp("whole"), **changes)


@pytest.mark.parametrize(
    ("names", "damage"),
    [
        ([STATE], zero_second_half),
        ([STATE, STATE_BEFORE], swap_a_bit),
        (["val-*"], swap_a_bit),
        (["last-*", "val-*"], Path.unlink),
    ],
)
def test_damage_goes_on_from_the_state_before_and_ends_with_the_same_bits(
    tiny_run: Run, whole: Any, tmp_path: Path, interrupted_after: Any, names: list[str], damage: Any
) -> None:
    interrupted_after(lambda: tiny_run(**CHANGES), 2)
    for name in names:
        for path in tmp_path.glob(f"results/runs/*/checkpoints/{name}"):
            damage(path)
    assert_same_run(tiny_run(**CHANGES), whole)


def test_damage_is_said(
    tiny_root: Path, tmp_path: Path, interrupted_after: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    from tiny import TINY_PLUGIN, tiny_settings

    import rsbench

    def run() -> None:
        rsbench.run(tiny_settings(**CHANGES), plugins=[TINY_PLUGIN], root=tiny_root, results=tmp_path, threads=1)

    interrupted_after(run, 2)
    (state,) = tmp_path.glob(f"runs/*/checkpoints/{STATE}")
    cut(state)
    run()
    said = " ".join(capsys.readouterr().err.split())
    assert f"note: {state}, or weights that go with it, were damaged" in said
    assert "going on after epoch 1 of 3" in said


def test_what_a_kill_at_the_very_end_left_goes_with_the_next_command(tiny_run: Run, whole: Any) -> None:
    run = tiny_run(**CHANGES)
    checkpoints = run.path / "checkpoints"
    for name in (STATE, STATE_BEFORE, "val-099.safetensors", ".last-003.safetensors.4194305.tmp", "fold-1/resume.pt"):
        (checkpoints / name).parent.mkdir(exist_ok=True)
        (checkpoints / name).write_bytes(b"left")
    assert_same_run(tiny_run(**CHANGES), whole)


def test_two_states_and_their_weights_are_kept(tmp_path: Path) -> None:
    checkpoints, progress, model = Checkpoints(tmp_path, every_s=0), TrainingState(), nn.Linear(2, 2)
    for epoch in range(1, 5):
        progress.epochs_done = epoch
        progress.kept["val"] = checkpoints.keep("val", model, 50.0, epoch)
        checkpoints.save(progress, {})
        assert Checkpoints(tmp_path).load().progress.kept["val"] == Kept(50.0, epoch, f"val-{epoch:03d}.safetensors")
    kept = {"val-003.safetensors", "val-004.safetensors"}
    assert {path.name for path in tmp_path.iterdir()} == {STATE, STATE_BEFORE, *kept}


def test_changed_weights_of_a_run_are_not_used(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    kept = checkpoints.keep("val", nn.Linear(20, 20), 50.0, 1)
    checkpoints.save(TrainingState(kept={"val": kept}), {})
    checkpoints.flush()
    swap_a_bit(tmp_path / kept.filename)
    with pytest.raises(WeightsError, match=r"val-001\.safetensors is damaged"):
        read_state(tmp_path / kept.filename)


def test_a_state_is_written_only_once_in_a_while_and_when_asked_for(tmp_path: Path) -> None:
    checkpoints, progress, model = Checkpoints(tmp_path / "checkpoints", every_s=3600), TrainingState(), nn.Linear(2, 2)
    for epoch in (1, 2):
        progress.epochs_done = epoch
        progress.kept["val"] = checkpoints.keep("val", model, 50.0 + epoch, epoch)
        checkpoints.save(progress, {"model": model.state_dict()})
        assert not checkpoints.folder.exists()
    checkpoints.flush()
    assert {path.name for path in checkpoints.folder.iterdir()} == {
        STATE,
        "val-002.safetensors",
    }  # not those of epoch 1


def test_what_is_written_are_the_weights_after_the_epoch_not_those_of_the_moment(tmp_path: Path) -> None:
    checkpoints, progress, model = Checkpoints(tmp_path, every_s=3600), TrainingState(epochs_done=1), nn.Linear(2, 2)
    optimiser = torch.optim.Adam(model.parameters())
    model(torch.ones(1, 2)).sum().backward()
    optimiser.step()
    progress.kept["val"] = checkpoints.keep("val", model, 50.0, 1)
    checkpoints.save(progress, {"model": model.state_dict(), "optimiser": optimiser.state_dict()})
    weight, moment = model.weight.detach().clone(), optimiser.state[model.weight]["exp_avg"].clone()
    optimiser.step()  # the next epoch
    checkpoints.flush()
    state = Checkpoints(tmp_path).load().tensors
    assert state["model"]["weight"].equal(weight)
    assert state["optimiser"]["state"][0]["exp_avg"].equal(moment)
    assert read_state(tmp_path / "val-001.safetensors")["weight"].equal(weight)


def test_a_disk_that_is_full_in_the_background_is_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: Any, **options: Any) -> None:
        raise StorageError("No space left on device")

    monkeypatch.setattr(checkpoint, "write_sealed", full)
    checkpoints = Checkpoints(tmp_path, every_s=1e-9)
    checkpoints.save(TrainingState(epochs_done=1), {})
    with pytest.raises(StorageError, match="No space"):
        checkpoints.save(TrainingState(epochs_done=2), {})


def test_whatever_ends_a_training_its_last_whole_epoch_is_on_disk(
    tiny_run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps, accumulate = 0, loop.accumulate_gradients

    def interrupted(*arguments: Any) -> Any:
        nonlocal steps
        steps += 1
        if steps == 11:  # in the third epoch of four steps each
            raise KeyboardInterrupt
        return accumulate(*arguments)

    monkeypatch.setattr(loop, "accumulate_gradients", interrupted)
    with pytest.raises(KeyboardInterrupt):
        tiny_run(epochs=3)
    (folder,) = tmp_path.glob("results/runs/*/checkpoints")
    assert Checkpoints(folder).load().progress.epochs_done == 2
