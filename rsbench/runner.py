"""One run, from a spec to a run record: the only place where data, training and results meet."""

from __future__ import annotations

import contextlib
import os
import platform
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from .backbone import create_backbone
from .data.identity import mismatched
from .data.sources import Roots
from .data.waveforms import ClipGatherer
from .display import Display, duration
from .errors import DataError, ResultsError, RsbenchError, RunFailed, SpecError
from .evaluation.scoring import score_run, without_nan
from .judging import evaluate, predict_chosen
from .loss import create_loss
from .plugins import discover, load
from .preparation import DatasetClips, Experiment, prepare_experiment
from .results.environment import environment
from .results.store import RunFolder, write_bytes, write_csv, write_parquet
from .seeds import derive
from .spec import RunSpec, resolve
from .training.checkpoint import Checkpoints, Progress
from .training.loop import train
from .training.predict import ClipSet, Model
from .weights import WeightsRecord, load_weights

RESIDENT_SHARE = 0.5  # of the device's free memory that waveforms may take before they are streamed
DEFAULT_THREADS = torch.get_num_threads()  # before any run changes it: the cores this process may use
SLOW_S = 180.0  # a run that takes longer than this says how to make it smaller


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


@dataclass(frozen=True)
class Place:
    """Where a run happens and what it may use; none of it decides the result."""

    roots: Roots
    out: Path
    device: torch.device
    threads: int
    partial: bool
    display: Display


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
    place = make_place(root, out, device=device, threads=threads, partial=partial, quiet=quiet)
    spec = make_spec(settings, place, plugins)
    return run_experiment(prepare_experiment(spec, place.roots, partial=partial, display=place.display), place)


def make_place(
    root: str | Path | Sequence[str | Path],
    out: str | Path,
    *,
    device: str = "auto",
    threads: int | None = None,
    partial: bool = False,
    quiet: bool = False,
) -> Place:
    """Check the device and set the threads. Raises SpecError where a GPU was asked for and there is none."""
    given = [root] if isinstance(root, str | Path) else list(root)
    roots = Roots.parse([str(folder) for folder in given], os.environ)
    threads = threads or DEFAULT_THREADS
    torch.set_num_threads(threads)
    return Place(roots, Path(out), _device(device), threads, partial, Display(quiet=quiet))


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise SpecError(f"--device {name}: there is no such kind of device. Known: auto, cpu, cuda, cuda:N.") from None
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise SpecError(
            f"--device {name}: torch {torch.__version__} sees {torch.cuda.device_count()} GPUs here. "
            "Use --device cpu, or check the driver with nvidia-smi."
        )
    return device


def make_spec(settings: Mapping[str, Any], place: Place, plugins: Sequence[str] = ()) -> RunSpec:
    """The resolved spec; half precision by default where the device is good at it."""
    discover()
    for plugin in plugins:
        load(plugin)
    halves = place.device.type == "cuda" and torch.cuda.is_bf16_supported()
    return resolve({"precision": "bf16" if halves else "fp32", **settings}, place.roots.own_datasets())


def run_experiment(experiment: Experiment, place: Place) -> RunRecord:
    """Do what is left to do of a prepared run, whatever state its folder is in."""
    folder = RunFolder(place.out / "runs" / experiment.run_id)
    with folder.locked():
        checkpoints = Checkpoints(folder.path / "checkpoints")
        done = folder.status()["state"] == "done"
        if done or checkpoints.begun():
            _same_audio(folder, experiment)
        if done:
            place.display.say(f"already done: {folder.path}")
            return RunRecord.read(folder)
        with _recorded(folder):
            _execute(experiment, place, folder, checkpoints)
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
    (folder.path / "error.txt").unlink(missing_ok=True)  # of an earlier try
    try:
        yield
    except KeyboardInterrupt:
        folder.set_status("interrupted")
        raise
    except BaseException as error:
        # On a full disk even this cannot be written; the error itself is what the user must see.
        with contextlib.suppress(ResultsError):
            write_bytes(folder.path / "error.txt", traceback.format_exc().encode())
            folder.set_status("failed", message=f"{type(error).__name__}: {error}")
        if isinstance(error, RsbenchError) or not isinstance(error, Exception):
            raise
        raise RunFailed(
            f"The run failed: {type(error).__name__}: {error}. Its traceback is in {folder.path / 'error.txt'}."
        ) from error
    folder.set_status("done")


