"""How often intervals hold the truth, and how long they take, at full size.

python benchmarks/intervals.py                       # calibration, 2000 studies a line: about an hour on 2 cores
python benchmarks/intervals.py --studies 200         # a quick look
python benchmarks/intervals.py --speed               # 100 rows x 10,000 resamples: seconds and memory
"""

from __future__ import annotations

import argparse
import resource
import sys
import time
from pathlib import Path

import numpy as np

from rsbench.evaluation.statistics import RESAMPLES, Estimates, counts_of, estimate, rank_sets

sys.path.append(str(Path(__file__).parents[1] / "tests" / "evaluation"))
from simulated import SCORE, Effects, patients, study

LOSSES = 5  # beside the baseline
STUDIES = {
    "as on ICBHI": Effects(),
    "no patient x loss": Effects(patient_and_method=0.0),
    "large patient x loss": Effects(patient_and_method=0.1),
    "large seeds": Effects(patient_and_method=0.02, seed=0.06, trade=0.1),
    "no seeds": Effects(seed=0.0, trade=0.0),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=2000, help="simulated studies a line")
    parser.add_argument("--resamples", type=int, default=RESAMPLES)
    parser.add_argument("--seeds", type=int, nargs="+", default=[3, 5, 8, 10])
    parser.add_argument("--speed", action="store_true")
    arguments = parser.parse_args()
    if arguments.speed:
        speed()
    else:
        calibration(arguments.studies, arguments.resamples, arguments.seeds)


def calibration(studies: int, resamples: int, seeds: list[int]) -> None:
    """Coverage of 95 % intervals of a Score and of a difference, and studies with any false claim or rank, by kind."""
    print(f"{studies} studies a line, {resamples} resamples, {LOSSES} losses against a baseline; all are equally good")
    print(f"{'study':22} seeds  Score  difference  any false claim  any false rank  least difference")
    for name, effects in STUDIES.items():
        for count in seeds:
            generator = np.random.default_rng(count)
            found = [once(generator, count, effects, resamples) for _ in range(studies)]
            score, difference, claim, rank, least = np.mean(found, axis=0)
            rates = f"{score:.3f}       {difference:.3f}            {claim:.3f}           {rank:.3f}"
            print(f"{name:22} {count:5}  {rates}  {least:16.2f}", flush=True)


def once(generator: np.random.Generator, seeds: int, effects: Effects, resamples: int) -> tuple[float, ...]:
    """One study: do the intervals hold, is anything claimed, and what could have been."""
    support = patients(generator)
    counts = counts_of("score", study(generator, support, LOSSES + 1, seeds, effects), support)
    draw = int(generator.integers(2**31))
    rows = estimate(counts, resamples, draw)
    paired = estimate(counts[list(range(1, LOSSES + 1))] - counts[[0]], resamples, draw)
    least = paired.smallest_claim()
    claimed, ranked = (np.abs(paired.mean) > least).any(), (rank_sets(rows) != [1, LOSSES + 1]).any()
    return holds(rows, SCORE), holds(paired, 0.0), float(claimed), float(ranked), float(least.mean())


def holds(found: Estimates, truth: float) -> float:
    low, high = found.intervals().T
    return float(((low <= truth) & (truth <= high)).mean())


def speed() -> None:
    """100 rows of 10 seeds, on as many patients as ICBHI's test part has, and as many as all of SPRSound."""
    for count in (49, 292):
        generator = np.random.default_rng(0)
        support = patients(generator, count, clips=9000)
        counts = counts_of("score", study(generator, support, 100, 10, Effects()), support)
        start = time.perf_counter()
        found = estimate(counts)
        middle = time.perf_counter()
        rank_sets(found)
        end = time.perf_counter()
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(
            f"100 rows x {RESAMPLES} resamples, {count} patients: intervals {middle - start:.1f} s, "
            f"rank sets {end - middle:.1f} s; peak {peak:.0f} MiB"
        )


if __name__ == "__main__":
    main()
