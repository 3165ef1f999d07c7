"""How long do boards over many runs take? Reading them the first time, from the index, and the whole command.

    python benchmarks/boards.py [--runs 10000] [--like RUN_FOLDER]

The runs are copies of a finished one, or of a short one made for this: methods of ten seeds that differ in learning
rate, with noise on their logits and figures to match, and as many patients as verdicts and ranks take. What copies have
in common is linked, not written again, so that 10,000 fit anywhere.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

import rsbench
from rsbench.boards.leaderboard import leaderboard
from rsbench.core.display import Display
from rsbench.core.files import write_parquet
from rsbench.data.splits import split
from rsbench.data.tasks import ICBHI_4
from rsbench.evaluation.scoring import score_run
from rsbench.results.index import board_rows
from rsbench.results.run import Run, load_runs

SEEDS = 10
PATIENTS = 40  # enough for verdicts and ranks
# Started by a process as large as this one, a command would be counted with that one's memory.
PEAK = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True, capture_output=True)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""
VARIANTS = 40  # different predictions; scoring as many as there are runs would take longer than all that is measured


def short_run(out: Path) -> Run:
    """One epoch on the embedded data set."""
    settings = {"loss": "ce", "backbone": "cnn6", "epochs": 1, "data.clip_s": 1.0}
    return Run(rsbench.run(settings, results=out, quiet=True).path)


def write_variant(run: Run, folder: Run, number: int) -> None:
    """The run with other predictions, and the figures that these have."""
    shutil.copytree(run.path, folder.path, ignore=shutil.ignore_patterns("checkpoints", ".*"))
    generator = np.random.default_rng(number)
    predictions = {name: run.predictions(name) for name in run.datasets}
    for name, frame in predictions.items():
        logits = frame[list(ICBHI_4.logit_columns)]
        noise = generator.normal(scale=logits.std(), size=logits.shape)
        heard = np.eye(len(ICBHI_4.logit_columns))[frame["label"]] * logits.to_numpy().std()  # enough for ranks
        frame[list(ICBHI_4.logit_columns)] = logits + noise + heard
        frame["patient"] = [f"p{clip % PATIENTS:02d}" for clip in range(len(frame))]
        write_parquet(folder.path / "predictions" / f"{name}.parquet", frame)
    spec, data = run.folder.read_json("spec.json"), run.folder.read_json("data.json")
    train = data["splits"][spec["data"]["train"]]["dataset"]
    tests = [split(name, data["datasets"]) for name in spec["data"]["test"]]
    folder.folder.write_json("metrics.json", score_run(predictions, tests, spec["select"], (train,)))


def write_copies(run: Run, results: Path, count: int) -> None:
    """Fill `<results>/runs` with `count` finished runs."""
    variants = [Run(results / "variants" / str(number)) for number in range(VARIANTS)]
    for number, folder in enumerate(variants):
        write_variant(run, folder, number)
    spec: dict[str, Any] = run.folder.read_json("spec.json")
    with Display().track("writing runs", count) as advance:
        for number in range(count):
            method, seed = divmod(number, SEEDS)
            copy = Run(results / "runs" / f"{spec['loss']['name']}-s{seed}-{number:010x}")
            shutil.copytree(variants[number % VARIANTS].path, copy.path, copy_function=os.link)
            lr = spec["optim"]["lr"] * (1 + method)
            copy.folder.write_json("spec.json", spec | {"seed": seed, "optim": spec["optim"] | {"lr": lr}})
            advance(1, "")


def seconds(function: Callable[[], object]) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--like", type=Path, help="the folder of a finished run, for data of its size")
    options = parser.parse_args()

    with tempfile.TemporaryDirectory() as directory:
        results = Path(directory) / "results"
        run = Run(options.like) if options.like else short_run(Path(directory) / "short")
        write_copies(run, results, options.runs)
        spec = run.folder.read_json("spec.json")
        name, selection = spec["data"]["test"][0], spec["select"][0]

        def index() -> None:
            found = board_rows(load_runs(results), name, selection, cache=results / ".index")
            found.counts(found.rows)

        command = [sys.executable, "-m", "rsbench", "leaderboard", "--split", name, "--select", selection]

        def board() -> None:
            subprocess.run([*command, "--results", str(results)], check=True, capture_output=True)

        took = {
            "index, first": seconds(index),
            "index, again": min(seconds(index) for _ in range(3)),
            "rsbench leaderboard, first": seconds(board),
            "rsbench leaderboard, again": min(seconds(board) for _ in range(3)),
        }
        through = [sys.executable, "-c", PEAK, *command, "--results", str(results)]
        peak = int(subprocess.run(through, check=True, capture_output=True, text=True).stdout) / 1024
        made = leaderboard(load_runs(results), name, selection, cache=results / ".index").table
        said = made[["low", "auroc_low", "rank_best"]].notna().sum()
        kept = sum(path.stat().st_size for path in (results / ".index").iterdir()) / 2**20

    about = (
        f"index: {kept:.1f} MiB; memory: {peak:.0f} MiB; of {len(made)} rows {said['low']} have an interval of Score, "
        f"{said['auroc_low']} of AUROC, {said['rank_best']} a rank set"
    )
    table = Table(title=f"{options.runs} runs of {SEEDS} seeds each on {name}", caption=about)
    table.add_column("what")
    table.add_column("s", justify="right")
    for what, duration in took.items():
        table.add_row(what, f"{duration:.2f}")
    Console().print(table)


if __name__ == "__main__":
    main()
