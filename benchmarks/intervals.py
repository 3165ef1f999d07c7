"""How often intervals, claims and ranks are right, and how long they take, at full size.

python benchmarks/intervals.py                       # calibration, 2000 studies a line: some hours on 2 cores
python benchmarks/intervals.py --studies 200         # a quick look
python benchmarks/intervals.py --runs results --split icbhi-official      # patients and seeds of real runs, redrawn
python benchmarks/intervals.py --speed               # 100 rows x 10,000 resamples: seconds and memory
"""

from __future__ import annotations

import argparse
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rsbench.evaluation.patients import effective_number
from rsbench.evaluation.statistics import (
    RESAMPLES,
    Counts,
    Estimates,
    counts_of,
    estimate,
    random_effects,
    rank_sets,
    ranking_counts,
)

sys.path.append(str(Path(__file__).parents[1] / "tests" / "evaluation"))
from simulated import Effects, Scored, few_ill_patients, patients, scored_study, study

LOSSES = 5  # beside the baseline
BACKBONES = 6  # of a summary
STUDIES = {
    "as on ICBHI": Effects(),
    "no patient x loss": Effects(patient_and_method=0.0),
    "large patient x loss": Effects(patient_and_method=0.1),
    "large seeds": Effects(patient_and_method=0.02, seed=0.06, trade=0.1),
    "no seeds": Effects(seed=0.0, trade=0.0),
}
SUPPORTS: dict[str, Callable[[np.random.Generator], NDArray[np.int64]]] = {
    "ICBHI": patients,
    "SPRSound inter": few_ill_patients,
}
HEAD = "Score  AUROC  the best  difference  AUROC diff.  any false claim  any false rank  summary  least"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=2000, help="simulated studies a line")
    parser.add_argument("--resamples", type=int, default=RESAMPLES)
    parser.add_argument("--seeds", type=int, nargs="+", default=[3, 5, 8, 10])
    parser.add_argument("--runs", type=Path, help="results folder whose runs are redrawn")
    parser.add_argument("--split", default="icbhi-official", help="of the runs")
    parser.add_argument("--speed", action="store_true")
    arguments = parser.parse_args()
    if arguments.speed:
        speed()
    elif arguments.runs:
        redrawn(arguments.runs, arguments.split, arguments.studies, arguments.resamples)
    else:
        calibration(arguments.studies, arguments.resamples, arguments.seeds)


def calibration(studies: int, resamples: int, seeds: list[int]) -> None:
    """Shares of 95 % intervals that hold the truth, and of studies with any false claim or rank, by kind of study."""
    print(f"{studies} studies a line, {resamples} resamples, {LOSSES} losses against a baseline; all are equally good")
    print(f"{'patients':15} {'study':22} seeds  {HEAD}")
    for of_whom, draw in SUPPORTS.items():
        for name, effects in STUDIES.items() if of_whom == "ICBHI" else [("as on ICBHI", Effects())]:
            for count in seeds:
                generator = np.random.default_rng(count)
                made = [simulated(generator, draw, count, effects, resamples) for _ in range(studies)]
                print(f"{of_whom:15} {name:22} {count:5}  {in_words(made)}", flush=True)


def in_words(made: list[Study]) -> str:
    """A line of figures; the truth of a Score or an AUROC is its mean over all studies."""
    found = [study_.found for study_ in made]
    shares = [coverage([one[kind] for one in found]) for kind in ("score", "auroc")]
    best = [study_.best for study_ in made]
    truth = np.mean([one["score"].mean.mean() for one in found])
    shares.append(float(np.mean([low <= truth <= high for low, high in best])))
    shares += [coverage([one[kind] for one in found], 0.0) for kind in ("difference", "auroc difference")]
    shares += [float(np.mean([getattr(study_, kind) for study_ in made])) for kind in ("claimed", "ranked", "summed")]
    least = np.mean([study_.least for study_ in made])
    return "  ".join(f"{share:.3f}" for share in shares) + f"  {least:5.2f}"


def coverage(found: list[Estimates], truth: float | None = None) -> float:
    """The share of intervals that hold the truth: a number, or the mean of all these figures."""
    about = np.mean([one.mean for one in found]) if truth is None else truth
    intervals = np.concatenate([one.intervals() for one in found])
    return float(((intervals[:, 0] <= about) & (about <= intervals[:, 1])).mean())


