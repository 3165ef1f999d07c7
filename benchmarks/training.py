"""What does the loop cost beside the bare model? A whole training step beside the backbone's own step.

    python benchmarks/training.py [--backbone cnn6] [--device cuda] [--batch 32] [--clip-s 2] [--set KEY=VALUE …]

The whole step gathers waveforms, makes features, masks them, and trains backbone and loss, as `rsbench run` does; the
bare step trains the backbone alone on features that are there already. Both are timed in turn, and the ratio is what
the harness adds. Clips are noise of many lengths. On a GPU the peak of its memory is printed too.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from measured import Ratio, compared, device_seconds, in_turn
from rich.console import Console
from rich.table import Table
from torch import Tensor
from torch.amp.grad_scaler import GradScaler

from rsbench.conformance.steps import DOMAINS
from rsbench.core.spec import RunSpec, parse_assignment
from rsbench.data.waveforms import Waveforms
from rsbench.data.windows import clip_window
from rsbench.experiment.build import feature_size, gather_from, untrained_model
from rsbench.experiment.context import make_context, make_spec
from rsbench.features.frontends import create_frontend
from rsbench.training.clipset import AudioClips, ClipMetadata
from rsbench.training.loop import accumulate_gradients
from rsbench.training.optim import make_optimiser
from rsbench.training.predict import Model, autocast

ROUNDS = 10
COUNTS = (2063, 1215, 501, 363)  # of ICBHI's official training half
WHOLE, BARE = "rsbench, whole step", "backbone alone"


@dataclass(frozen=True)
class Steps:
    """A model, its optimiser, and a step of training: as the loop takes it, and as the backbone's alone."""

    model: Model
    optimiser: torch.optim.Optimizer
    features: Tensor
    whole: Callable[[], None]
    bare: Callable[[], None]


def clips_of_noise(spec: RunSpec, count: int, device: torch.device) -> AudioClips:
    """Recordings of half to one and a half times the length that each, as a clip, is cut or repeated to."""
    assert spec.frontend is not None
    frontend = create_frontend(spec.frontend.name, **spec.frontend.params)
    generator = np.random.default_rng(0)
    lengths = (spec.data.clip_s * frontend.rate * generator.uniform(0.5, 1.5, count)).astype(np.int64)
    offsets = np.concatenate([[0], lengths.cumsum()])
    samples = 0.05 * generator.standard_normal(offsets[-1], dtype=np.float32)
    names = [f"{number:04d}" for number in range(count)]
    length_s = pd.Series(lengths / frontend.rate, index=names)
    waveforms = Waveforms(frontend.rate, lambda: samples, offsets, names, length_s, pd.DataFrame(), bytes_id="")
    table = pd.DataFrame({"clip_id": names, "recording": names, "start_s": 0.0, "end_s": length_s.to_numpy()})
    gatherer = gather_from(waveforms, table, frontend, spec.data.clip_s, clip_window(spec.data.window), device)
    codes = torch.arange(count, device=device) % len(COUNTS)
    known = ClipMetadata(tuple(names), codes, torch.rand(count, device=device), codes, codes, codes)
    return AudioClips(known, gatherer.gather, frontend.to(device), spec.augment)


def make_steps(spec: RunSpec, batch_size: int, device: torch.device) -> Steps:
    """Of a model at random weights, over the same clips again and again."""
    clips = clips_of_noise(spec, batch_size, device)
    size = feature_size(clips.frontend, spec.data.clip_s)
    model = untrained_model(spec, *size, COUNTS, DOMAINS).to(device).train()
    rows = torch.arange(batch_size, device=device)
    with torch.no_grad():
        features = clips.features(rows)
    optimiser = make_optimiser(model, spec.optim)
    scaler = GradScaler(device.type, enabled=False)

    def whole() -> None:
        optimiser.zero_grad()
        accumulate_gradients(model, clips, rows, spec, 0, 0.0, scaler)
        optimiser.step()

    def bare() -> None:
        optimiser.zero_grad()
        with autocast(device, spec.precision):
            embeddings = model.backbone(features)
        embeddings.float().square().mean().backward()
        optimiser.step()

    return Steps(model, optimiser, features, whole, bare)


def measure(spec: RunSpec, batch_size: int, device: torch.device, rounds: int = ROUNDS) -> dict[str, list[float]]:
    """Seconds of both steps, see `device_seconds`."""
    steps = make_steps(spec, batch_size, device)
    return in_turn(lambda step: device_seconds(step, device), {WHOLE: steps.whole, BARE: steps.bare}, rounds)


def ratios(quick: bool) -> list[Ratio]:
    context = make_context((), ".", device="cpu", quiet=True)
    found = []
    for backbone in ("cnn6", "mn04"):
        spec = make_spec({"loss": "qlung", "backbone": backbone, "data.clip_s": 2.0}, context)
        found.append(compared(measure(spec, 32, context.device, 4 if quick else ROUNDS), about=f"{backbone}: "))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--backbone", default="cnn6")
    parser.add_argument("--loss", default="qlung")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--clip-s", type=float, default=2.0)
    parser.add_argument("--set", action="append", default=[], help="KEY=VALUE, any field of the spec")
    options = parser.parse_args()

    context = make_context((), ".", device=options.device, quiet=True)
    settings = {"loss": options.loss, "backbone": options.backbone, "data.clip_s": options.clip_s}
    spec = make_spec(settings | dict(map(parse_assignment, options.set)), context)
    times = measure(spec, options.batch, context.device)
    pairs = [first / second for first, second in zip(*times.values(), strict=True)]

    table = Table(
        title=f"{options.backbone}, batch {options.batch} × {options.clip_s:g} s, {spec.precision}, {context.device}"
    )
    table.add_column("step")
    table.add_column("clips/s of CPU time" if context.device.type == "cpu" else "clips/s", justify="right")
    for name in times:
        table.add_row(name, f"{options.batch / statistics.median(times[name]):.1f}")
    table.caption = f"whole / bare: median {statistics.median(pairs):.2f}, from {min(pairs):.2f} to {max(pairs):.2f}"
    if context.device.type == "cuda":
        table.caption += f"; peak {torch.cuda.max_memory_allocated(context.device) / 2**20:.0f} MiB"
    Console().print(table)


if __name__ == "__main__":
    main()
