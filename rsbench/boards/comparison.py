"""What may be said of a board's rows: intervals, rank sets, and differences from a baseline."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from ..core.errors import ResultsError, SpecError, did_you_mean
from ..evaluation.statistics import SEEDS_FOR_A_CLAIM, Counts, counts_of, estimate, rank_sets, sign_flip_p
from ..results.index import BoardRows
from .methods import label

FIGURE = "score"  # whose error is estimated
MOST_METHODS = 200  # all pairs of which are compared
POINT = "operating_point"

ALIKE = "not distinguishable"
ERRORS = ("low", "high", "rank_best", "rank_worst")
DIFFERENCES = ("delta", "delta_low", "delta_high", "delta_least", "delta_se", "delta_df", "delta_seeds", "sign_flip_p")


def with_errors(
    table: pd.DataFrame, rows: pd.DataFrame, read: BoardRows, method: Sequence[str]
) -> tuple[pd.DataFrame, list[str]]:
    """The table with ERRORS, and why some are NaN, in words.

    low and high: the 95 % interval of the Score over new patients and seeds, each row on its own. rank_best and
    rank_worst: the ranks that a row may have at its operating point, all of them together in 95 % of studies.

    Args:
        table: a row per method and operating point.
        rows: the rows behind it, of one design.
        read: where the rows are from.
        method: the columns that name a method.
    """
    table, notes = table.assign(**dict.fromkeys(ERRORS, np.nan)), []
    for point, of_point in table[table["n_ok"] > 0].groupby(POINT, sort=False):
        if len(of_point) > MOST_METHODS:
            notes.append(f"no intervals at {point}: more than {MOST_METHODS} methods; narrow the board with --only")
            continue
        found = estimate(counts(of_point, rows, read, method))
        table.loc[of_point.index, ["low", "high"]] = np.clip(found.intervals(), 0, 100)
        table.loc[of_point.index, ["rank_best", "rank_worst"]] = rank_sets(found)
    if (table["n_ok"] == 1).any():
        notes.append("no interval for a single seed: nothing says how another would do")
    return table, notes


def with_baseline(
    table: pd.DataFrame, rows: pd.DataFrame, read: BoardRows, method: Sequence[str], baseline: str
) -> tuple[pd.DataFrame, list[str]]:
    """The table with DIFFERENCES and a verdict, and the notes that go with them.

    delta: the difference of Score from the baseline on the same backbone, over the seeds that both have (delta_seeds)
    and the same patients. delta_low and delta_high hold for all rows of an operating point at once; delta_least is the
    smallest difference that would have been one; delta_se and delta_df are of one alone. verdict: "better", "worse", or
    "not distinguishable", as which counts whatever has fewer than 8 seeds. sign_flip_p: exact, and of training noise
    only.
    The arguments are those of `with_errors`.

    Raises SpecError where no row has this loss.
    """
    if baseline not in set(table["loss"]):
        raise SpecError(f"--baseline {baseline}: no row has this loss.{did_you_mean(baseline, set(table['loss']))}")
    table, notes = table.assign(**dict.fromkeys(DIFFERENCES, np.nan), verdict=""), []
    for _, of_point in table[table["n_ok"] > 0].groupby(POINT, sort=False):
        against = [_baseline_of(row, of_point, method, baseline) for _, row in of_point.iterrows()]
        alone = [there is None and loss != baseline for there, loss in zip(against, of_point["loss"], strict=True)]
        notes += [
            f"no Δ for {label(row, method)}: no finished '{baseline}' on its backbone and weights"
            for row in of_point[alone].to_dict("records")
        ]
        here = [position for position, there in enumerate(against) if there is not None]
        there = [there for there in against if there is not None]
        of_methods = counts(of_point, rows, read, method)
        paired = of_methods[here] - of_methods[there]
        lacking = np.isnan(paired.hits).all(axis=(1, 2, 3))  # a seed in common
        compared, some = of_point.iloc[here], np.flatnonzero(~lacking)
        notes += [
            f"no Δ for {label(row, method)}: no seed in common with '{baseline}'"
            for row in compared.iloc[np.flatnonzero(lacking)].to_dict("records")
        ]
        if len(some):
            differences = _differences(paired[some])
            table.loc[compared.index[some], differences.columns] = differences.to_numpy()
    return table, list(dict.fromkeys(notes))


def _differences(paired: Counts) -> pd.DataFrame:
    """DIFFERENCES and the verdict on each, at one operating point."""
    found = estimate(paired)
    low, high = found.simultaneous().T
    told = (found.seeds >= SEEDS_FOR_A_CLAIM) & ((low > 0) | (high < 0))
    p = [sign_flip_p(of_seeds) for of_seeds in paired.of_runs()]
    values = (found.mean, low, high, found.smallest_claim(), found.se, found.df, found.seeds, p)
    verdict = np.where(told, np.where(found.mean > 0, "better", "worse"), ALIKE)
    return pd.DataFrame(dict(zip(DIFFERENCES, values, strict=True))).assign(verdict=verdict)


def counts(of_point: pd.DataFrame, rows: pd.DataFrame, read: BoardRows, method: Sequence[str]) -> Counts:
    """What the Scores of some rows of a table are made of: (rows, seeds, P, J), seeds in their order."""
    done = rows[(rows["state"] == "done") & (rows[POINT] == of_point[POINT].iloc[0])]
    numbered = of_point[list(method)].assign(number=np.arange(len(of_point)))
    done = done.merge(numbered, on=list(method), how="inner")
    design, hits = read.counts(done)
    seeds, position = np.unique(done["seed"].to_numpy(), return_inverse=True)
    of_runs = counts_of(FIGURE, hits[:, None].astype(np.float64), design.support.astype(np.float64))
    placed = np.full((len(of_point), len(seeds), *of_runs.hits.shape[2:]), np.nan)
    placed[done["number"], position] = of_runs.hits[:, 0]
    return Counts(placed, of_runs.clips)


def _baseline_of(row: pd.Series, of_point: pd.DataFrame, method: Sequence[str], baseline: str) -> int | None:
    """The position of a row's baseline: same backbone and weights, as many other settings alike as possible."""
    if row["loss"] == baseline:
        return None
    same = (of_point[["backbone", "weights"]] == row[["backbone", "weights"]]).all(axis=1)
    rivals = np.flatnonzero(same & (of_point["loss"] == baseline))
    if not len(rivals):
        return None
    others = [name for name in method if not name.startswith("loss")]
    alike = (of_point[others] == row[others]).sum(axis=1).to_numpy()[rivals]
    best = rivals[alike == alike.max()]
    if len(best) > 1:
        named = " or ".join(label(of_point.iloc[one], method) for one in best)
        raise ResultsError(f"--baseline {baseline}: is it {named}? Say so with --only.")
    return int(best[0])