class Study:
    """What is said of one study of methods that are all equally good at both operating points."""

    def __init__(self, points: list[Counts], auroc: Counts, resamples: int, draw: int, backbones: Counts) -> None:
        board = Counts(np.concatenate([point.hits for point in points]), points[0].clips)
        methods = len(points[0].hits)
        others = np.array([number for number in range(len(board.hits)) if number % methods])
        rows = estimate(board, resamples, draw)
        paired = estimate(board[others] - board[others // methods * methods], resamples, draw)
        of_one, areas = np.arange(methods), np.arange(1, methods)
        self.found = {
            "score": rows.of(of_one),
            "auroc": estimate(auroc, resamples, draw),
            "difference": paired.of(areas - 1),
            "auroc difference": estimate(auroc[areas] - auroc[0 * areas], resamples, draw),
        }
        self.best = rows.simultaneous()[int(np.argmax(rows.mean[:methods]))]
        self.least = float(paired.smallest_claim().mean())
        self.claimed = bool((np.abs(paired.mean) > paired.smallest_claim()).any())
        ranks = rank_sets(rows, boards=np.arange(len(board.hits)) // methods)
        self.ranked = bool((ranks != [1, methods]).any())
        of_backbones = estimate(backbones, resamples, draw)
        low, high = random_effects(of_backbones.mean, of_backbones.covariance).interval
        self.summed = low <= 0 <= high


def simulated(
    generator: np.random.Generator,
    draw_patients: Callable[[np.random.Generator], NDArray[np.int64]],
    seeds: int,
    effects: Effects,
    resamples: int,
) -> Study:
    """One simulated study; its summary is of one loss on BACKBONES, judged on the same patients."""
    support = draw_patients(generator)
    scored: Scored = scored_study(generator, support, LOSSES + 1, seeds, effects)
    points = [counts_of("score", hits, support.astype(float)) for hits in scored.hits]
    summary = counts_of("score", study(generator, support, 2 * BACKBONES, seeds, effects), support.astype(float))
    return Study(
        points,
        ranking_counts(scored.ranked, support.astype(float)),
        resamples,
        int(generator.integers(2**31)),
        summary[slice(0, None, 2)] - summary[slice(1, None, 2)],
    )


def redrawn(runs: Path, split: str, studies: int, resamples: int) -> None:
    """Patients and seeds of real runs drawn with replacement: what is true of all of them is the truth."""
    from rsbench.results.index import board_rows
    from rsbench.results.run import load_runs

    read = board_rows(load_runs(runs), split, "val")
    rows = read.rows[(read.rows["state"] == "done") & (read.rows["operating_point"] == "argmax")]
    rows = rows.sort_values(["loss", "backbone", "seed"])
    seeds, methods = rows["seed"].nunique(), len(rows.drop_duplicates(["loss", "backbone"]))
    design, hits = read.counts(rows)
    _, ranked = read.ranked(rows)
    support = design.support.astype(float)
    hits, ranked = (of_runs.reshape(methods, seeds, *of_runs.shape[1:]).astype(float) for of_runs in (hits, ranked))
    # Differences that truly are 0: each method against its own mean over patients and seeds is what varies.
    kinds = {
        "Score": lambda at, by: counts_of("score", hits[:, by][:, :, at], support[at]),
        "AUROC": lambda at, by: ranking_counts(ranked[:, by][:, :, at], support[at]),
    }
    generator = np.random.default_rng(0)
    print(
        f"{studies} studies redrawn from {methods} methods x {seeds} seeds on {split}, {len(support)} patients, of whom"
    )
    print(f"{effective_number(support[:, 1:].sum(axis=1)):.1f} effective ones have abnormal clips")
    everybody, every_seed = np.arange(len(support)), np.arange(seeds)
    for name, made in kinds.items():
        whole = made(everybody, every_seed)
        truth = whole.of_runs().mean(axis=1)
        held = np.zeros((studies, 2))
        for number in range(studies):
            counts = made(generator.choice(everybody, len(support)), generator.choice(every_seed, seeds))
            alone = estimate(counts, resamples, number)
            paired = estimate(counts[slice(1, None)] - counts[[0] * (methods - 1)], resamples, number)
            for place, (found, about) in enumerate(((alone, truth), (paired, truth[1:] - truth[0]))):
                low, high = found.intervals().T
                held[number, place] = ((low <= about) & (about <= high)).mean()
        print(f"{name}: {held[:, 0].mean():.3f}, its differences: {held[:, 1].mean():.3f}", flush=True)


def speed() -> None:
    """100 rows of 10 seeds, on as many patients as ICBHI's test part has, and as many as all of SPRSound."""
    for count in (49, 292):
        generator = np.random.default_rng(0)
        support = patients(generator, count, clips=9000)
        counts = counts_of("score", study(generator, support, 100, 10, Effects()), support.astype(float))
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
