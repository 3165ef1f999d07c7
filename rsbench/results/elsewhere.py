"""The record of predictions that another program made: files as those of a run whose training nobody here saw."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

import pandas as pd

from ..core.spec import RunSpec
from ..data.splits import Split
from ..evaluation.scoring import score_run
from ..evaluation.selection import rule
from . import store
from .environment import environment
from .run import Run
from .schema import ChosenEpoch, Cost, DataUsed


def write_record(
    run: Run,
    spec: RunSpec,
    data: DataUsed,
    predictions: Mapping[str, pd.DataFrame],
    judged: Sequence[Split],
    sketches: Mapping[str, pd.DataFrame],
) -> None:
    """Judge predictions and write them, done at the end; the folder is held by the caller.

    Args:
        run: where.
        spec: of one selection rule; see `Run.known_spec`.
        data: what data.json says, `elsewhere` included.
        predictions: by data set, `evaluation.scoring.prediction_columns`.
        judged: the test splits of the spec.
        sketches: by data set, of its sound, a row per recording.
    """
    folder, started = run.folder, time.monotonic()
    folder.set_status("running")
    folder.write_json(store.SPEC, spec.model_dump(mode="json"))
    folder.write_json(store.ENVIRONMENT, environment("cpu", "", 1, {}))
    folder.write_json(store.DATA, data)
    folder.write_csv(store.EPOCHS, pd.DataFrame(columns=["epoch", "train_loss"]))
    for name, frame in predictions.items():
        folder.write_parquet(f"{store.PREDICTIONS}/{name}.parquet", frame)
        folder.write_parquet(f"{store.SKETCH}/{name}.parquet", sketches[name].reset_index())
    folder.write_json(store.METRICS, score_run(predictions, judged, spec.select, data.trained_on(spec), run.task))
    selections = (rule(spec.select[0]).selection(item.name) for item in judged)
    chosen = ChosenEpoch(epoch=0, score=None).document()
    folder.write_json(store.SELECTION, dict.fromkeys(selections, chosen))
    seconds = round(time.monotonic() - started, 1)
    cost = Cost(seconds=seconds, training_seconds=0.0, training_clips_per_s=0.0, peak_gpu_mib=None)
    folder.write_json(store.COST, cost)
    folder.set_status("done")
