"""A trial sees validation patients alone, is done once, and goes on where it was stopped."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from studies import crew, study

import rsbench.experiment.predict
from rsbench.core.errors import ResultsError, SpecError
from rsbench.sweep.engines import data_cache
from rsbench.sweep.spec import SweepSpec, cells
from rsbench.sweep.trials import TrialRecord, TrialStopped, TrialStore, run_trial, trial_settings
from rsbench.training.checkpoint import Checkpoints

Run = Callable[..., Any]
LR = {"optim.lr": 0.01}


def ignore(epoch: int, score: float) -> None:
    pass


def tried(
    root: Path,
    out: Path,
    sweep: SweepSpec,
    params: dict[str, Any] = LR,
    report: Callable[[int, float], None] = ignore,
) -> TrialRecord:
    whose = crew(root, out)
    (cell,) = cells(sweep)
    return run_trial(cell, params, sweep, whose.context(), data_cache(whose), whose.trials(sweep), report)


def content(record: TrialRecord) -> TrialRecord:
    return replace(record, seconds=0.0)


def test_its_scores_are_those_of_the_run_of_these_settings(tiny_root: Path, tmp_path: Path, tiny_run: Run) -> None:
    record = tried(tiny_root, tmp_path, study())
    run = tiny_run(loss="ce", optim__lr=0.01, optim__epochs=3, seed=1000)
    epochs = pd.read_csv(run.path / "epochs.csv")
    assert record.scores == pytest.approx(epochs["val_score"].to_list(), abs=1e-12)
    assert (record.state, record.value) == ("done", max(record.scores))
    assert record.trial_id == f"ce-{record.trial_id[-10:]}"


def test_of_folds_it_is_the_score_over_all_held_out(tiny_root: Path, tmp_path: Path, tiny_run: Run) -> None:
    record = tried(tiny_root, tmp_path, study(folds=3))
    run = tiny_run(loss="ce", optim__lr=0.01, optim__epochs=3, seed=1000, select="cv-refit", validation__folds=3)
    chosen = json.loads((run.path / "selection.json").read_text())["cv-refit"]
    assert record.scores == (chosen["score"],)
    assert not (tmp_path / "sweeps" / "small" / "trials" / record.trial_id / "checkpoints").exists()


@pytest.mark.parametrize("folds", [1, 3])
def test_no_clip_of_a_test_set_is_predicted(
    tiny_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folds: int
) -> None:
    """Every prediction goes through `predict_rows`: none of the clips that it is given is tested."""
    predict_rows = rsbench.experiment.predict.predict_rows
    seen = []

    def looked_at(model: Any, clips: Any, rows: Any, *more: Any, **options: Any) -> Any:
        seen.append((len(clips.known.labels), set(rows.tolist())))
        return predict_rows(model, clips, rows, *more, **options)

    monkeypatch.setattr("rsbench.experiment.predict.predict_rows", looked_at)
    monkeypatch.setattr("rsbench.experiment.cross_validation.predict_rows", looked_at)
    tried(tiny_root, tmp_path, study(folds=folds))
    clips = pd.read_csv(tiny_root / "tiny" / "clips.csv")
    assert seen
    for count, rows in seen:
        assert count == len(clips)
        assert set(clips["subset"].iloc[sorted(rows)]) == {"train"}


def test_other_labels_of_the_test_sets_change_nothing_but_the_name(tiny_root: Path, tmp_path: Path) -> None:
    import shutil

    root = tmp_path / "permuted"
    shutil.copytree(tiny_root, root)
    for name in ("tiny", "far"):
        clips = pd.read_csv(root / name / "clips.csv")
        tested = clips["subset"] == "test"
        clips.loc[tested, "label"] = clips.loc[tested, "label"].to_numpy()[::-1]
        clips.to_csv(root / name / "clips.csv", index=False)
    one, other = tried(tiny_root, tmp_path / "one", study()), tried(root, tmp_path / "other", study())
    assert one.trial_id != other.trial_id  # it is other data all the same
    assert content(replace(one, trial_id="")) == content(replace(other, trial_id=""))


def test_nothing_of_test_is_in_its_folder(tiny_root: Path, tmp_path: Path) -> None:
    record = tried(tiny_root, tmp_path, study())
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert [path.name for path in files if path.name != ".lock"] == ["trial.json"]
    assert set(json.loads(next(p for p in files if p.name == "trial.json").read_text())) == set(vars(record))


def test_the_same_settings_are_never_trained_twice(
    tiny_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = tried(tiny_root, tmp_path, study())
    monkeypatch.setattr("rsbench.sweep.trials.build_model", lambda experiment: pytest.fail("trained again"))
    assert tried(tiny_root, tmp_path, study()) == first


def test_stopped_by_the_scheduler_it_keeps_what_it_had(tiny_root: Path, tmp_path: Path) -> None:
    def stop(epoch: int, score: float) -> None:
        if epoch == 2:
            raise TrialStopped

    record = tried(tiny_root, tmp_path, study(), report=stop)
    assert (record.state, len(record.scores), record.value) == ("stopped", 2, max(record.scores))
    whole = tried(tiny_root, tmp_path / "whole", study())
    assert whole.scores[:2] == record.scores


def test_stopped_after_its_last_epoch_it_is_done(tiny_root: Path, tmp_path: Path) -> None:
    def stop(epoch: int, score: float) -> None:
        if epoch == 3:
            raise TrialStopped

    assert tried(tiny_root, tmp_path, study(), report=stop).state == "done"


@pytest.mark.parametrize("folds", [1, 3])
def test_killed_anywhere_it_goes_on_from_its_own_checkpoints(
    tiny_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folds: int
) -> None:
    sweep = study(folds=folds)
    whole = tried(tiny_root, tmp_path / "whole", sweep)
    save, saved = Checkpoints.save, 0

    def kill(*arguments: Any) -> None:
        nonlocal saved
        save(*arguments)
        saved += 1
        if saved == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(Checkpoints, "save", kill)
    with pytest.raises(KeyboardInterrupt):
        tried(tiny_root, tmp_path, sweep)
    (left,) = TrialStore(tmp_path / "sweeps" / "small" / "trials").records()
    assert not left.finished
    assert TrialStore(tmp_path / "sweeps" / "small" / "trials").best("ce") is None
    record = tried(tiny_root, tmp_path, sweep)
    assert content(record) == content(whole)
    assert saved == 3 * folds  # every epoch once
    assert record.seconds > left.seconds


def test_a_failure_is_a_record(tiny_root: Path, tmp_path: Path) -> None:
    record = tried(tiny_root, tmp_path, study(["breaks_down"]))
    assert (record.state, record.value) == ("failed", None)
    assert "became nan" in record.error
    trace = tmp_path / "sweeps" / "small" / "trials" / record.trial_id / "error.txt"
    assert "RunFailed" in trace.read_text()


def test_a_full_disk_is_no_failure_of_the_settings(
    tiny_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: Any) -> None:
        raise ResultsError("the disk is full")

    with monkeypatch.context() as patched:
        patched.setattr(Checkpoints, "save", full)
        with pytest.raises(ResultsError):
            tried(tiny_root, tmp_path, study())
    assert tried(tiny_root, tmp_path, study()).state == "done"


def test_impossible_settings_are_said_before_anything_is_written(tiny_root: Path, tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"optim\.lr"):
        tried(tiny_root, tmp_path, study(), params={"optim.lr": -1.0})
    assert not list(tmp_path.iterdir())


def test_its_seed_is_the_searchs_and_its_rule_looks_at_no_test_set() -> None:
    sweep = study(base={"select": "oracle,last"}, seed=77)
    (cell,) = cells(sweep)
    assert sweep.search is not None
    settings = trial_settings(cell, LR, sweep.search)
    assert (settings["seed"], settings["select"], settings["optim.lr"]) == (77, "val", 0.01)
