"""What does a grid on given embeddings cost? All that `rsbench run` does for it, beside a dozen lines of torch.

    python benchmarks/frozen_grid.py --embeddings yamnet.parquet --root DATA --train sprsound-inter [--seeds 5]
    python benchmarks/frozen_grid.py [--device cuda]     # numbers drawn for the embedded recordings

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
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from measured import CPU_TIME, Ratio, recordings
from torch import nn

from rsbench.core.errors import RsbenchError
from rsbench.core.loss import Batch, create_loss
from rsbench.core.plugins import discover
from rsbench.core.spec import DEFAULT_TRAIN, RunSpec
from rsbench.data.clips import ClipTable
from rsbench.data.embeddings import Provenance, write_embeddings
from rsbench.data.splits import split
from rsbench.experiment.context import DataCache, RunContext, make_context, make_spec
from rsbench.experiment.prepare import Experiment, prepare_experiment
from rsbench.experiment.run import alike, run_together

LOSSES = "ce,arcface,cosface,fixed_margin,adaface,qlung"
WIDTH = 1024  # of embeddings that are drawn


@dataclass(frozen=True)
class Grid:
    """Losses × seeds over one file of embeddings; None: numbers drawn for the clips of `train`."""

    embeddings: Path | None = None
    roots: tuple[str, ...] = ()
    train: str = DEFAULT_TRAIN
    losses: tuple[str, ...] = tuple(LOSSES.split(","))
    seeds: int = 5
    epochs: int = 10
    threads: int = 1
    device: str = "cpu"

    def context(self, out: str) -> RunContext:
        return make_context(self.roots, out, device=self.device, threads=self.threads, quiet=True, partial=True)


def draw_embeddings(table: ClipTable, path: Path) -> None:
    """A file of noise for the clips of a data set."""
    index = table.clips[["clip_id"]].assign(dataset=table.dataset, view=0)
    vectors = np.random.default_rng(0).standard_normal((len(index), WIDTH), dtype=np.float32)
    with path.open("wb") as file:
        write_embeddings(file, index, vectors, Provenance())


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
        context = grid.context(folder)
        embeddings = grid.embeddings or Path(folder) / "drawn.parquet"
        if grid.embeddings is None:
            discover()
            draw_embeddings(
                context.data_cache().table(split(grid.train, context.roots.own_datasets()).dataset), embeddings
            )
        common = {
            "backbone": f"embeddings:{embeddings}",
            "data.train": grid.train,
            "data.test": [grid.train],
            "optim.epochs": grid.epochs,
            "precision": "fp32",  # that of the bare loops, on a GPU too
        }
        each = [{**common, "loss": loss, "seed": seed} for loss in grid.losses for seed in range(grid.seeds)]
        specs = [make_spec(settings, context) for settings in each]
        cache = context.data_cache()
        experiments = [prepare_experiment(spec, cache) for spec in specs]  # decodes what is not in the cache yet
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
    size = {"seeds": 2, "epochs": 3} if quick else {}
    grid = Grid(yamnet, (str(root),), "sprsound-inter", **size)
    found = measure(grid, 1 if quick else 3)
    runs = len(grid.losses) * grid.seeds
    what = f"rsbench run, {runs} runs of {grid.epochs} epochs on embeddings"
    return [Ratio(what, "bare loops", CPU_TIME, tuple(by_processor for by_processor, _ in found))]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--embeddings", type=Path)
    parser.add_argument("--root", action="append", default=[])
    parser.add_argument("--train", default=DEFAULT_TRAIN)
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
