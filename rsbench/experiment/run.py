"""One run, from a spec to a run record: the only place where data, training and results meet."""

from __future__ import annotations

import contextlib
import platform
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from ..core.display import Display
from ..core.errors import DataError, InstallationError, RsbenchError, RunFailed, StorageError
from ..core.files import write_array, write_bytes, write_csv, write_parquet
from ..core.installation import libraries_blamed
from ..core.weights import WeightsRecord
from ..data.identity import mismatched
from ..evaluation.scoring import score_run, without_nan
from ..evaluation.selection import rule
from ..results.environment import environment
from ..results.store import ORIGIN, RunFolder
from ..training.checkpoint import Checkpoints, TrainingState
from ..training.loop import TrainingSchedule
from .build import build_model, clip_set
from .context import RunContext, make_context, make_spec
from .cross_validation import cross_validate
from .fit import announce_cost, fit
from .predict import evaluate, predict_chosen
from .prepare import Experiment, prepare_experiment

OnEpoch = Callable[[Mapping[str, Any]], None]


@dataclass(frozen=True)
class RunRecord:
    """A finished run: where it lies, what it was, what came out (rule → split → figures)."""

    path: Path
    spec: dict[str, Any]
    data: dict[str, Any]
    metrics: dict[str, Any]

    @property
    def run_id(self) -> str:
        return self.path.name

    @classmethod
    def read(cls, folder: RunFolder) -> RunRecord:
        """Raises ResultsError when a file of the record is damaged."""
        return cls(folder.path, *(folder.read_json(f"{name}.json") for name in ("spec", "data", "metrics")))


def run(
    settings: Mapping[str, Any],
    *,
    plugins: Sequence[str] = (),
    root: str | Path | Sequence[str | Path] = (),
    partial: bool = False,
    out: str | Path = "results",
    device: str = "auto",
    threads: int | None = None,
    quiet: bool = False,
) -> RunRecord:
    """Train and judge one loss on one backbone with one seed; return at once when that run is already done.

    Args:
        settings: the spec's keys, nested or dotted, e.g. `{"loss": "qlung", "backbone": "cnn6", "optim.epochs": 3}`.
        plugins: files or modules that register losses, backbones, data sets or indices.
        root: folders of recordings (default: the environment's RSBENCH_DATA); "icbhi=DIR" names one data set's.
        partial: accept an incomplete data set; the row says so.
        out: where `runs/<run id>/` is kept.
        device: "auto", "cpu", "cuda" or "cuda:N".
        threads: CPU threads (default: all cores); recorded, since sums depend on it in the last bits.
        quiet: say nothing on standard error.

    Raises RsbenchError with one clear message; RunFailed when training itself failed, which is recorded.
    """
    context = make_context(root, out, device=device, threads=threads, partial=partial, quiet=quiet)
    spec = make_spec(settings, context, plugins)
    return run_experiment(prepare_experiment(spec, context.data_cache()), context)


def run_experiment(experiment: Experiment, context: RunContext, on_epoch: OnEpoch = lambda row: None) -> RunRecord:
    """Do what is left to do of a prepared run, whatever state its folder is in.

    `on_epoch` is called with every row of epochs.csv as it is written.
    """
    folder = RunFolder(context.out / "runs" / experiment.run_id)
    with folder.locked():
        checkpoints = Checkpoints(folder.path / "checkpoints")
        done = folder.status()["state"] == "done"
        if done or checkpoints.begun():
            _same_audio(folder, experiment)
        if done:
            context.display.say(f"already done: {folder.path}")
            return RunRecord.read(folder)
        with _recorded(folder):
            _execute(experiment, context, folder, checkpoints, on_epoch)
        checkpoints.finish()
    return RunRecord.read(folder)


def _same_audio(folder: RunFolder, experiment: Experiment) -> None:
    """Same labels and other sound is another run: it must neither pass for this one nor be gone on with."""
    for name, dataset in experiment.datasets.items():
        differing = mismatched(folder.sketch(name), dataset.waveforms.sketch)
        if differing:
            raise DataError(
                f"{folder.path} was made with other recordings: {differing[0]} and {len(differing) - 1} more of "
                f"'{name}' sound different now. Restore them, or keep the new runs apart with --out DIR."
            )


