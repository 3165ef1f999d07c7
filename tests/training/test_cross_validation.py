"""cv-refit: folds of patients choose, and the last fit is on all of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rsbench.core.errors import DataError, SpecError
from rsbench.data.splits import choose_folds
from rsbench.evaluation.metrics import at_operating_point
from rsbench.evaluation.operating_point import fit_operating_point

Run = Callable[..., Any]
LOGITS = ["logit_normal", "logit_crackle", "logit_wheeze", "logit_both"]
FOLDED = {"select": "cv-refit", "validation__folds": 3, "epochs": 4}


def held_out(record: Any) -> pd.DataFrame:
    frame = pd.read_parquet(record.path / "predictions" / "tiny.parquet")
    return frame[frame["part"] == "validation"]


def test_every_training_patient_is_held_out_once(tiny_run: Run) -> None:
    record = tiny_run(**FOLDED)
    folds = record.data.folds
    assert len(folds) == 3
    patients = [patient for fold in folds for patient in fold]
    assert sorted(patients) == sorted(set(patients)) == sorted(held_out(record)["patient"].unique())
    assert len(held_out(record)) == 10 * 8
    assert record.data.class_counts == {"normal": 40, "crackle": 20, "wheeze": 10, "both": 10}  # all of them


def test_the_epoch_and_the_offset_are_those_of_the_clips_held_out(tiny_run: Run) -> None:
    record = tiny_run(**FOLDED)
    folds = pd.read_csv(record.path / "folds.csv")
    assert folds.groupby("fold").size().to_list() == [4, 4, 4]
    chosen = folds.loc[folds["chosen"], "epoch"].unique()
    rows = held_out(record)
    labels, logits = rows["label"].to_numpy(), rows[LOGITS].to_numpy(np.float64)
    pooled = at_operating_point(labels, logits)["score"]
    selection = pd.read_json(record.path / "selection.json")["cv-refit"]
    assert (selection["epoch"], selection["score"]) == (chosen.item(), pytest.approx(pooled))
    stored = record.metrics["cv-refit"]["far"]["operating_point"]["normal_offset"]
    assert stored == pytest.approx(fit_operating_point(labels, logits).normal_offset)
    assert len(pd.read_csv(record.path / "epochs.csv")) == chosen.item()


def test_the_refit_is_the_run_on_everything_stopped_at_that_epoch(tiny_run: Run, tmp_path: Path) -> None:
    """The last fit knows nothing of the folds but where to stop."""
    record = tiny_run(**FOLDED, loss="stochastic")
    everything = tiny_run(out=tmp_path / "all", select="last", validation__fraction=0, epochs=4, loss="stochastic")
    columns = ["lr", "train_loss"]
    refitted, whole = (pd.read_csv(one.path / "epochs.csv")[columns] for one in (record, everything))
    pd.testing.assert_frame_equal(refitted, whole.head(len(refitted)), check_exact=True)


@pytest.mark.parametrize("stop_after", [2, 6, 13])
def test_stopped_anywhere_and_continued_is_the_same_run(
    tiny_run: Run, tmp_path: Path, interrupted_after: Any, stop_after: int
) -> None:
    changes = FOLDED | {"loss": "stochastic"}
    whole = tiny_run(out=tmp_path / "whole", **changes)
    interrupted_after(lambda: tiny_run(out=tmp_path / "parts", **changes), stop_after)
    continued = tiny_run(out=tmp_path / "parts", **changes)
    assert whole.metrics == continued.metrics
    pd.testing.assert_frame_equal(held_out(whole), held_out(continued), check_exact=True)
    assert not list((continued.path / "checkpoints").glob("fold-*"))


def test_what_does_not_go_together_is_refused(tiny_run: Run) -> None:
    with pytest.raises(SpecError, match="ask for it alone"):
        tiny_run(select="cv-refit,val")
    with pytest.raises(SpecError, match=r"leave out validation\.fraction"):
        tiny_run(select="cv-refit", validation__fraction=0.2)
    with pytest.raises(DataError, match=r"validation\.folds=11: the training part has 10 patients"):
        tiny_run(select="cv-refit", validation__folds=11)


@given(st.integers(0, 2**31), st.integers(2, 5), st.sets(st.integers(0, 11), max_size=4))
@settings(max_examples=50)
def test_folds_part_the_patients_who_are_free(seed: int, folds: int, never: set[int]) -> None:
    clips = pd.DataFrame({"patient": [f"p{n:02d}" for n in range(12) for _ in range(8)]})
    clips["class_index"] = [0, 0, 0, 0, 1, 1, 2, 3] * 12
    kept = {f"p{n:02d}" for n in never}
    chosen = choose_folds(clips, folds, seed, kept)
    assert chosen == choose_folds(clips, folds, seed, kept)
    patients = [patient for fold in chosen for patient in fold]
    assert len(patients) == len(set(patients))
    assert set(patients) == set(clips["patient"]) - kept
    assert max(map(len, chosen)) - min(map(len, chosen)) <= 1


def test_a_class_that_one_fold_would_take_away_is_named() -> None:
    clips = pd.DataFrame({"patient": ["a"] * 4 + ["b"] * 4, "class_index": [0, 1, 1, 2, 0, 3, 3, 2]})
    with pytest.raises(DataError, match="all patients with class '(crackle|both)' fall into one fold"):
        choose_folds(clips, 2, 0)
    with pytest.raises(DataError, match=r"validation\.folds=2: .* 1 clips of its rarest class"):
        choose_folds(clips.iloc[[0, 1, 2, 4, 5, 6, 7]], 2, 0)
