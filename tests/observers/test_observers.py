"""Observers are told what epochs.csv gets and the final figures; they change nothing and stop nothing."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from tiny import CLIP_S, OBSERVING_PLUGIN, TINY_PLUGIN, Cli

from rsbench import Run
from rsbench.core.errors import PluginError
from rsbench.observers.observer import register_observer


@pytest.fixture
def command(cli: Cli, tiny_root: Path, tmp_path: Path) -> Callable[..., Any]:
    """`rsbench run` of three epochs under tmp_path: `command("--log", "csv")`."""
    fixed = ["run", "--backbone", "tiny", "--plugin", TINY_PLUGIN, "--plugin", OBSERVING_PLUGIN, "--root", tiny_root]
    fixed += ["--train", "tiny", "--set", f"data.clip_s={CLIP_S}", "--threads", "1", "--device", "cpu"]

    def call(*options: str, loss: str = "ce", out: str = "results") -> Any:
        defaults = [] if "--test" in options else ["--test", "tiny"]
        return cli(*fixed, "--loss", loss, "--results", tmp_path / out, "--epochs", "3", *defaults, *options)

    return call


def the_run(results: Path) -> Run:
    (path,) = (results / "runs").iterdir()
    return Run(path)


def told(results: Path, name: str = "recorder") -> list[list[Any]]:
    (file,) = (results / "logs" / name).glob("*/told.jsonl")
    return [json.loads(line) for line in file.read_text().splitlines()]


def numbers(figures: Mapping[str, Any], within: str = "") -> Iterator[tuple[str, float]]:
    for key, value in figures.items():
        if isinstance(value, dict):
            yield from numbers(value, f"{within}{key}/")
        elif isinstance(value, int | float):
            yield f"{within}{key}", value


def test_an_observer_is_told_of_its_run_from_beginning_to_end(command: Callable[..., Any], tmp_path: Path) -> None:
    assert command("--log", "recorder").code == 0
    run = the_run(tmp_path / "results")
    begin, *epochs, end = told(tmp_path / "results")
    assert begin == ["begin", run.run_id, json.loads((run.path / "spec.json").read_text())]
    assert [kind for kind, _ in epochs] == ["epoch"] * 3
    pd.testing.assert_frame_equal(pd.DataFrame([row for _, row in epochs]), run.epochs)
    assert end == ["end", "done", dict(numbers(run.metrics))]


def test_csv_and_tensorboard_hold_what_the_record_holds(command: Callable[..., Any], tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    done = command("--log", "csv,tensorboard", "--test", "tiny,far")
    assert done.code == 0
    assert "logged by csv, tensorboard in" in done.err
    run = the_run(tmp_path / "results")
    logs = tmp_path / "results" / "logs"
    pd.testing.assert_frame_equal(pd.read_csv(logs / "csv" / run.run_id / "log.csv"), run.epochs)
    figures = pd.read_csv(logs / "csv" / run.run_id / "figures.csv").set_index("figure")["value"]
    assert figures.to_dict() == dict(numbers(run.metrics))

    events = EventAccumulator(str(logs / "tensorboard" / run.run_id), size_guidance={"scalars": 0}).Reload()
    curves = {tag: [(event.step, event.value) for event in events.Scalars(tag)] for tag in events.Tags()["scalars"]}
    for name in set(run.epochs) - {"epoch"}:
        steps, values = zip(*curves.pop(name), strict=True)
        assert steps == (1, 2, 3)
        assert values == pytest.approx(run.epochs[name], rel=1e-6)  # events hold float32
    assert curves.keys() == {f"final/{name}" for name in figures.index}
    assert curves["final/val/far/argmax/score"] == [(3, pytest.approx(figures["val/far/argmax/score"]))]


def test_what_observers_do_changes_nothing_and_stops_nothing(command: Callable[..., Any], tmp_path: Path) -> None:
    assert command("--quiet", out="alone", loss="stochastic").code == 0
    misbehaving = "meddler,cannot_begin,quits,fails_at_the_end"
    done = command("--format", "json", "--log", f"{misbehaving},recorder", loss="stochastic")
    assert done.code == 0, done.err
    run, alone = the_run(tmp_path / "results"), the_run(tmp_path / "alone")
    assert [item["run_id"] for item in json.loads(done.out)["runs"]] == [run.run_id] == [alone.run_id]
    notes = [line.split("'")[1] for line in done.err.splitlines() if line.startswith(f"note: {run.run_id}: observer")]
    assert notes == ["cannot_begin", "quits", "fails_at_the_end"]
    assert "observing_plugin.py, line" in done.err
    pd.testing.assert_frame_equal(run.predictions("tiny"), alone.predictions("tiny"), check_exact=True)
    pd.testing.assert_frame_equal(run.epochs.drop(columns="seconds"), alone.epochs.drop(columns="seconds"))
    assert run.metrics == alone.metrics
    files = [{path.relative_to(one.path) for path in one.path.rglob("*")} for one in (run, alone)]
    assert files[0] == files[1]
    assert told(tmp_path / "results")[-1][1] == "done"


def test_a_run_that_goes_on_tells_every_epoch_once(command: Callable[..., Any], tmp_path: Path) -> None:
    stopped = command("--log", "csv,recorder,user_interrupts")
    assert (stopped.code, "Interrupted" in stopped.err) == (130, True)
    assert told(tmp_path / "results")[-1] == ["end", "interrupted", {}]
    again = command("--log", "csv,recorder")
    assert (again.code, "going on after epoch 2" in again.err) == (0, True)
    run = the_run(tmp_path / "results")
    log = pd.read_csv(tmp_path / "results" / "logs" / "csv" / run.run_id / "log.csv")
    pd.testing.assert_frame_equal(log, run.epochs)
    assert [kind for kind, *_ in told(tmp_path / "results")] == ["begin", "epoch", "epoch", "epoch", "end"]


def test_a_run_that_fails_is_told(command: Callable[..., Any], tmp_path: Path) -> None:
    assert command("--log", "recorder", loss="breaks_down").code == 1
    assert told(tmp_path / "results")[-1] == ["end", "failed", {}]


def test_where_every_patient_is_tested_rows_are_those_of_epochs_csv(
    command: Callable[..., Any], tmp_path: Path
) -> None:
    assert command("--log", "recorder", "--test", "tiny-cv2", "--train", "tiny-cv2").code == 0
    rows = [rest[0] for kind, *rest in told(tmp_path / "results") if kind == "epoch"]
    pd.testing.assert_frame_equal(pd.DataFrame(rows), the_run(tmp_path / "results").epochs)


def test_what_cannot_be_is_said_before_anything_starts(
    command: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unknown = command("--log", "csv,tensorbord", "--dry-run")
    assert (unknown.code, "There is no observer 'tensorbord'. Did you mean 'tensorboard'?" in unknown.err) == (2, True)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    missing = command("--log", "wandb")
    assert missing.code == 2
    assert missing.err == (
        "error: Observer 'wandb' needs wandb, which is not installed. This mends it: pip install 'rsbench[wandb]'\n"
    )
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_observer_is_refused() -> None:
    with pytest.raises(PluginError, match=r"@register_observer\('mine'\) takes a subclass of rsbench.Observer"):
        register_observer("mine")(dict)  # type: ignore[type-var]


def test_observers_are_listed(cli: Cli) -> None:
    listed = cli("list", "observers", "--plugin", OBSERVING_PLUGIN)
    assert all(name in listed.out for name in ("tensorboard", "csv", "wandb", "mlflow", "recorder"))
