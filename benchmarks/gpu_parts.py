"""The parts of benchmarks/gpu.py: what is asked of a card. Each gives its rows as it finds them."""

from __future__ import annotations

import copy
import dataclasses
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import rsbench  # first: it says how threads wait, which torch reads when it is loaded

# isort: split
import torch
from frozen_grid import Grid
from frozen_grid import measure as measure_grid
from measured import device_seconds, in_turn
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode
from training import BARE, COUNTS, WHOLE, clips_of_noise, make_steps

from rsbench.conformance.checks import Case
from rsbench.conformance.steps import DOMAINS, LABELS, backward, build, training_step
from rsbench.core.loss import Batch, Loss, list_losses
from rsbench.core.spec import RunSpec
from rsbench.experiment.build import feature_size, untrained_model
from rsbench.experiment.context import make_context, make_spec
from rsbench.training.checkpoint import Checkpoints, TrainingState
from rsbench.training.predict import Model, autocast, exact

# How far a GPU's figures may lie from the CPU's, as a share of the largest of them.
TOLERANCES = {"features": 1e-3, "fp32": 1e-3, "bf16": 0.1, "loss": 1e-4}
SHARE_OF_CEILING = 0.5
RUNS_AT_ONCE = 5
GPU = Path(__file__).with_name("gpu.py")
GIB, TERA = 2**30, 1e12


@dataclass(frozen=True)
class Row:
    """One figure. wanted: what it should be, "" where nothing is promised. ok: whether it is; None likewise."""

    what: str
    value: float | None
    unit: str
    wanted: str = ""
    ok: bool | None = None
    note: str = ""


@dataclass(frozen=True)
class Scale:
    """A device and how much is asked of it.

    kinds: a backbone of each kind, with its options. large: those whose speed is measured, and clips in their batches.
    losses: those that are compared with the CPU's. small: the backbone on which they are tried, and of runs at once.
    matrix: rows of the square ones whose product is the ceiling. repeats: steps to one figure.
    """

    device: torch.device
    kinds: Mapping[str, Mapping[str, str]]
    large: Mapping[str, int]
    losses: tuple[str, ...]
    grid: Grid
    small: str = "cnn6"
    clip_s: float = 8.0
    clips: int = 4
    matrix: int = 8192
    repeats: int = 10
    rounds: int = 3
    seconds: float = 8.0

    def spec(self, backbone: str, precision: str, loss: str = "ce", **options: str) -> RunSpec:
        context = make_context((), ".", device=str(self.device), quiet=True)
        settings = {"loss": loss, "backbone": backbone, "data.clip_s": self.clip_s, "precision": precision}
        return make_spec(settings | options, context)


def full(device: str) -> Scale:
    kinds = {name: {} for name in ("cnn6", "cnn14", "mn04", "mn40", "ast", "resnet", "timm:convnext_atto")}
    grid = Grid(device=device)
    return Scale(torch.device(device), kinds, {"ast": 32, "cnn14": 64, "mn40": 32}, tuple(list_losses()), grid)


def tiny(device: str, grid: Grid) -> Scale:
    """Sizes that mean nothing, to see that all parts run."""
    return Scale(
        torch.device(device),
        kinds={"cnn6": {}, "mn04": {}, "ast": {"backbone.size": "tiny"}},
        large={"mn04": 2},
        losses=("ce", "elasticface", "patchmix_cl"),
        grid=grid,
        small="mn04",
        clip_s=1.0,
        clips=2,
        matrix=64,
        repeats=1,
        rounds=1,
        seconds=0.1,
    )


def card(scale: Scale) -> Iterator[Row]:
    """What is measured."""
    named = {"rsbench": rsbench.__version__, "torch": torch.__version__}
    if scale.device.type == "cuda":
        about = torch.cuda.get_device_properties(scale.device)
        named |= {"card": about.name, "CUDA": str(torch.version.cuda), "cuDNN": str(torch.backends.cudnn.version())}
        yield Row("memory of the card", about.total_memory / GIB, "GiB")
    yield Row("; ".join(f"{name} {value}" for name, value in named.items()), None, "")


