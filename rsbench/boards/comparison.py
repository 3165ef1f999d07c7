"""What may be said of a board's rows: intervals, rank sets, and differences from a baseline."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..core.errors import ResultsError, SpecError, did_you_mean
from ..data.splits import CLAIMS_FROM
from ..evaluation.power import Spread
from ..evaluation.separate import SeparateEstimates, estimate_separately
from ..evaluation.statistics import SEEDS_FOR_A_CLAIM, Counts, Estimates, estimate, rank_sets, sign_flip_p
from ..results.index import BoardRows
from .claims import CLAIMS, JUST_RANK, TOO_FEW, Claim, Question, beneath, patients_to_claim, too_few
from .methods import ABSENT, CODE_OF, label, short

MOST_METHODS = 200  # all pairs of which are compared; of more each has its interval, and none a rank
AT_ONCE = 500  # rows whose hits are in memory together
POINT = "operating_point"

ALIKE = "not distinguishable"
ELSEWHERE = "made elsewhere"  # so that nobody knows in what else the two differ
OF_BOARD = "board"  # whose interval a row has: its own, or one that holds for all rows together
ERRORS = ("low", "high", "auroc_low", "auroc_high", "rank_best", "rank_worst")
# What follows from another field, and so may differ between a row and its baseline.
FOLLOWS = {
    "loss": ("loss.", f"{CODE_OF}loss:"),
    "backbone": ("backbone.", "frontend.", f"{CODE_OF}backbone:", f"{CODE_OF}frontend:", "weights", "pretrained"),
    "weights": ("pretrained", "backbone.pretrained_on"),
    "frontend.name": ("frontend.", f"{CODE_OF}frontend:"),
    "quality.name": ("quality.", f"{CODE_OF}quality:", "fitted_on"),
    "data.window": ("data.clip_s",),
}
SHOWN_AS = ("data.window", "data.clip_s")  # another file of embeddings each, and weights are the file's hash


@dataclass(frozen=True)
class Paired:
    """Differences of the claimed figure from a baseline, in its unit; rows by the index of the board's table.

    covariance: of their errors, a row and a column each. of_seeds: a column per seed, NaN where one of the two lacks
    it. spread: what these differences vary by; None where none has two seeds.
    """

    covariance: pd.DataFrame
    of_seeds: pd.DataFrame
    spread: Spread | None


def with_errors(
    table: pd.DataFrame,
    rows: pd.DataFrame,
    read: BoardRows,
    method: Sequence[str],
    question: Question = JUST_RANK,
    flags: pd.Series | None = None,
) -> tuple[pd.DataFrame, list[str]]:
    """The table with ERRORS and a verdict, and why some are NaN, in words.

    low and high, auroc_low and auroc_high: 95 % intervals of Score and AUROC over new patients and seeds. Each row has
    its own (interval_of, auroc_interval_of "row"), but for the best of its operating point, which was chosen for being
    that ("board"): it has the one that holds for all rows together. rank_best and rank_worst: the ranks that a row may
    have at its operating point, right for all rows, both points and all splits together in 95 % of studies; none where
    patients are too few, or for a row that is beneath its floor. verdict: why a row claims nothing, else "".

    Args:
        table: a row per method and operating point.
        rows: the rows behind it, of one design.
        read: where the rows are from.
        method: the columns that name a method.
        question: what the board is asked.
        flags: what else keeps a row from claiming anything; "" for nothing.
    """
    table, notes = without_errors(table), []
    done = table[table["n_ok"] > 0]
    floored = beneath(table, question.claim)
    if flags is not None:
        floored = floored.where(floored.ne(""), flags)
    design = read.judged(rows)
    few = len(done) > 0 and too_few(design)
    table["verdict"] = np.where((table["n_ok"] > 0) & few & floored.eq(""), TOO_FEW, floored)
    many = len(done) > MOST_METHODS * done[POINT].nunique()
    of_runs = _runs_of(done, rows, method)
    for figure in _defined(done):
        found = _separately(done, of_runs, read, figure) if many else estimate(_counts(done, of_runs, read, figure))
        intervals = found.intervals()
        first = _first_of_each_point(done, figure)
        intervals[first] = found.simultaneous(question.confidence)[first]
        first = first[np.isfinite(intervals[first]).all(axis=1)]  # of a single seed there is none to mark
        columns = [f"{figure.prefix}low", f"{figure.prefix}high"]
        table.loc[done.index, columns] = np.clip(intervals, 0, 100) / figure.percent
        table.loc[done.index[first], f"{figure.prefix}interval_of"] = OF_BOARD
        if figure is question.claim and not few and isinstance(found, Estimates):
            above = np.flatnonzero(floored[done.index].eq(""))
            places = done.index[above]
            ranks = rank_sets(found.of(above), question.confidence, done.loc[places, POINT].to_numpy())
            table.loc[places, ["rank_best", "rank_worst"]] = ranks
    if read.folds:
        notes.append(f"intervals allow for the training patients that models of the {read.folds} folds share")
    if (table["n_ok"] == 1).any():
        notes.append("no interval for a single seed: nothing says how another would do")
    if few:
        patients = patients_to_claim(design)
        notes.append(f"{TOO_FEW} for a verdict or a rank: {patients:.1f} effective ones, and it takes {CLAIMS_FROM}")
    elif many:
        notes.append(
            f"no ranks: they compare every two methods, and here are more than {MOST_METHODS}; narrow the board with "
            "--only"
        )
    return table, notes


def without_errors(table: pd.DataFrame) -> pd.DataFrame:
    """The table with ERRORS of which none is known, and no verdict."""
    whose = {f"{figure.prefix}interval_of": "row" for figure in CLAIMS.values()}
    return table.assign(**dict.fromkeys(ERRORS, np.nan), **whose, verdict="")


def _defined(done: pd.DataFrame) -> list[Claim]:
    """The figures that a split defines: none where all of its clips are of one kind."""
    return [figure for figure in CLAIMS.values() if len(done) and done[f"{figure.column}_mean"].notna().all()]


def _first_of_each_point(done: pd.DataFrame, figure: Claim) -> NDArray[np.int64]:
    """The positions of the best row at each operating point that has more than one."""
    means = done[f"{figure.column}_mean"].reset_index(drop=True)
    groups = means.groupby(done[POINT].to_numpy())
    return groups.idxmax()[groups.size() > 1].dropna().to_numpy(dtype=np.int64)


def with_baseline(
    table: pd.DataFrame,
    rows: pd.DataFrame,
    read: BoardRows,
    method: Sequence[str],
    question: Question,
) -> tuple[pd.DataFrame, list[str], Paired | None]:
    """The table with DIFFERENCES of Score and of AUROC and a verdict, the notes that go with them, and their errors.

    delta: the difference of Score from the row that is alike in all but the baseline's field, over the seeds that both
    have (delta_seeds) and the same patients. delta_low and delta_high hold for all rows, operating points and splits at
    once; delta_least is the smallest difference that would have been one; delta_se and delta_df are of one alone. The
    same of AUROC begin with auroc_. verdict: "better", "worse", or "not distinguishable", as which counts whatever has
    fewer than 8 seeds; or why there is none. sign_flip_p: exact, and of training noise only.
    The arguments are those of `with_errors`; the question names a baseline.

    Raises SpecError where no row is so.
    """
    pairs, notes = _pair_up(table, rows, method, str(question.baseline))
    columns = [name for figure in CLAIMS.values() for name in figure.differences]
    table, joint = table.assign(**dict.fromkeys(columns, np.nan), sign_flip_p=np.nan), None
    for figure in _defined(pairs.done) if len(pairs.here) else ():
        of_rows = counts(pairs.done, rows, read, method, figure)
        paired = of_rows[pairs.here] - of_rows[pairs.there]
        some = np.flatnonzero(~np.isnan(paired.hits).all(axis=(1, 2, 3)))  # with a seed in common
        if not len(some):
            continue
        paired, places = paired[some], pairs.done.index[pairs.here[some]]
        found = estimate(paired)
        table.loc[places, figure.differences] = _differences(found, figure, question.confidence)
        if figure is question.claim:
            of_seeds = pd.DataFrame(paired.of_runs() / figure.percent, places, seeds_of(rows))
            joint = _joint(found, paired, of_seeds, figure)
            table.loc[places, "sign_flip_p"] = [sign_flip_p(differences) for differences in of_seeds.to_numpy()]
            said = pairs.verdicts(_verdicts(found, question.confidence), some, method)
            silent = table.loc[places, "verdict"]  # beneath its floor, or too few patients
            table.loc[places, "verdict"] = np.where(silent.ne(""), silent, said)
    lacking = table.loc[pairs.done.index[pairs.here], "delta_seeds"].isna().to_numpy()
    apart = _labels(pairs.done.iloc[pairs.here[lacking]], method)
    return table, [*notes, *(f"no Δ for {one}: no seed in common with {pairs.baseline}" for one in apart)], joint


@dataclass(frozen=True)
class _Pairs:
    """Which finished rows are compared with which: positions in `done`. field: what the baseline is told by."""

    done: pd.DataFrame
    here: NDArray[np.int64]
    there: NDArray[np.int64]
    field: str
    baseline: str

    def verdicts(self, verdicts: NDArray[np.str_], some: NDArray[np.int64], method: Sequence[str]) -> list[str]:
        """The verdicts on some pairs, but for those that differ in more than they should."""
        pairs = zip(self.here[some], self.there[some], strict=True)
        also = [_apart(self.done.iloc[one], self.done.iloc[other], method, self.field) for one, other in pairs]
        far = _made_elsewhere(self.done)
        elsewhere = far[self.here[some]] | far[self.there[some]]
        return [
            ELSEWHERE if unknown else f"differs also in {', '.join(names)}" if names else str(verdict)
            for unknown, names, verdict in zip(elsewhere, also, verdicts, strict=True)
        ]


def _pair_up(table: pd.DataFrame, rows: pd.DataFrame, method: Sequence[str], baseline: str) -> tuple[_Pairs, list[str]]:
    """Every row with its baseline, and a note on each that has none."""
    field, value = _field_and_value(table, rows, method, baseline)
    done = table[table["n_ok"] > 0]
    is_baseline = _is(done[field], value)
    against = [
        -1 if its else _baseline_of(row, done, is_baseline, method, field, baseline)
        for its, (_, row) in zip(is_baseline, done.iterrows(), strict=True)
    ]
    there = np.array([-1 if one is None else one for one in against], dtype=np.int64)
    here = np.flatnonzero(there >= 0)
    called = f"row with {field} {value}" if field != "loss" else f"'{value}'"
    alone = _labels(done[[one is None for one in against]], method)
    notes = [f"no Δ for {one}: no finished {called} that could be its baseline" for one in alone]
    return _Pairs(done, here, there[here], field, called), notes


def _labels(rows: pd.DataFrame, method: Sequence[str]) -> list[str]:
    return [label(row, method) for row in rows.drop_duplicates(list(method)).to_dict("records")]


def _joint(found: Estimates, paired: Counts, of_seeds: pd.DataFrame, figure: Claim) -> Paired:
    known = np.flatnonzero(found.se > 0)
    return Paired(
        pd.DataFrame(found.covariance / figure.percent**2, of_seeds.index, of_seeds.index),
        of_seeds,
        Spread.behind(found.of(known), paired.clips) if len(known) else None,
    )


def _differences(found: Estimates, figure: Claim, confidence: float) -> NDArray[np.float64]:
    """DIFFERENCES, (rows, 7), in the unit of the figure."""
    low, high = found.simultaneous(confidence).T
    least = found.smallest_claim(confidence)
    in_unit = np.stack([found.mean, low, high, least, found.se]) / figure.percent
    return np.vstack([in_unit, found.df, found.seeds]).T


def _verdicts(found: Estimates, confidence: float) -> NDArray[np.str_]:
    low, high = found.simultaneous(confidence).T
    told = (found.seeds >= SEEDS_FOR_A_CLAIM) & ((low > 0) | (high < 0))
    return np.where(told, np.where(found.mean > 0, "better", "worse"), ALIKE)


def counts(done: pd.DataFrame, rows: pd.DataFrame, read: BoardRows, method: Sequence[str], figure: Claim) -> Counts:
    """What a figure of some rows of a table is made of: (rows, seeds, P, J), seeds in their order."""
    return _counts(done, _runs_of(done, rows, method), read, figure)


@dataclass(frozen=True, eq=False)
class _RunsOf:
    """The finished runs behind the rows of a table: `number` says which row; seeds: of all of them, in order."""

    runs: pd.DataFrame
    seeds: pd.Index


def _runs_of(done: pd.DataFrame, rows: pd.DataFrame, method: Sequence[str]) -> _RunsOf:
    key = [*method, POINT]
    numbered = done[key].assign(number=np.arange(len(done)))
    finished = rows.loc[rows["state"] == "done", [*key, "run_id", "seed", "state", "design"]]
    return _RunsOf(finished.merge(numbered, on=key, how="inner"), seeds_of(rows))


def _counts(done: pd.DataFrame, of: _RunsOf, read: BoardRows, figure: Claim) -> Counts:
    _, of_runs = figure.read(read, of.runs)
    placed = np.full((len(done), len(of.seeds), *of_runs.hits.shape[2:]), np.nan)
    placed[of.runs["number"], of.seeds.get_indexer(pd.Index(of.runs["seed"]))] = of_runs.hits[:, 0]
    return Counts(placed, of_runs.clips, read.folds)


def _separately(done: pd.DataFrame, of: _RunsOf, read: BoardRows, figure: Claim) -> SeparateEstimates:
    """The estimates of each row of a table on its own, some at a time: the hits of all would be gigabytes."""

    def parts() -> Iterator[Counts]:
        for first in range(0, len(done), AT_ONCE):
            some = done.iloc[first : first + AT_ONCE]
            mine = of.runs[of.runs["number"].between(first, first + len(some) - 1)]
            mine = mine.assign(number=mine["number"] - first)
            yield _counts(some, replace(of, runs=mine), read, figure)

    return estimate_separately(parts())


def seeds_of(rows: pd.DataFrame) -> pd.Index:
    """The seeds of finished runs, in order."""
    return pd.Index(np.unique(rows.loc[rows["state"] == "done", "seed"]))


def _field_and_value(table: pd.DataFrame, rows: pd.DataFrame, method: Sequence[str], baseline: str) -> tuple[str, str]:
    """The column that a baseline is told by, and its value there. Raises SpecError where no row has it."""
    field, equals, value = baseline.partition("=")
    if not equals:
        field, value = "loss", baseline
    if field not in method:
        raise SpecError(
            f"--baseline {baseline}: rows do not differ in '{field}', or have no such field."
            f"{did_you_mean(field, method)}"
        )
    known = sorted({short(one) for one in rows[field] if one is not None})
    if not _is(table[field], value).any():
        raise SpecError(f"--baseline {baseline}: no row has this {field}.{did_you_mean(value, known)}")
    return field, value


def _is(column: pd.Series, value: str) -> pd.Series:
    return column.map(lambda one: value in (str(one), short(one)))


def _baseline_of(
    row: pd.Series, done: pd.DataFrame, is_baseline: pd.Series, method: Sequence[str], field: str, baseline: str
) -> int | None:
    """The position of a row's baseline, at its operating point: as many other columns alike as possible.

    Of another loss or backbone, or from other weights, it would be no baseline, unless that is what it is told by, or
    one of the two was made elsewhere.
    """
    fixed = [
        name for name in ("loss", "backbone", "weights", POINT) if name not in _freed(field, [*method, POINT], row)
    ]
    alike = (done[fixed] == row[fixed]).all(axis=1).to_numpy()
    elsewhere = _made_elsewhere(done) | (row.get("declared", ABSENT) != ABSENT)
    rivals = np.flatnonzero((alike | (elsewhere & (done[POINT] == row[POINT]))) & is_baseline)
    if not len(rivals):
        return None
    others = [name for name in method if name not in _freed(field, method, row)]
    shared = (done[others] == row[others]).sum(axis=1).to_numpy()[rivals]
    best = rivals[shared == shared.max()]
    if len(best) > 1 and elsewhere[best].all():
        return None  # whichever it is, the two have nothing else in common that is known
    if len(best) > 1:
        named = " or ".join(label(done.iloc[one], method) for one in best)
        raise ResultsError(f"--baseline {baseline}: is it {named}? Say so with --only.")
    return int(best[0])


def _made_elsewhere(done: pd.DataFrame) -> NDArray[np.bool_]:
    """Which rows are of predictions that another program made."""
    return done["declared"].ne(ABSENT).to_numpy() if "declared" in done else np.zeros(len(done), dtype=np.bool_)


def _freed(field: str, method: Sequence[str], row: pd.Series) -> set[str]:
    """The columns that may differ between a row and its baseline."""
    follows = FOLLOWS.get(field, ())
    if field in SHOWN_AS and row["backbone"].startswith("embeddings:"):
        follows += ("weights",)
    return {name for name in method if name == field or name.startswith(follows)} if follows else {field}


def _apart(one: pd.Series, other: pd.Series, method: Sequence[str], field: str) -> list[str]:
    """In what else than the baseline's field two rows differ."""
    return [name for name in method if name not in _freed(field, method, one) and one[name] != other[name]]
