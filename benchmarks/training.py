"""What does the loop cost beside the bare model? A whole training step beside the backbone's own step.

    python benchmarks/training.py [--backbone cnn6] [--device cuda] [--batch 32] [--clip-s 2] [--set KEY=VALUE …]

The whole step gathers waveforms, makes features, masks them, and trains backbone and loss, as `rsbench run` does; the
bare step trains the backbone alone on features that are there already. Both are timed in turn, and the ratio is what
the harness adds. On a GPU the peak of its memory is printed too.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable

import torch
from rich.console import Console
from rich.table import Table
from torch.amp.grad_scaler import GradScaler

from rsbench.core.spec import parse_assignment
from rsbench.experiment.build import build_model, clip_set
from rsbench.experiment.context import make_context, make_spec
from rsbench.experiment.prepare import prepare_experiment
from rsbench.training.loop import accumulate_gradients
from rsbench.training.optim import make_optimiser
from rsbench.training.predict import autocast

ROUNDS = 10


def seconds(step: Callable[[], None], device: torch.device) -> float:
    """Wall-clock seconds of one step, the device's work included."""
    start = time.perf_counter()
    step()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--backbone", default="cnn6")
    parser.add_argument("--loss", default="qlung")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--clip-s", type=float, default=2.0)
    parser.add_argument("--set", action="append", default=[], help="KEY=VALUE, any field of the spec")
    options = parser.parse_args()

    with tempfile.TemporaryDirectory() as out:
        context = make_context((), out, device=options.device, quiet=True)
        settings = {"loss": options.loss, "backbone": options.backbone, "data.clip_s": options.clip_s}
        spec = make_spec(settings | dict(map(parse_assignment, options.set)), context)
        experiment = prepare_experiment(spec, context.data_cache())
    model = build_model(experiment)[0].to(context.device)
    clips = clip_set(experiment.train_data, experiment, context.device)
    rows = torch.as_tensor(experiment.train_data.rows("fit"), device=context.device).repeat(options.batch)[
        : options.batch
    ]
    with torch.no_grad():
        features = clips.features(rows)
    optimiser = make_optimiser(model, spec.optim)
    scaler = GradScaler(context.device.type, enabled=False)

    def whole() -> None:
        optimiser.zero_grad()
        accumulate_gradients(model, clips, rows, spec, 0, 0.0, scaler)
        optimiser.step()

    def bare() -> None:
        optimiser.zero_grad()
        with autocast(context.device, spec.precision):
            embeddings = model.backbone(features)
        embeddings.float().square().mean().backward()
        optimiser.step()

    contenders = {"rsbench, whole step": whole, "backbone alone": bare}
    for step in contenders.values():  # the first step pays for plans and memory
        seconds(step, context.device)
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(ROUNDS):
        for name, step in contenders.items():
            times[name].append(seconds(step, context.device))
    pairs = [first / second for first, second in zip(*times.values(), strict=True)]

    table = Table(
        title=f"{options.backbone}, batch {options.batch} × {options.clip_s:g} s, {spec.precision}, {context.device}"
    )
    table.add_column("step")
    table.add_column("clips/s", justify="right")
    for name in contenders:
        table.add_row(name, f"{options.batch / statistics.median(times[name]):.1f}")
    table.caption = f"whole / bare: median {statistics.median(pairs):.2f}, from {min(pairs):.2f} to {max(pairs):.2f}"
    if context.device.type == "cuda":
        table.caption += f"; peak {torch.cuda.max_memory_allocated(context.device) / 2**20:.0f} MiB"
    Console().print(table)


if __name__ == "__main__":
    main()
