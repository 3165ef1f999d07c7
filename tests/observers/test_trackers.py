"""Weights & Biases and MLflow, which the tests' own installation does without: they are large."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from tiny import TINY_PLUGIN, tiny_settings

import rsbench
from rsbench import Run


def run_logged(root: Path, out: Path, log: str, **changes: Any) -> Run:
    settings = tiny_settings(optim__epochs=3, **changes)
    return rsbench.run(
        settings, plugins=[TINY_PLUGIN], root=root, results=out, threads=1, device="cpu", quiet=True, log=log
    )


def test_mlflow_keeps_a_run_in_a_folder(tiny_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("mlflow", reason="MLflow is not installed: pip install 'rsbench[mlflow]'")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    from mlflow import MlflowClient

    run = run_logged(tiny_root, tmp_path, "mlflow")
    client = MlflowClient((tmp_path / "logs" / "mlflow").as_uri())
    (kept,) = client.search_runs([client.get_experiment_by_name("rsbench").experiment_id])
    assert (kept.info.run_name, kept.info.status) == (run.run_id, "FINISHED")
    assert kept.data.params["loss.name"] == "ce"
    history = client.get_metric_history(kept.info.run_id, "train_loss")
    assert [(point.step, point.value) for point in history] == list(
        run.epochs[["epoch", "train_loss"]].itertuples(index=False)
    )
    assert kept.data.metrics["val/tiny/argmax/score"] == run.metrics["val"]["tiny"]["argmax"]["score"]


def wandb_records(path: Path) -> Iterator[bytes]:
    """What a .wandb file holds: LevelDB's log, blocks of 32 KiB with pieces of records, after a head of 7 bytes."""
    content, place, record = path.read_bytes(), 7, b""
    while place + 7 <= len(content):
        if place % 2**15 > 2**15 - 7:  # no piece begins so near to the end of a block
            place += 2**15 - place % 2**15
        _, length, kind = struct.unpack_from("<IHB", content, place)
        record += content[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):  # whole, or the last piece
            yield record
            record = b""


def test_wandb_keeps_a_run_offline(tiny_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wandb", reason="Weights & Biases is not installed: pip install 'rsbench[wandb]'")
    monkeypatch.delenv("WANDB_MODE", raising=False)
    from wandb.proto import wandb_internal_pb2

    run = run_logged(tiny_root, tmp_path, "wandb")
    (file,) = (tmp_path / "logs" / "wandb" / run.run_id).glob("wandb/offline-run-*/*.wandb")
    rows = []
    for content in wandb_records(file):
        record = wandb_internal_pb2.Record()
        record.ParseFromString(content)
        if record.WhichOneof("record_type") == "history":
            rows.append({item.key or item.nested_key[0]: item.value_json for item in record.history.item})
    kept = pd.DataFrame(rows).astype(float)
    pd.testing.assert_frame_equal(kept[list(run.epochs)], run.epochs.astype(float))
    assert list(kept["_step"]) == [1, 2, 3]