def close(what: str, found: Tensor, wanted: Tensor, kind: str) -> Row:
    """How far two results lie apart, as a share of the largest of those that are wanted."""
    apart = ((found.double().cpu() - wanted.double().cpu()).abs().max() / wanted.double().abs().max()).item()
    return Row(what, apart, "share of the largest", f"<= {TOLERANCES[kind]:g}", apart <= TOLERANCES[kind])


@torch.no_grad()
def features_and_logits(scale: Scale) -> Iterator[Row]:
    """Gathered clips, features, embeddings and logits, beside the CPU's in full precision."""
    cpu = torch.device("cpu")
    for name, options in scale.kinds.items():
        spec = scale.spec(name, "fp32", **options)
        rows = torch.arange(scale.clips)
        clips = clips_of_noise(spec, scale.clips, cpu)
        features = clips.features(rows)
        there = clips_of_noise(spec, scale.clips, scale.device).features(rows.to(scale.device))
        yield close(f"{name}: features", there, features, "features")
        model = untrained_model(spec, *feature_size(clips.frontend, spec.data.clip_s), COUNTS, DOMAINS).eval()
        wanted = outputs(model, features, "fp32")
        moved = copy.deepcopy(model).to(scale.device)
        for precision in ("fp32", "bf16"):
            found = outputs(moved, features.to(scale.device), precision)
            for what, ours, theirs in zip(("embeddings", "logits"), found, wanted, strict=True):
                yield close(f"{name}: {what}, {precision}", ours, theirs, precision)


def outputs(model: Model, features: Tensor, precision: str) -> tuple[Tensor, Tensor]:
    """Embeddings and logits of a batch."""
    with exact(features.device), autocast(features.device, precision):
        embeddings = model.backbone(features)
    return embeddings, model.loss.logits(embeddings.float())


def losses(scale: Scale) -> Iterator[Row]:
    """Value and gradients of every loss beside the CPU's. One that draws on the device is only asked for numbers."""
    for name in scale.losses:
        loss = build(Case("loss", name))
        embeddings, batch = training_step(loss, LABELS)
        wanted = flat_gradients(loss, embeddings, batch)
        loss = build(Case("loss", name)).to(scale.device)
        found = flat_gradients(loss, embeddings.to(scale.device), moved(batch, scale.device))
        if loss.stochastic:
            finite = all(bool(part.isfinite().all()) for part in found)
            yield Row(f"{name}: draws at random", None, "", "numbers", finite)
            continue
        for what, ours, theirs in zip(("value", "gradients"), found, wanted, strict=True):
            yield close(f"{name}: {what}", ours, theirs, "loss")


