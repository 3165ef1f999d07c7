"""Training on several data sets: what each would keep for validation alone, one normaliser, one operating point."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from tiny import TINY_PLUGIN, Cli, run_tiny, tiny_settings, write_own_dataset

from rsbench.core.errors import SpecError
from rsbench.data.tasks import ICBHI_4
from rsbench.evaluation.operating_point import fit_operating_point
from rsbench.experiment.build import clip_set, training_clips, training_rows
from rsbench.experiment.context import make_context, make_spec
from rsbench.experiment.prepare import Experiment, prepare_experiment
from rsbench.results.rescore import rescore_run
from rsbench.results.run import Run, load_runs

Prepare = Callable[..., Experiment]
BOTH = {"train": "tiny,near", "test": "tiny,far"}


@pytest.fixture(scope="module")
def root(tiny_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`tiny` and `far`, and beside them `near`, whose patients have the names of those of `tiny`."""
    root = Path(shutil.copytree(tiny_root, tmp_path_factory.mktemp("several") / "root"))
    write_own_dataset(root / "near", {"train": 6, "test": 2}, seed=2, pitch=1.1)
    return root


@pytest.fixture(scope="module")
def results(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on both data sets, and one on `tiny` alone."""
    out = tmp_path_factory.mktemp("results")
    for train in ("tiny,near", "tiny"):
        run_tiny(root, out, **BOTH | {"train": train})
    return out


@pytest.fixture
def both(results: Path) -> Run:
    return next(run for run in load_runs(results) if "," in run.spec.data.train)


@pytest.fixture
def prepare(root: Path, tmp_path: Path) -> Prepare:
    def call(**changes: Any) -> Experiment:
        context = make_context(root, tmp_path, threads=1, quiet=True)
        spec = make_spec(tiny_settings(**changes), context, [TINY_PLUGIN])
        return prepare_experiment(spec, context.data_cache())

    return call


def test_each_data_set_keeps_the_patients_whom_a_run_on_it_alone_would_keep(prepare: Prepare) -> None:
    together, tiny, near = (prepare(train=train, test="far") for train in ("tiny,near", "tiny", "near"))
    wanted = [f"tiny:{name}" for name in tiny.validation_patients]
    wanted += [f"near:{name}" for name in near.validation_patients]
    assert list(together.validation_patients) == wanted
    assert np.array_equal(np.add(tiny.class_counts, near.class_counts), together.class_counts)
    for name, alone in (("tiny", tiny), ("near", near)):
        parts = [one.datasets[name].clips["part"].replace("unused", "test") for one in (together, alone)]
        assert parts[0].equals(parts[1].replace("unused", "test"))


def test_the_quality_of_all_is_measured_by_what_all_have_to_fit(prepare: Prepare) -> None:
    together = prepare(train="tiny,near", test="far")
    fitted = [together.measures[name][of.rows("fit")] for name, of in together.training.items()]
    assert together.quality_normaliser == together.index.fit(np.concatenate(fitted))


def test_clips_are_gathered_from_the_data_set_that_they_are_of(prepare: Prepare) -> None:
    together = prepare(train="tiny,near", test="far")
    own = {name: clip_set(of, together, torch.device("cpu")) for name, of in together.training.items()}
    clips, sizes = training_clips(together, own), [len(of.clips) for of in together.training.values()]
    rows = torch.randperm(sum(sizes), generator=torch.Generator().manual_seed(0))[:40]
    for row, features in zip(rows.tolist(), clips.features(rows), strict=True):
        name, place = ("tiny", row) if row < sizes[0] else ("near", row - sizes[0])
        assert torch.equal(features, own[name].features(torch.tensor([place]))[0])
        assert clips.known.clip_ids[row] == together.datasets[name].clips["clip_id"].iloc[place]
    fitted = torch.as_tensor(training_rows(together, "fit"))
    assert [clips.known.clip_ids[row] for row in fitted] == together.fitted["clip_id"].tolist()
    batch = clips.batch(fitted, 0.0)
    assert batch.dataset is not None
    assert set(batch.dataset.tolist()) == {0, 1}
    people = together.fitted[["dataset", "patient"]].drop_duplicates()
    assert set(batch.patient.tolist()) == set(range(len(people)))  # one name in two data sets is two people
    assert set(batch.device.tolist()) == {0}  # while a device of one name is one device


def test_the_operating_point_is_chosen_on_the_validation_clips_of_all(both: Run) -> None:
    rows = pd.concat([both.predictions(name).query("part == 'validation'") for name in ("tiny", "near")])
    rows = rows[rows["selection"] == "val"]
    assert set(both.predictions("near")["part"]) == {"validation"}  # it is not tested
    wanted = fit_operating_point(rows["label"], rows[list(ICBHI_4.logit_columns)].astype("float64"))
    chosen = both.metrics["val"]["far"]["operating_point"]
    assert chosen == {"normal_offset": wanted.normal_offset, "temperature": wanted.temperature}
    assert rescore_run(both).differing == ()


def test_boards_tell_such_runs_apart_and_never_mix_them(results: Path, cli: Cli) -> None:
    mixed = cli("leaderboard", "--results", results, "--split", "far")
    assert mixed.code == 2
    assert "they differ in train: train=tiny v1" in mixed.err
    assert "--only 'train=tiny v1" in mixed.err  # quoted, to be copied
    assert "train=tiny v1,near v1" in mixed.err
    board = cli("leaderboard", "--results", results, "--split", "far", "--only", "train=tiny v1,near v1")
    assert board.code == 0, board.err
    assert "train tiny v1,near v1" in board.out


def test_every_reader_reads_such_a_run(both: Run, results: Path, cli: Cli, tmp_path: Path) -> None:
    assert cli("rescore", "--results", results).code == 0
    assert cli("show", both.path).code == 0
    assert "Trained on tiny (version 1) and near (version 1)" in cli("predict", both.path, "--card").out
    for options, brought in (((), "as-it-is"), (("--anonymise",), "secret")):
        bundle, there = tmp_path / f"{brought}.zip", tmp_path / brought
        assert cli("export", "--results", results, "--out", bundle, *options).code == 0
        merged = cli("merge", bundle, "--results", there)
        assert merged.code == 0, merged.err
        (run,) = (run for run in load_runs(there) if "," in run.spec.data.train)
        validated = {
            name: set(run.predictions(name).query("part == 'validation'")["patient"]) for name in ("tiny", "near")
        }
        named = {f"{name}:{patient}" for name, patients in validated.items() for patient in patients}
        assert set(run.data.validation_patients) == named
        assert cli("rescore", "--results", there).code == 0


def test_what_cannot_be_trained_on_together_is_refused(prepare: Prepare, bring_split: Any) -> None:
    with pytest.raises(SpecError, match="tiny and tiny are splits of one data set, 'tiny'"):
        prepare(train="tiny, tiny")
    with pytest.raises(SpecError, match="select=cv-refit makes folds of one data set"):
        prepare(train="tiny,near", select="cv-refit")
    assert prepare(train="tiny , near").spec.data.train == "tiny,near"
