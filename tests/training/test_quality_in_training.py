"""What quality does to a run: the margin each clip gets, and the controls that tell whether it matters."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

Run = Callable[..., Any]


def predictions(record: Any, selection: str = "last") -> pd.DataFrame:
    frame = pd.read_parquet(record.path / "predictions" / "tiny.parquet")
    return frame[frame["selection"] == selection].set_index("clip_id").sort_index()


def test_stored_margins_follow_qlungs_formula(tiny_run: Run) -> None:
    record = tiny_run(loss="qlung", epochs=1)
    frame = predictions(record)
    counts = np.array(list(record.data.class_counts.values()))
    imbalance = 0.2 / math.log(4) * -np.log(counts / counts.sum())
    expected = 0.5 * 0.5 * frame["quality"] + 0.5 * imbalance[frame["label"]]
    np.testing.assert_allclose(frame["margin_rad"], expected, rtol=1e-5)
    assert frame["quality"].nunique() > 10


def test_a_loss_without_an_angle_has_no_margin(tiny_run: Run) -> None:
    assert predictions(tiny_run(epochs=1))["margin_rad"].isna().all()


def test_the_controls_take_quality_away(tiny_run: Run) -> None:
    runs = {
        control: predictions(tiny_run(loss="qlung", quality__control=control, epochs=1))
        for control in ("none", "constant", "shuffled", "inverted")
    }
    own = runs["none"]["quality"]
    assert runs["constant"]["quality"].nunique() == 1
    np.testing.assert_allclose(runs["inverted"]["quality"], 1 - own, atol=1e-6)
    assert sorted(runs["shuffled"]["quality"]) != list(runs["shuffled"]["quality"])
    assert not np.allclose(runs["shuffled"]["quality"], own)
    logits = [run["logit_normal"].to_numpy() for run in runs.values()]
    assert all(not np.array_equal(logits[0], other) for other in logits[1:])


def test_the_normaliser_is_stored_and_fitted_on_the_fitting_part_alone(tiny_run: Run) -> None:
    first = tiny_run(loss="qlung", epochs=1).data
    other = tiny_run(loss="qlung", epochs=1, seed=1).data
    assert first.validation_patients != other.validation_patients
    assert first.quality_normaliser.keys() == other.quality_normaliser.keys()
    assert first.quality_normaliser != other.quality_normaliser


@pytest.mark.parametrize(
    "changes",
    [
        {"loss__classifier": "linear", "loss__dfam_lambda": 0},
        {"loss__classifier": "linear", "loss__by_quality": "none", "loss__by_class": "constant"},
        {"loss__classifier": "linear", "loss__by_class": "none"},
        {"loss__classifier": "linear"},
        {},
        {"loss__by_quality": "none", "loss__by_class": "none"},
    ],
)
def test_every_row_of_the_ablation_is_one_configuration(tiny_run: Run, changes: dict[str, Any]) -> None:
    record = tiny_run(loss="qlung", epochs=1, **changes)
    assert np.isfinite(predictions(record)["logit_normal"]).all()


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_trains_and_predicts_in_full(tiny_run: Run, precision: str) -> None:
    frame = predictions(tiny_run(loss="qlung", precision=precision, epochs=2))
    assert frame["logit_normal"].dtype == np.float32
    assert np.isfinite(frame["logit_normal"]).all()
