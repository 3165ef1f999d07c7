"""Splits with folds: every patient is tested once, by a model that knows nothing of it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from tiny import TINY_PLUGIN, Cli, tiny_settings

from rsbench.boards.leaderboard import leaderboard
from rsbench.boards.pair import compare
from rsbench.boards.slices import slices
from rsbench.core.errors import ResultsError, SpecError
from rsbench.data.tasks import ICBHI_4
from rsbench.evaluation.metrics import at_operating_point
from rsbench.evaluation.operating_point import fit_operating_point
from rsbench.experiment import folds as folds_module
from rsbench.experiment import prepare
from rsbench.experiment.context import make_context, make_spec
from rsbench.results.document import document
from rsbench.results.rescore import rescore_run
from rsbench.results.run import Run

SPLIT = "tiny-cv3"
FOLDED = {"train": None, "test": SPLIT, "optim__epochs": 3}
TinyRun = Callable[..., Run]


@pytest.fixture(scope="module")
def results(tiny_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two losses on the folds."""
    from tiny import run_tiny

    out = tmp_path_factory.mktemp("folded")
    for loss in ("ce", "stochastic"):
        run_tiny(tiny_root, out, **FOLDED, loss=loss)
    return out


@pytest.fixture(scope="module")
def runs(results: Path) -> list[Run]:
    return [Run(path) for path in sorted((results / "runs").iterdir())]


def of_part(run: Run, part: str, selection: str = "val") -> pd.DataFrame:
    stored = run.predictions("tiny")
    return stored[(stored["part"] == part) & (stored["selection"] == selection)]


def test_every_patient_is_tested_once_by_a_model_of_the_others(runs: list[Run]) -> None:
    run = runs[0]
    assert run.spec.data.train == SPLIT
    tested, validated = of_part(run, "test"), of_part(run, "validation")
    assert len(tested) == tested["clip_id"].nunique() == 14 * 8  # of both subsets
    folds = run.data.folds
    assert sorted(patient for fold in folds for patient in fold) == sorted(tested["patient"].unique())
    for number, (held_out, kept) in enumerate(zip(folds, run.data.validation_folds, strict=True)):
        assert set(tested.loc[tested["fold"] == number, "patient"]) == set(held_out)
        assert set(validated.loc[validated["fold"] == number, "patient"]) == set(kept)
        assert not set(held_out) & set(kept)
    assert run.figures(SPLIT, "val")["clips"] == 14 * 8
    assert run.data.class_counts == {"normal": 52, "crackle": 26, "wheeze": 13, "both": 13}  # one validates all


def test_offset_and_temperature_are_those_of_the_folds_own_validation_clips(runs: list[Run]) -> None:
    run = runs[0]
    tested, validated = of_part(run, "test"), of_part(run, "validation")
    points = [
        fit_operating_point(rows["label"], rows[list(ICBHI_4.logit_columns)].to_numpy(np.float64))
        for _, rows in validated.groupby("fold")
    ]
    figures = run.metrics["val"][SPLIT]
    offsets = [point.normal_offset for point in points]
    assert figures["operating_point"] == {
        "normal_offset": offsets,
        "temperature": [point.temperature for point in points],
    }
    logits = tested[list(ICBHI_4.logit_columns)].to_numpy(np.float64)
    of_clips = np.array(offsets)[tested["fold"]]
    assert figures["val-bias"] == at_operating_point(tested["label"], logits, of_clips)
    called = run.calls(SPLIT, "val")
    by_clip = pd.Series(of_clips, tested["clip_id"])
    np.testing.assert_array_equal(called.offsets["val-bias"], by_clip[called.clips.index])
    np.testing.assert_allclose(called.probabilities().sum(axis=1), 1)


def test_what_is_fitted_knows_nothing_of_the_fold_that_is_tested(tiny_root: Path, tmp_path: Path) -> None:
    context = make_context(tiny_root, tmp_path, threads=1, quiet=True)
    spec = make_spec(tiny_settings(train=None, test=SPLIT), context, [TINY_PLUGIN])
    experiment = prepare.prepare_experiment(spec, context.data_cache())
    folds = [prepare.tested_fold(experiment, number) for number in range(3)]
    for number, fold in enumerate(folds):
        clips = fold.train_data.clips
        fitted = clips[clips["part"] == "fit"]
        assert not set(fitted["patient"]) & {*experiment.folds[number], *fold.validation_patients}
        assert list(fold.class_counts) == fitted["class_index"].value_counts().sort_index().to_list()
        assert fold.quality_normaliser == fold.index.fit(fold.measures["tiny"][fitted.index])
    normalisers = [fold.quality_normaliser for fold in folds]
    assert len({json.dumps(one) for one in normalisers}) == 3
    assert len(folds[0].train_data.rows("fit")) == len(experiment.train_data.rows("fit"))


