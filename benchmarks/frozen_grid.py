"""What does a grid on given embeddings cost? All that `rsbench run` does for it, beside a dozen lines of torch.

    python benchmarks/frozen_grid.py --embeddings yamnet.parquet --root DATA [--train sprsound-inter] [--seeds 5]
    python benchmarks/frozen_grid.py [--device cuda]     # numbers drawn for recordings of noise

A bare loop trains one loss on the same tensors with the same batches, schedule and optimiser, and neither judges nor
keeps anything; one runs after the other, without their reading of data. Ours is timed from the first run's preparation
to the last run's record, with validation after every epoch, checkpoints, predictions and figures; imports are left out
of both. Both are repeated in turn; the ratio is that of their CPU seconds, and that of the clock beside it.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile
import torch
from measured import CPU_TIME, Ratio, recordings
from torch import nn

from rsbench.core.errors import RsbenchError
from rsbench.core.loss import Batch, create_loss
from rsbench.core.spec import RunSpec
from rsbench.data.embeddings import Provenance, write_embeddings
from rsbench.experiment.context import DataCache, RunContext, make_context, make_spec
from rsbench.experiment.prepare import Experiment, prepare_experiment
from rsbench.experiment.run import alike, run_together

LOSSES = "ce,arcface,cosface,fixed_margin,adaface,qlung"
CLIPS, CLIP_S, RATE, WIDTH = 150, 0.5, 4000, 1024  # of a drawn patient, and of each clip


@dataclass(frozen=True)
class Grid:
    """Losses × seeds over one file of embeddings; None: numbers drawn for clips of noise of so many patients."""

    embeddings: Path | None = None
    roots: tuple[str, ...] = ()
    train: str = "sprsound-inter"
    losses: tuple[str, ...] = tuple(LOSSES.split(","))
    seeds: int = 5
    epochs: int = 10
    threads: int = 1
    device: str = "cpu"
    patients: int = 40

    def context(self, out: str) -> RunContext:
        return make_context(self.roots, out, device=self.device, threads=self.threads, quiet=True, partial=True)


def drawn(grid: Grid, folder: Path) -> Grid:
    """The grid over a data set that is written for it: noise, since nobody hears it."""
    generator = np.random.default_rng(0)
    (folder / "drawn").mkdir()
    rows = []
    for patient in range(grid.patients):
        name, subset = f"{patient:03d}", "test" if patient % 3 == 0 else "train"
        noise = 0.05 * generator.standard_normal(int(CLIPS * CLIP_S * RATE), dtype=np.float32)
        soundfile.write(folder / "drawn" / f"{name}.wav", noise, RATE)
        for clip in range(CLIPS):
            label = ("normal", "normal", "crackle", "wheeze", "both")[clip % 5]
            rows.append((f"{name}.wav", clip * CLIP_S, (clip + 1) * CLIP_S, label, name, "none", subset))
    columns = ["path", "start_s", "end_s", "label", "patient", "device", "subset"]
    pd.DataFrame(rows, columns=columns).to_csv(folder / "drawn" / "clips.csv", index=False)
    path = folder / "drawn.parquet"
    found = replace(grid, embeddings=path, roots=(str(folder),), train="drawn")
    clips = found.context(str(folder)).data_cache().table("drawn").clips
    index = clips[["clip_id"]].assign(dataset="drawn", view=0)
    with path.open("wb") as file:
        vectors = generator.standard_normal((len(index), WIDTH), dtype=np.float32)
        write_embeddings(file, index, vectors, Provenance())
    return found


def bare_loop(experiment: Experiment, device: torch.device) -> None:
    """Adam on one loss over embeddings that are there."""
    spec, data = experiment.spec, experiment.train_data
    fitted = data.rows("fit")
    assert data.embeddings is not None
    embeddings = torch.as_tensor(data.embeddings[fitted, 0], device=device)
    labels, quality = (
        torch.as_tensor(data.clips[name].to_numpy()[fitted], device=device) for name in ("class_index", "quality")
    )
    torch.manual_seed(spec.seed)
    standardise = nn.BatchNorm1d(embeddings.shape[1], affine=False)
    backbone = nn.Sequential(standardise, nn.Dropout(0.2), nn.Linear(embeddings.shape[1], 128)).to(device)
    loss = create_loss(spec.loss.name, 128, experiment.class_counts, **spec.loss.params).to(device)
    optimiser = torch.optim.Adam([*backbone.parameters(), *loss.parameters()], spec.optim.lr)
    steps = -(-len(fitted) // spec.optim.batch_size)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, spec.optim.epochs * steps)
    for _ in range(spec.optim.epochs):
        for rows in torch.randperm(len(fitted), device=device).tensor_split(steps):
            optimiser.zero_grad()
            loss(
                backbone(embeddings[rows]), Batch(labels[rows], quality[rows].float(), labels[rows], labels[rows])
            ).backward()
            optimiser.step()
            schedule.step()


def ours(specs: list[RunSpec], cache: DataCache, context: RunContext) -> None:
    """The grid as the command does it."""
    for group in alike(specs):
        for _, run in run_together([prepare_experiment(specs[number], cache) for number in group], context):
            if isinstance(run, RsbenchError):
                raise run


def timed(work: Callable[[], None]) -> tuple[float, float]:
    """CPU seconds of all threads, and seconds of the clock."""
    processor, clock = time.process_time(), time.perf_counter()
    work()
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()
    return time.process_time() - processor, time.perf_counter() - clock


def measure(grid: Grid, rounds: int) -> list[tuple[float, float]]:
    """The ratios of CPU seconds and of seconds of the clock, once a round."""
    with tempfile.TemporaryDirectory() as folder:
        grid = grid if grid.embeddings else drawn(grid, Path(folder))
        context = grid.context(folder)
        common = {
            "backbone": f"embeddings:{grid.embeddings}",
            "data.train": grid.train,
            "data.test": [grid.train],
            "optim.epochs": grid.epochs,
            "precision": "fp32",  # that of the bare loops, on a GPU too
        }
        each = [{**common, "loss": loss, "seed": seed} for loss in grid.losses for seed in range(grid.seeds)]
        specs = [make_spec(settings, context) for settings in each]
        cache = context.data_cache()
        experiments = [prepare_experiment(spec, cache) for spec in specs]  # decodes what is not in the cache yet
        torch.optim.Adam([nn.Parameter(torch.zeros(1))])  # the first one ever imports the compiler, in a second
        return [_round(grid, specs, experiments) for _ in range(rounds)]


def _round(grid: Grid, specs: list[RunSpec], experiments: list[Experiment]) -> tuple[float, float]:
    with tempfile.TemporaryDirectory() as out:
        here = grid.context(out)
        mine = timed(lambda: ours(specs, here.data_cache(), here))
    bare = timed(lambda: [bare_loop(experiment, here.device) for experiment in experiments])
    print(f"ours {mine[0]:.1f} s CPU, {mine[1]:.1f} s; bare loops {bare[0]:.1f} s CPU, {bare[1]:.1f} s")
    return mine[0] / bare[0], mine[1] / bare[1]


def ratios(quick: bool) -> list[Ratio]:
    root = recordings()
    yamnet = root / "embeddings" / "yamnet.parquet"
    grid = Grid(yamnet, (str(root),), "sprsound-inter", seeds=1 if quick else 2)
    found = measure(grid, 1 if quick else 4)
    runs = len(grid.losses) * grid.seeds
    what = f"rsbench run, {runs} runs of {grid.epochs} epochs on embeddings"
    return [Ratio(what, "bare loops", CPU_TIME, tuple(by_processor for by_processor, _ in found))]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--embeddings", type=Path)
    parser.add_argument("--root", action="append", default=[])
    parser.add_argument("--train", default="sprsound-inter")
    parser.add_argument("--losses", default=LOSSES)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()

    losses, roots = tuple(options.losses.split(",")), tuple(options.root)
    size = (options.seeds, options.epochs, options.threads, options.device)
    grid = Grid(options.embeddings, roots, options.train, losses, *size)
    found = measure(grid, options.rounds)
    by_processor, by_clock = (statistics.median(column) for column in zip(*found, strict=True))
    text = f"{by_processor:.2f} of the bare loops' CPU seconds, {by_clock:.2f} of their time"
    print(f"{len(losses) * grid.seeds} runs of {grid.epochs} epochs: {text}")


if __name__ == "__main__":
    main()
