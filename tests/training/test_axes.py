"""What is kept of embeddings with a run: places on axes that no test clip had a say in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from rsbench.experiment.predict import MOST_AXES, on_principal_axes


def test_the_axes_are_those_of_the_training_patients() -> None:
    generator = np.random.default_rng(0)
    fitted_on = generator.normal(size=(50, 6)).astype(np.float32) * [9, 5, 3, 1, 0.5, 0.1]
    test = generator.normal(size=(20, 6)).astype(np.float32) + 40
    found = on_principal_axes({"far": test.astype(np.float32)}, fitted_on.astype(np.float32))["far"]
    values, vectors = np.linalg.eigh(np.cov(fitted_on.T))
    expected = (test - fitted_on.mean(axis=0)) @ vectors[:, ::-1] / np.sqrt(values[-1])
    np.testing.assert_allclose(np.abs(found), np.abs(expected), rtol=2e-3, atol=2e-3)  # an axis may point either way
    assert found.dtype == np.float16


def test_no_more_axes_than_are_wanted_and_none_from_a_single_clip() -> None:
    many = np.random.default_rng(1).normal(size=(80, 64)).astype(np.float32)
    assert on_principal_axes({"far": many[:5]}, many)["far"].shape == (5, MOST_AXES)
    assert on_principal_axes({"far": many}, many[:1]) == {}
    constant = on_principal_axes({"far": many[:3]}, np.ones((4, 64), dtype=np.float32))["far"]
    assert constant.shape == (3, 4)


def test_a_run_keeps_them_in_the_order_of_its_predictions(tiny_run: Callable[..., Any]) -> None:
    record = tiny_run(epochs=2, select="val,last")
    for name in ("tiny", "far"):
        frame = pd.read_parquet(record.path / "predictions" / f"{name}.parquet")
        places = np.load(record.path / "embeddings" / f"{name}.npy")
        assert len(places) == (frame["selection"] == "val").sum()
        assert np.isfinite(places).all()


def test_without_validation_patients_there_are_none(tiny_run: Callable[..., Any]) -> None:
    record = tiny_run(epochs=1, select="last", validation__fraction=0.0)
    assert not (record.path / "embeddings").exists()