def _execute(experiment: Experiment, place: Place, folder: RunFolder, checkpoints: Checkpoints) -> None:
    spec, device, display = experiment.spec, place.device, place.display
    started = time.monotonic()
    model, weights = build_model(experiment)
    model.to(device)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    _write_description(experiment, place, folder, weights)
    clips = {name: clip_set(dataset, experiment, device) for name, dataset in experiment.datasets.items()}
    _announce_cost(experiment, place, model, clips)

    fit = torch.as_tensor(experiment.fit.rows("fit"), device=device)
    steps = -(-len(fit) // spec.optim.batch_size)
    resumed = checkpoints.load()
    done = resumed[0].epochs_done if resumed else 0
    if done:
        display.say(f"going on after epoch {done} of {spec.optim.epochs}")

    def on_epoch(progress: Progress) -> None:
        write_csv(folder.path / "epochs.csv", pd.DataFrame(progress.epochs))
        folder.set_status("running", epoch=progress.epochs_done, epochs=spec.optim.epochs)

    with display.track("training", steps * spec.optim.epochs, steps * done) as advance:
        progress = train(
            model,
            clips[experiment.train.dataset],
            fit,
            spec,
            checkpoints,
            evaluate=lambda kept: evaluate(kept, clips, experiment, device),
            on_step=lambda epoch, step, loss: advance(1, f"epoch {epoch + 1}/{spec.optim.epochs}  loss {loss:.3f}"),
            on_epoch=on_epoch,
        )
    predictions = predict_chosen(model, clips, experiment, checkpoints, progress, display)
    for name, frame in predictions.items():
        write_parquet(folder.path / "predictions" / f"{name}.parquet", frame)
    metrics = score_run(predictions, experiment.tests, spec.select, experiment.train.dataset)
    chosen = {name: {"epoch": kept.epoch, "score": kept.score} for name, kept in progress.kept.items()}
    folder.write_json("metrics.json", metrics)
    folder.write_json("selection.json", without_nan(chosen))
    folder.write_json("cost.json", _cost(progress, len(fit), device, time.monotonic() - started))


def build_model(experiment: Experiment) -> tuple[Model, WeightsRecord]:
    """Front end, backbone and loss; initial weights follow from the seed alone, so they are paired across losses."""
    spec, frontend = experiment.spec, experiment.frontend
    frames = frontend.frames(round(spec.data.clip_s * frontend.rate))
    torch.manual_seed(derive(spec.seed, "init", spec.backbone.name))
    backbone = create_backbone(spec.backbone.name, frontend.n_mels, frames, **spec.backbone.params)
    weights = load_weights(backbone, spec.backbone.weights)
    torch.manual_seed(derive(spec.seed, "init", "classifier"))
    loss = create_loss(spec.loss.name, backbone.embedding_dim, experiment.class_counts, **spec.loss.params)
    model = Model(frontend, backbone, loss)
    # A layout in memory, not a change of the model: depthwise convolutions are many times faster so on a CPU.
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stubs lack it
    return model, weights


def clip_set(dataset: DatasetClips, experiment: Experiment, device: torch.device) -> ClipSet:
    """One data set's clips on the device; the waveforms too, where they fit."""
    samples = dataset.waveforms.samples
    resident = device.type == "cpu" or samples.nbytes < RESIDENT_SHARE * torch.cuda.mem_get_info(device)[0]
    frontend, clips = experiment.frontend, dataset.clips
    gatherer = ClipGatherer(
        dataset.waveforms,
        clips,
        n_samples=round(experiment.spec.data.clip_s * frontend.rate),
        edge_fade=frontend.edge_fade,
        device=device,
        resident=resident,
    )
    columns = (
        clips["class_index"].to_numpy(np.int64),
        clips["quality"].to_numpy(np.float32),
        pd.factorize(clips["patient"], sort=True)[0],
        pd.factorize(clips["device"], sort=True)[0],
    )
    return ClipSet(gatherer.gather, *(torch.tensor(column, device=device) for column in columns))


def _write_description(experiment: Experiment, place: Place, folder: RunFolder, weights: WeightsRecord) -> None:
    name = torch.cuda.get_device_name(place.device) if place.device.type == "cuda" else platform.processor()
    now = environment(str(place.device), name, place.threads)
    if (folder.path / "env.json").is_file():
        _note_changes(folder.read_json("env.json"), now, place.display)
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


def _announce_cost(experiment: Experiment, place: Place, model: Model, clips: Mapping[str, ClipSet]) -> None:
    """On a CPU, say before a long training how long it will take, and what would take less."""
    if place.device.type != "cpu":
        return
    seconds = estimate_seconds(experiment, model, clips[experiment.train.dataset])
    text = f"about {duration(seconds)} on this machine"
    if seconds > SLOW_S:
        smaller = f"--set {model.backbone.smaller}" if model.backbone.smaller else "fewer --epochs"
        text += f"; faster: {smaller}, or a GPU"
    place.display.say(text)


def estimate_seconds(experiment: Experiment, model: Model, clips: ClipSet) -> float:
    """The time training and prediction will take, from one forward and backward pass over a few clips.

    Nothing is left behind: the passes run in eval mode and their gradients are dropped.
    """
    rows = torch.as_tensor(experiment.fit.rows("fit")[:4], device=clips.labels.device)
    model.eval()
    seconds = 0.0
    for _ in range(2):  # the first pass pays for memory and for kernels that are made for these shapes
        started = time.perf_counter()
        model.loss.logits(model.backbone(model.frontend(clips.gather(rows)))).sum().backward()
        seconds = (time.perf_counter() - started) / len(rows)
    model.zero_grad(set_to_none=True)
    model.train()
    fitted = len(experiment.fit.rows("fit")) * experiment.spec.optim.epochs
    validated = len(experiment.fit.rows("validation")) * experiment.spec.optim.epochs
    predicted = sum(len(dataset.rows("validation", "test")) for dataset in experiment.datasets.values())
    forward_share = 1 / 3  # of a training step's arithmetic; the backward pass is the other two
    return seconds * (fitted + forward_share * (validated + predicted * len(experiment.spec.select)))


def _cost(progress: Progress, fitted: int, device: torch.device, seconds: float) -> dict[str, float | None]:
    """What the run took; clips per second are of whole epochs, validation included."""
    training = sum(row["seconds"] for row in progress.epochs)
    peak = torch.cuda.max_memory_allocated(device) / 2**20 if device.type == "cuda" else None
    return {
        "seconds": round(seconds, 1),
        "training_seconds": round(training, 1),
        "training_clips_per_s": round(fitted * len(progress.epochs) / training, 1),
        "peak_gpu_mib": peak,
    }
