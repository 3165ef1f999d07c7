"""Tasks of whole recordings and of patients, from the recordings to the board."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy
from tiny import CLIP_S, run_tiny, write_own_dataset

from rsbench.boards.leaderboard import leaderboard
from rsbench.core.errors import DataError
from rsbench.data.clips import ClipTable
from rsbench.data.datasets import register_dataset
from rsbench.data.folder import read_folder
from rsbench.data.splits import Split
from rsbench.data.tasks import LabelMap, Task, register_task
from rsbench.results.run import Run

RECORDS = ("Normal", "CAS", "DAS", "CAS & DAS", "Poor Quality")
SPLITS = [
    Split("infirmary", 1, "infirmary", "Patients of train, and of test.", ("train",), ("test",)),
    Split("infirmary-shared", 1, "infirmary", "Tests all patients.", ("train",), ("test", "more")),
]


@register_dataset("infirmary", splits=SPLITS)
def read_infirmary(root: Path) -> ClipTable:
    """Two recordings a patient, who is ill or not."""
    return replace(
        read_folder(root, "infirmary"), diagnoses=lambda: {f"p{n:02d}": ("ill" if n % 2 else "well") for n in range(40)}
    )


@register_task
def illness() -> Task:
    """Whether a patient is ill."""
    return Task(
        "illness", ("well", "ill"), "well", (LabelMap("ill", 1, {"well": "well", "ill": "ill"}),), level="patient"
    )


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`own`: 20 patients to train on and 10 to test, each recording with a label; `infirmary`: two of each patient."""
    folder = tmp_path_factory.mktemp("levels")
    for name in ("own", "infirmary"):
        write_own_dataset(folder / name, {"train": 20, "test": 10})
        clips = pd.read_csv(folder / name / "clips.csv")
        number = clips["path"].factorize()[0]
        told: dict[str, Any] = {"record_label": np.array(RECORDS)[number % len(RECORDS)]}
        if name == "infirmary":
            told = {"patient": [f"p{place:02d}" for place in number // 2]}
            late = (clips["subset"] == "train") & (
                number == 0
            )  # a recording of a training patient, in no split of train
            told["subset"] = clips["subset"].mask(late, "more")
        clips.assign(**told).to_csv(folder / name / "clips.csv", index=False)
    return folder


def run_on(root: Path, out: Path, train: str, task: str, **changes: Any) -> Run:
    return run_tiny(root, out, train=train, test=train, data__task=task, optim__epochs=1, **changes)


def test_whole_recordings_are_judged_by_their_labels(root: Path, tmp_path: Path) -> None:
    run = run_on(root, tmp_path, "own", "sprsound-record-5")
    rows = run.predictions("own").query("part == 'test' and selection == 'val'")
    assert rows["clip_id"].str.endswith(":whole").all()
    assert rows["label"].value_counts().to_dict() == dict.fromkeys(range(5), 2)
    assert rows["length_s"].to_numpy() == pytest.approx(8 * CLIP_S)
    figures = run.figures("own", "val")["argmax"]
    assert "sprsound_score" in figures
    board = leaderboard([run], "own", "val")
    assert board.table["sprsound_score_mean"].iloc[0] == figures["sprsound_score"]
    assert list(board.effective_patients) == ["Normal", "CAS", "DAS", "CAS+DAS", "Poor Quality"]


def test_patients_are_judged_by_all_of_their_recordings(root: Path, tmp_path: Path) -> None:
    run = run_on(root, tmp_path, "infirmary", "illness")
    rows = run.predictions("infirmary").query("selection == 'val'")
    tested = rows[rows["subset"] == "test"].set_index("clip_id")
    assert sorted(tested.index) == [f"p{n}" for n in range(10, 15)]
    assert {name: int(name[1:]) % 2 for name in tested.index} == tested["label"].to_dict()
    assert (tested["length_s"] == 2 * 8 * CLIP_S).all()
    assert run.figures("infirmary", "val")["clips"] == run.figures("infirmary", "val")["patients"] == 5
    logits = tested[list(run.task.logit_columns)].to_numpy(np.float64)
    assert (scipy.special.logsumexp(logits, axis=1) <= 1e-9).all()  # a mean of log-probabilities is of no more than 1
    validated = rows[rows["part"] == "validation"]
    assert set(validated["clip_id"]) == set(run.data.validation_patients)
    assert run.epochs["val_score"].iloc[-1] == pytest.approx(run.selection["val"].score)


@pytest.mark.parametrize("select", ["cv-refit", "last"])
def test_folds_and_last_epochs_judge_patients_too(root: Path, tmp_path: Path, select: str) -> None:
    changes = {} if select == "cv-refit" else {"validation__fraction": 0.4}
    split = "infirmary" if select == "cv-refit" else "infirmary-cv2"
    run = run_on(root, tmp_path, split, "illness", select=select, **changes)
    rows = run.predictions("infirmary").query("part == 'test'")
    assert rows["clip_id"].is_unique
    assert (rows["clip_id"] == rows["patient"]).all()


def test_a_patient_on_both_sides_is_refused(root: Path, tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match="'infirmary-shared' tests patients whom 'infirmary-shared' trains on \\(p00\\)"
    ):
        run_on(root, tmp_path, "infirmary-shared", "illness")
    run_on(root, tmp_path, "infirmary-shared", "icbhi-4")  # of clips the split is the user's own choice