def flat_gradients(loss: Loss, embeddings: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
    """A loss's value, and its gradients for embeddings and parameters in one row."""
    value, of_embeddings, of_parameters = backward(loss, embeddings, batch)
    return value, torch.cat([part.flatten() for part in (of_embeddings, *of_parameters.values())])


def moved(batch: Batch, device: torch.device) -> Batch:
    fields = {field.name: getattr(batch, field.name) for field in dataclasses.fields(batch)}
    tensors = {name: value.to(device) for name, value in fields.items() if isinstance(value, Tensor)}
    return dataclasses.replace(batch, **tensors)


def repeated(step: Callable[[], object], count: int) -> None:
    for _ in range(count):
        step()


def ceiling(scale: Scale) -> float:
    """bf16 operations a second of a large matrix product: the most that the card was seen to do."""
    left, right = (torch.randn(scale.matrix, scale.matrix, device=scale.device, dtype=torch.bfloat16) for _ in range(2))
    work = partial(repeated, lambda: left @ right, 10)
    work()
    seconds = min(device_seconds(work, scale.device) for _ in range(5))
    return 10 * 2 * scale.matrix**3 / seconds


def speed(backbone: str, precision: str, scale: Scale) -> Iterator[Row]:
    """Clips a second and memory of a whole step, beside the bare model's; in bf16, as a share of the ceiling."""
    batch_size, name = scale.large[backbone], f"{backbone}, {precision}"
    steps = make_steps(scale.spec(backbone, precision), batch_size, scale.device)
    repeated(steps.whole, 2)
    if scale.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(scale.device)
        steps.whole()
        yield Row(f"{name}: peak memory, batch {batch_size}", torch.cuda.max_memory_allocated() / GIB, "GiB")
    pair = {WHOLE: steps.whole, BARE: steps.bare}
    contenders = {what: partial(repeated, step, scale.repeats) for what, step in pair.items()}
    times = in_turn(lambda work: device_seconds(work, scale.device), contenders, scale.rounds)
    whole, bare = (statistics.median(found) / scale.repeats for found in times.values())
    yield Row(f"{name}: whole step", batch_size / whole, "clips/s", note=f"batch {batch_size} of {scale.clip_s:g} s")
    yield Row(f"{name}: whole step beside the bare one", whole / bare, "ratio", "<= 1.03", whole / bare <= 1.03)
    if precision == "bf16":
        counter = FlopCounterMode(display=False)
        with counter:
            steps.bare()
        top, done = ceiling(scale), counter.get_total_flops()
        yield Row("ceiling: a large bf16 matrix product", top / TERA, "TFLOP/s")
        share, goal = done / whole / top, SHARE_OF_CEILING if backbone == "ast" else None
        note = f"{done / batch_size / 1e9:.0f} GFLOP a clip"
        wanted, ok = (f">= {goal:g}", share >= goal) if goal else ("", None)
        yield Row(f"{name}: share of the ceiling", share, "of the ceiling", wanted, ok, note)


def waits(scale: Scale) -> Iterator[Row]:
    """How often a step makes the host wait for the card: of each large backbone, and of every loss on a small one."""
    if scale.device.type == "cuda":
        seen = synchronising(lambda: torch.ones(1, device=scale.device).item(), 1)
        yield Row("a planted wait is seen", seen, "waits", "1", seen == 1)
    combinations = [(backbone, "ce") for backbone in scale.large] + [(scale.small, name) for name in scale.losses]
    for backbone, loss in combinations:
        steps = make_steps(scale.spec(backbone, "bf16", loss), scale.clips, scale.device)
        repeated(steps.whole, 2)
        found = synchronising(steps.whole, scale.repeats)
        yield Row(f"{loss} on {backbone}: waits in a step", found, "waits", "0", found == 0)


def synchronising(step: Callable[[], object], count: int) -> float:
    """Calls within a step for which the host waits; 0 where there is no card."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        if torch.cuda.is_available():
            torch.cuda.set_sync_debug_mode("warn")
        repeated(step, count)
        if torch.cuda.is_available():
            torch.cuda.set_sync_debug_mode("default")
    return sum("called a synchronizing" in str(warning.message) for warning in told) / count


def checkpoint(scale: Scale) -> Iterator[Row]:
    """What an epoch's state costs: the copy, for which training waits, and the writing, for which it does not."""
    backbone = next(iter(scale.large))
    steps = make_steps(scale.spec(backbone, "fp32"), scale.clips, scale.device)
    steps.whole()
    with tempfile.TemporaryDirectory() as folder:
        checkpoints = Checkpoints(Path(folder), every_s=3600)
        for number in range(2):  # the first pays for pinned memory
            started = time.perf_counter()
            state = TrainingState(number + 1)
            state.kept["val"] = checkpoints.keep("val", steps.model, 0.0, number + 1)
            tensors = {"model": steps.model.state_dict(), "optimiser": steps.optimiser.state_dict()}
            checkpoints.save(state, tensors)
            copied = time.perf_counter() - started
            yield Row(f"{backbone}: copying a state, {('first', 'then')[number]}", copied, "s")
        started = time.perf_counter()
        checkpoints.flush()
        yield Row(f"{backbone}: writing it", time.perf_counter() - started, "s", note="in the background")
        size = sum(path.stat().st_size for path in Path(folder).iterdir())
        yield Row(f"{backbone}: on disk", size / GIB, "GiB")


def frozen_grid(scale: Scale) -> Iterator[Row]:
    """The grid on embeddings beside bare loops on the same card."""
    ((by_processor, by_clock),) = measure_grid(scale.grid, 1)
    runs = f"{len(scale.grid.losses) * scale.grid.seeds} runs of {scale.grid.epochs} epochs"
    yield Row(f"frozen grid, {runs}, beside bare loops", by_clock, "ratio of time", "<= 1.1", by_clock <= 1.1)
    yield Row(f"frozen grid, {runs}, beside bare loops", by_processor, "ratio of CPU time")


def at_once(scale: Scale) -> Iterator[Row]:
    """Five trainings of a small backbone on one card: beside a lone one, and with NVIDIA's MPS."""
    alone = clips_of_processes(1, scale, {})
    yield Row(f"one run of {scale.small}", alone, "clips/s")
    together = clips_of_processes(RUNS_AT_ONCE, scale, {})
    yield Row(f"{RUNS_AT_ONCE} at once, beside one", together / alone, "ratio")
    control = shutil.which("nvidia-cuda-mps-control")
    if control is None:
        yield Row("five at once by MPS", None, "", note="nvidia-cuda-mps-control is not there")
        return
    with tempfile.TemporaryDirectory() as folder:
        mps = {"CUDA_MPS_PIPE_DIRECTORY": f"{folder}/pipe", "CUDA_MPS_LOG_DIRECTORY": f"{folder}/log"}
        for path in mps.values():
            Path(path).mkdir()
        subprocess.run([control, "-d"], env=os.environ | mps, check=True, timeout=20)
        try:
            shared = clips_of_processes(RUNS_AT_ONCE, scale, mps)
        finally:
            subprocess.run([control], env=os.environ | mps, input="quit\n", text=True, check=False, timeout=20)
    yield Row(f"{RUNS_AT_ONCE} at once by MPS, beside one", shared / alone, "ratio")


def clips_of_processes(count: int, scale: Scale, more: Mapping[str, str]) -> float:
    """Clips a second that so many processes train together; they begin when all of them are ready."""
    command = [sys.executable, str(GPU), "--device", str(scale.device), "--train-for", str(scale.seconds)]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    workers = [subprocess.Popen(command, env=os.environ | more, **pipes) for _ in range(count)]
    try:
        for worker in workers:
            if worker.stdout.readline().strip() != "ready":
                raise SystemExit("a worker did not begin; what it said stands above")
        for worker in workers:
            worker.stdin.write("go\n")
            worker.stdin.flush()
        return sum(float(worker.communicate()[0]) for worker in workers)
    finally:
        for worker in workers:
            worker.kill()


def train_for(seconds: float, scale: Scale) -> float:
    """Clips a second of a training of the small backbone that lasts so long."""
    clips = 32 if scale.device.type == "cuda" else 2
    steps = make_steps(scale.spec(scale.small, "fp32"), clips, scale.device)
    repeated(steps.whole, 3)
    device_seconds(lambda: None, scale.device)
    print("ready", flush=True)
    sys.stdin.readline()
    done, started = 0, time.perf_counter()
    while time.perf_counter() - started < seconds:
        device_seconds(partial(repeated, steps.whole, 5), scale.device)
        done += 5 * clips
    return done / (time.perf_counter() - started)


Part = Callable[[Scale], Iterator[Row]]


def parts(scale: Scale) -> dict[str, Part]:
    """By name; what matters most comes first."""
    speeds: dict[str, Part] = {
        f"{name}-{precision}": partial(speed, name, precision) for precision in ("bf16", "fp32") for name in scale.large
    }
    right: dict[str, Part] = {"card": card, "logits": features_and_logits, "losses": losses, "waits": waits}
    others: dict[str, Part] = {"checkpoint": checkpoint, "frozen-grid": frozen_grid, "at-once": at_once}
    return right | speeds | others