@contextlib.contextmanager
def _recorded(folder: RunFolder) -> Iterator[None]:
    """Leave a status behind whatever happens: done, interrupted or failed with the reason."""
    folder.set_status("running")
    for name in ("error.txt", ORIGIN):  # of an earlier try, here or elsewhere
        (folder.path / name).unlink(missing_ok=True)
    try:
        with libraries_blamed():
            yield
    except (KeyboardInterrupt, StorageError, InstallationError):
        # On a full disk even this cannot be written; the error itself is what the user must see.
        with contextlib.suppress(StorageError):
            folder.set_status("interrupted")
        raise
    except BaseException as error:
        with contextlib.suppress(StorageError):
            write_bytes(folder.path / "error.txt", traceback.format_exc().encode())
            folder.set_status("failed", message=f"{type(error).__name__}: {error}")
        if isinstance(error, RsbenchError) or not isinstance(error, Exception):
            raise
        raise RunFailed(
            f"The run failed: {type(error).__name__}: {error}. Its traceback is in {folder.path / 'error.txt'}."
        ) from error
    folder.set_status("done")


def _execute(
    experiment: Experiment, context: RunContext, folder: RunFolder, checkpoints: Checkpoints, on_epoch: OnEpoch
) -> None:
    spec, device = experiment.spec, context.device
    started = time.monotonic()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    model, weights = build_model(experiment)
    model.to(device)
    _write_description(experiment, context, folder, weights)
    clips = {name: clip_set(dataset, experiment, device) for name, dataset in experiment.datasets.items()}
    announce_cost(experiment, context, model, clips)

    last = spec.optim.epochs
    plan, folds = TrainingSchedule(last, {name: last for name in spec.select if rule(name).judged_on is None}), None
    if experiment.folds:
        folds = cross_validate(experiment, context, checkpoints)
        write_csv(folder.path / "folds.csv", folds.table)
        plan = TrainingSchedule(folds.epoch, {folds.selection: folds.epoch})

    def record(progress: TrainingState) -> None:
        write_csv(folder.path / "epochs.csv", pd.DataFrame(progress.epochs))
        folder.set_status("running", epoch=progress.epochs_done, epochs=plan.until)
        on_epoch(progress.epochs[-1])

    progress = fit(
        experiment,
        context,
        model,
        clips[experiment.train.dataset],
        plan,
        checkpoints,
        evaluate=lambda kept, epoch: evaluate(kept, clips, experiment),
        on_epoch=record,
    )
    seen = predict_chosen(model, clips, experiment, checkpoints, progress, context.display)
    predictions = seen.predictions
    chosen = {name: {"epoch": kept.epoch, "score": kept.score} for name, kept in progress.kept.items()}
    if folds:
        name = experiment.train.dataset
        others = [predictions[name]] if name in predictions else []
        predictions[name] = pd.concat([folds.predictions, *others])
        chosen[folds.selection]["score"] = folds.score
    for name, frame in predictions.items():
        write_parquet(folder.path / "predictions" / f"{name}.parquet", frame)
    for name, places in seen.axes.items():
        write_array(folder.path / "embeddings" / f"{name}.npy", places)
    metrics = score_run(predictions, experiment.tests, spec.select, experiment.train.dataset)
    folder.write_json("metrics.json", metrics)
    folder.write_json("selection.json", without_nan(chosen))
    fitted = len(experiment.fit.rows("fit"))
    folder.write_json("cost.json", _cost(progress, fitted, device, time.monotonic() - started))


def _write_description(experiment: Experiment, context: RunContext, folder: RunFolder, weights: WeightsRecord) -> None:
    name = torch.cuda.get_device_name(context.device) if context.device.type == "cuda" else platform.processor()
    now = environment(str(context.device), name, context.threads)
    if (folder.path / "env.json").is_file():
        _note_changes(folder.read_json("env.json"), now, context.display)
    folder.write_json("spec.json", experiment.spec.model_dump(mode="json"))
    folder.write_json("env.json", now)
    folder.write_json("data.json", experiment.data_record() | {"weights": asdict(weights)})
    for dataset_name, dataset in experiment.datasets.items():
        write_parquet(folder.path / "sketch" / f"{dataset_name}.parquet", dataset.waveforms.sketch.reset_index())


def _note_changes(before: Mapping[str, Any], now: Mapping[str, Any], display: Display) -> None:
    """A run that goes on elsewhere, or with other code, is no longer the same to the bit: say so."""
    changed = [f"{key} was {before[key]}, is {now[key]}" for key in now if before.get(key) != now[key]]
    if changed:
        display.say(f"note: begun under other conditions: {'; '.join(changed)}")


def _cost(progress: TrainingState, fitted: int, device: torch.device, seconds: float) -> dict[str, float | None]:
    """What the run took; clips per second are of whole epochs, validation included."""
    training = sum(row["seconds"] for row in progress.epochs)
    peak = torch.cuda.max_memory_allocated(device) / 2**20 if device.type == "cuda" else None
    return {
        "seconds": round(seconds, 1),
        "training_seconds": round(training, 1),
        "training_clips_per_s": round(fitted * len(progress.epochs) / training, 1),
        "peak_gpu_mib": peak,
    }
