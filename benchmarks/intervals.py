"""How often intervals, claims and ranks are right, and how long they take, at full size.

python benchmarks/intervals.py                       # calibration, 2000 studies a line: some hours on 2 cores
python benchmarks/intervals.py --studies 200         # a quick look
python benchmarks/intervals.py --runs results --split icbhi-official      # patients and seeds of real runs, redrawn
python benchmarks/intervals.py --folds --studies 600     # every patient tested once: what models of folds share
python benchmarks/intervals.py --speed               # 100 rows x 10,000 resamples: seconds and memory

In the table of all speeds the peer is scipy.stats.bootstrap, which redraws the patients of one method at a time.
"""

from __future__ import annotations

import argparse
import itertools
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from measured import Ratio, compared, cpu_seconds, in_turn
from numpy.typing import NDArray
from scipy.stats import bootstrap

from rsbench.evaluation.counts import count_hits, design_of, rank_hits
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
from rsbench.results.run import load_runs

sys.path.append(str(Path(__file__).parents[1] / "tests" / "evaluation"))
from folded import Problem, folded_study
from simulated import Effects, Scored, few_ill_patients, patients, scored_study, study

Floats = NDArray[np.float64]

LOSSES = 5  # beside the baseline
BACKBONES = 6  # of a summary
FOLDS = 5
PROBLEMS = {"easy": Problem(), "hard": Problem(dimensions=48, shift=0.9, ridge=0.02)}
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
    parser.add_argument("--folds", action="store_true", help="studies that learn, in five folds of patients")
    parser.add_argument("--speed", action="store_true")
    arguments = parser.parse_args()
    if arguments.speed:
        speed()
    elif arguments.folds:
        in_folds(arguments.studies, arguments.resamples)
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


def in_folds(studies: int, resamples: int) -> None:
    """Shares of 95 % intervals that miss, without and with what folds share, at 0 and at validation's threshold."""
    print(f"{studies} studies a line of two methods in {FOLDS} folds: missed without and with what folds share")
    print(f"{'problem':8} patients seeds  {'Score':14} {'difference':14} {'Score, chosen':14} difference, chosen")
    for name, problem in PROBLEMS.items():
        for count, seeds in itertools.product((60, 150, 300), (3, 10)):
            generator = np.random.default_rng(100 * count + seeds)
            missed: dict[tuple[int, bool, int], list[Estimates]] = {}
            for number in range(studies):
                points, support = folded_study(generator, problem, count, seeds, FOLDS)
                for (point, hits), folds in itertools.product(enumerate(points), (0, FOLDS)):
                    counts = replace(counts_of("score", hits, support), folds=folds)
                    for paired in (False, True):
                        of_what = counts[[1]] - counts[[0]] if paired else counts
                        missed.setdefault((point, paired, folds), []).append(estimate(of_what, resamples, number))
            shares = {key: 1 - coverage(found, 0.0 if key[1] else None) for key, found in missed.items()}
            cells = [
                f"{shares[*of, 0]:.3f} → {shares[*of, FOLDS]:.3f}" for of in itertools.product((0, 1), (False, True))
            ]
            print(f"{name:8} {count:8} {seeds:5}  {'  '.join(cells)}", flush=True)


def redrawn(results: Path, split: str, studies: int, resamples: int) -> None:
    """Patients and seeds of real runs drawn with replacement: what is true of all of them is the truth."""
    runs = [run for run in load_runs(results) if run.state == "done"]
    runs.sort(key=lambda run: (run.spec.loss.name, run.data.backbone, run.spec.seed))
    calls = [run.calls(split, "val") for run in runs]
    seeds = len({run.spec.seed for run in runs})
    methods = len(runs) // seeds
    clips = calls[0].clips.reset_index()
    of_patient = [np.asarray(rows) for rows in clips.groupby("patient").indices.values()]
    support = design_of(clips).support
    generator = np.random.default_rng(0)
    print(f"{studies} studies redrawn from {methods} methods x {seeds} seeds on {split}: {len(of_patient)} patients,")
    print(f"of whom {effective_number(support[:, 1:].sum(axis=1)):.1f} effective ones have abnormal clips")

    def counted(patients_: NDArray[np.int64], of_seeds: NDArray[np.int64]) -> tuple[Counts, Counts]:
        chosen = np.concatenate([of_patient[one] for one in patients_])
        names = np.repeat(
            [f"{place:04}" for place in range(len(patients_))], [len(of_patient[one]) for one in patients_]
        )
        rows = pd.DataFrame({"patient": names, "label": clips["label"].to_numpy()[chosen]})
        drawn = [calls[method * seeds + seed] for method in range(methods) for seed in of_seeds]
        hits = np.stack([count_hits(rows, one.called("argmax")[chosen]) for one in drawn]).astype(float)
        ranked = np.stack([rank_hits(rows, one.logits[chosen]) for one in drawn])
        shape = (methods, seeds, len(patients_), -1)
        of_rows = design_of(rows).support.astype(float)
        return counts_of("score", hits.reshape(shape), of_rows), ranking_counts(ranked.reshape(shape), of_rows)

    everybody, every_seed = np.arange(len(of_patient)), np.arange(seeds)
    truths = [counts.of_runs().mean(axis=1) for counts in counted(everybody, every_seed)]
    held: dict[str, list[float]] = {}
    for number in range(studies):
        made = counted(generator.choice(everybody, len(everybody)), generator.choice(every_seed, seeds))
        for name, counts, truth in zip(("Score", "AUROC"), made, truths, strict=True):
            paired = counts[slice(1, None)] - counts[[0] * (methods - 1)]
            for what, of_what, about in ((name, counts, truth), (f"{name} difference", paired, truth[1:] - truth[0])):
                low, high = estimate(of_what, resamples, number).intervals().T
                held.setdefault(what, []).append(float(((low <= about) & (about <= high)).mean()))
    print(", ".join(f"{what} {np.mean(shares):.3f}" for what, shares in held.items()), flush=True)


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


def ratios(quick: bool) -> list[Ratio]:
    """Intervals for new patients and seeds, beside scipy's for new patients alone: it knows no crossed draws."""
    methods, seeds, resamples = 20, 5, 1000 if quick else RESAMPLES
    generator = np.random.default_rng(0)
    support = patients(generator)
    counts = counts_of("score", study(generator, support, methods, seeds, Effects()), support.astype(float))
    of_methods = counts.hits.mean(axis=1)  # (methods, P, 2), over seeds

    def score(normal: Floats, normal_clips: Floats, abnormal: Floats, abnormal_clips: Floats, axis: int) -> Floats:
        specificity = normal.sum(axis=axis) / normal_clips.sum(axis=axis)
        return 50 * (specificity + abnormal.sum(axis=axis) / abnormal_clips.sum(axis=axis))

    def one_by_one() -> None:
        for hits in of_methods:
            parts = (hits[:, 0], counts.clips[:, 0], hits[:, 1], counts.clips[:, 1])
            bootstrap(parts, score, paired=True, n_resamples=resamples, method="percentile", rng=generator)

    contenders = {
        f"intervals of {methods} methods × {seeds} seeds": lambda: estimate(counts, resamples).intervals(),
        "scipy.stats.bootstrap, patients alone": one_by_one,
    }
    return [compared(in_turn(cpu_seconds, contenders, 2 if quick else 4))]


if __name__ == "__main__":
    main()
