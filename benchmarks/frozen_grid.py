"""What does a grid on given embeddings cost? All that `rsbench run` does for it, beside a dozen lines of torch.

    python benchmarks/frozen_grid.py --embeddings yamnet.parquet --root DATA [--train sprsound-inter] [--seeds 5]

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
from pathlib import Path

import torch
from torch import nn

from rsbench.core.errors import RsbenchError
from rsbench.core.loss import Batch, create_loss
from rsbench.core.spec import RunSpec
from rsbench.experiment.context import DataCache, RunContext, make_context, make_spec
from rsbench.experiment.prepare import Experiment, prepare_experiment
from rsbench.experiment.run import alike, run_together

LOSSES = "ce,arcface,cosface,fixed_margin,adaface,qlung"


def bare_loop(experiment: Experiment) -> None:
    """Adam on one loss over embeddings that are there."""
    spec, data = experiment.spec, experiment.train_data
    fitted = data.rows("fit")
    assert data.embeddings is not None
    embeddings = torch.as_tensor(data.embeddings[fitted, 0])
    labels, quality = (torch.as_tensor(data.clips[name].to_numpy()[fitted]) for name in ("class_index", "quality"))
    torch.manual_seed(spec.seed)
    standardise = nn.BatchNorm1d(embeddings.shape[1], affine=False)
    backbone = nn.Sequential(standardise, nn.Dropout(0.2), nn.Linear(embeddings.shape[1], 128))
    loss = create_loss(spec.loss.name, 128, experiment.class_counts, **spec.loss.params)
    optimiser = torch.optim.Adam([*backbone.parameters(), *loss.parameters()], spec.optim.lr)
    steps = -(-len(fitted) // spec.optim.batch_size)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, spec.optim.epochs * steps)
    for _ in range(spec.optim.epochs):
        for rows in torch.randperm(len(fitted)).tensor_split(steps):
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
    return time.process_time() - processor, time.perf_counter() - clock


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--embeddings", type=Path, required=True)
    parser.add_argument("--root", action="append", default=[])
    parser.add_argument("--train", default="sprsound-inter")
    parser.add_argument("--losses", default=LOSSES)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()

    common = {
        "backbone": f"embeddings:{options.embeddings}",
        "data.train": options.train,
        "data.test": [options.train],
        "optim.epochs": options.epochs,
    }
    context = make_context(options.root, ".", threads=options.threads, quiet=True, partial=True)
    losses = options.losses.split(",")
    grid = [{**common, "loss": loss, "seed": seed} for loss in losses for seed in range(options.seeds)]
    specs = [make_spec(settings, context) for settings in grid]
    cache = context.data_cache()
    experiments = [prepare_experiment(spec, cache) for spec in specs]  # decodes what is not in the cache yet
    ratios: list[tuple[float, float]] = []
    for _ in range(options.rounds):
        with tempfile.TemporaryDirectory() as out:
            here = make_context(options.root, out, threads=options.threads, quiet=True, partial=True)
            mine = timed(lambda here=here: ours(specs, here.data_cache(), here))
        bare = timed(lambda: [bare_loop(experiment) for experiment in experiments])
        ratios.append((mine[0] / bare[0], mine[1] / bare[1]))
        print(f"ours {mine[0]:.1f} s CPU, {mine[1]:.1f} s; bare loops {bare[0]:.1f} s CPU, {bare[1]:.1f} s")
    by_processor, by_clock = (statistics.median(column) for column in zip(*ratios, strict=True))
    text = f"{by_processor:.2f} of the bare loops' CPU seconds, {by_clock:.2f} of their time"
    print(f"{len(specs)} runs of {options.epochs} epochs: {text}")


if __name__ == "__main__":
    main()