def test_epochs_are_means_over_folds_and_each_fold_chooses_its_own(runs: list[Run]) -> None:
    run = runs[0]
    table = pd.read_csv(run.path / "folds.csv")
    assert table.groupby("fold").size().to_list() == [3, 3, 3]
    assert run.epochs["val_score"].to_list() == pytest.approx(table.groupby("epoch")["val_score"].mean().to_list())
    best = table.loc[table.groupby("fold")["val_score"].idxmax(), "epoch"]
    assert run.selection["val"].folds == tuple(best)
    assert run.selection["val"].epoch == best.median()
    assert run.selection["last"].folds == (3, 3, 3)


@pytest.mark.parametrize("stop_after", [3, 7])
def test_stopped_anywhere_and_continued_is_the_same_run(
    runs: list[Run], tiny_run: TinyRun, interrupted_after: Any, monkeypatch: pytest.MonkeyPatch, stop_after: int
) -> None:
    changes, whole = FOLDED | {"loss": "stochastic"}, runs[1]
    interrupted_after(lambda: tiny_run(**changes), stop_after)
    trained: list[int] = []
    evaluate = folds_module.evaluate
    monkeypatch.setattr(folds_module, "evaluate", lambda *given: (trained.append(1), evaluate(*given))[1])
    continued = tiny_run(**changes)
    assert len(trained) == 9 - stop_after  # epochs that were left
    assert whole.metrics == continued.metrics
    pd.testing.assert_frame_equal(whole.predictions("tiny"), continued.predictions("tiny"), check_exact=True)
    assert not list((continued.path / "checkpoints").glob("fold-*"))


def test_what_does_not_go_together_is_refused(tiny_run: TinyRun) -> None:
    with pytest.raises(SpecError, match=r"data\.train=tiny: 'tiny-cv3' tests each patient by a model that was trained"):
        tiny_run(train="tiny", test=SPLIT)
    with pytest.raises(SpecError, match=r"data\.test=tiny-cv3,far: .* Test on 'tiny-cv3' alone"):
        tiny_run(train=None, test=f"{SPLIT},far")
    for chosen in ("oracle", "cv-refit"):
        with pytest.raises(
            SpecError, match=f"select={chosen}: each fold of 'tiny-cv3' chooses by itself. Select val, "
        ):
            tiny_run(train=None, test=SPLIT, select=chosen)


def test_without_validation_the_last_epoch_is_tested_at_argmax(tiny_run: TinyRun) -> None:
    run = tiny_run(**FOLDED | {"optim__epochs": 1}, select="last", validation__fraction=0)
    assert len(run.predictions("tiny")) == 14 * 8
    assert set(run.metrics["last"][SPLIT]) & {"val-bias", "operating_point"} == set()
    assert list(run.calls(SPLIT, "last").offsets) == ["argmax"]


def test_boards_slices_pairs_and_scoring_again_take_such_runs(runs: list[Run]) -> None:
    board = leaderboard(runs, SPLIT, "val")
    stored = [run.metrics["val"][SPLIT][point]["score"] for run in runs for point in ("argmax", "val-bias")]
    assert sorted(board.table["score_mean"]) == pytest.approx(sorted(stored))
    assert board.shared["train"] == f"{SPLIT} v1"
    assert any("models of the 3 folds share" in note for note in board.warnings)
    assert len(slices(runs, SPLIT, "val", "patient", "val-bias")) == 2 * 14
    pair = compare(*runs)
    assert set(pair.scores["operating_point"]) == {"argmax", "val-bias"}
    for run in runs:
        assert rescore_run(run).differing == ()
        assert document(run)["data"]["validation_folds"]


def test_an_offset_of_a_fold_that_is_not_what_validation_gives_is_found(runs: list[Run], tmp_path: Path) -> None:
    copy = tmp_path / runs[0].run_id
    shutil.copytree(runs[0].path, copy)
    metrics = json.loads((copy / "metrics.json").read_text())
    metrics["val"][SPLIT]["operating_point"]["temperature"][1] += 0.1
    (copy / "metrics.json").write_text(json.dumps(metrics))
    assert [line.partition(":")[0] for line in rescore_run(Run(copy)).differing] == [
        f"val, {SPLIT}, operating_point.temperature"
    ]


def test_bundles_without_names_still_give_the_figures(runs: list[Run], tmp_path: Path, cli: Cli) -> None:
    bundle = tmp_path / "bundle"
    shutil.copytree(runs[0].path, tmp_path / "results" / "runs" / runs[0].run_id)
    done = cli("export", "--results", tmp_path / "results", "--out", bundle, "--anonymise")
    assert done.code == 0, done.err
    done = cli("rescore", "--results", bundle)
    assert done.code == 0, done.out + done.err


def test_there_is_no_single_model_to_use(runs: list[Run], results: Path, cli: Cli) -> None:
    with pytest.raises(ResultsError, match="had a model for each of its 3 folds, and keeps none of them"):
        runs[0].choice()
    shown = cli("show", runs[0].run_id, "--results", results)
    assert shown.code == 0, shown.err
    assert "14 patients, each tested in one of 3 folds" in shown.out
