"""The replication audit: the same runs, reported as the field reports them and as they may be reported.

Published work keeps the epoch that is best on the test set and calls each clip by argmax (protocol, section 4). Of runs
that tracked that epoch too, this lays the three ways to choose an epoch side by side, at both operating points.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..core.display import Display
from ..core.errors import ResultsError
from ..evaluation.counts import hit_columns
from ..evaluation.optimism import split_half_optimism
from ..evaluation.statistics import estimate
from ..results.calls import ARGMAX
from ..results.index import BoardRows, board_rows
from ..results.rows import NEVER_MIXED
from ..results.run import Run
from .claims import SCORE, Question
from .comparison import counts, with_baseline, with_errors
from .leaderboard import POINT, aggregate, task_of, that_belong_together, what_to_know
from .methods import ABSENT, labels, shown_apart, with_methods

RULES = ("oracle", "val", "last")


@dataclass(frozen=True)
class Audit:
    """How the Scores on a split depend on who chose the epoch.

    table: a row per method, rule and operating point; `method` is its label; score_mean, score_sd, low, high (95 %),
        n_ok; inflation, inflation_low, inflation_high: by how much it is above `val`, paired, 95 %; above_last,
        above_last_low, above_last_high: likewise above `last`; optimism and other_half: of the oracle at argmax, see
        `evaluation.optimism`, NaN where it was not tracked; and with a baseline delta, delta_least and verdict as on a
        board.
    shared: what all runs have in common.
    """

    split: str
    table: pd.DataFrame
    shared: dict[str, Any]
    baseline: str | None
    warnings: tuple[str, ...]

    def at(self, rule: str, point: str) -> dict[str, dict[str, Any]]:
        """Method → its row under one rule at one operating point."""
        chosen = self.table[(self.table["rule"] == rule) & (self.table[POINT] == point)]
        return {row["method"]: {str(name): value for name, value in row.items()} for row in chosen.to_dict("records")}

    @property
    def methods(self) -> list[str]:
        """Best first as the field would have it: oracle, argmax."""
        oracle = self.at("oracle", "argmax")
        return sorted(oracle, key=lambda method: -oracle[method]["score_mean"])


@dataclass(frozen=True)
class _Under:
    """The runs under one rule."""

    rule: str
    read: BoardRows
    rows: pd.DataFrame
    method: list[str]
    table: pd.DataFrame


def audit(
    runs: Sequence[Run],
    split: str,
    only: Mapping[str, str] | None = None,
    *,
    baseline: str | None = None,
    cache: Path | None = None,
    display: Display | None = None,
) -> Audit:
    """Every method under every rule; the arguments are those of `leaderboard`.

    Raises ResultsError where no run tracked its best test epoch, or where the runs do not belong together.
    """
    reads = {name: board_rows(runs, split, name, cache=cache, display=display) for name in RULES}
    trained = {name: read.rows[read.rows["declared"] == ABSENT] for name, read in reads.items()}
    done = {name: set(rows["run_id"][rows["state"] == "done"]) for name, rows in trained.items()}
    tracked = set.intersection(*done.values())
    if not tracked:
        raise ResultsError(
            f"No finished run on '{split}' kept the epochs of {', '.join(RULES)}, and they cannot be "
            "recovered afterwards. Make runs that do: rsbench run --loss LOSS --backbone BACKBONE --train SPLIT "
            f"--test {split} --select {','.join(RULES)}"
        )
    under: dict[str, _Under] = {}
    notes: list[str] = []
    for name, read in reads.items():
        read = replace(read, rows=read.rows[read.rows["run_id"].isin(tracked)])
        methods = with_methods(that_belong_together(runs, read, split, name, only or {}, ()), ())
        rows, method = methods.rows, methods.names
        task = task_of(runs, rows)
        table, more = with_errors(aggregate(methods, task), rows, read, method)
        notes += more
        if baseline is not None:
            table, more, _ = with_baseline(table, rows, read, method, Question(baseline))
            notes += more
        under[name] = _Under(name, read, rows, method, table)
        notes += [f"left out: {why}" for why in read.damaged.values()]
    of_val = under["val"]
    names, alike = shown_apart(of_val.table, of_val.method)
    shared = {name: of_val.rows[name].iloc[0] for name in NEVER_MIXED} | alike
    parts = []
    for name, one in under.items():
        table = one.table.assign(rule=name, method=labels(one.table, names))
        for column, other in (("inflation", of_val), ("above_last", under["last"])):
            table = table.assign(**_above(one, other, column))
        parts.append(table.assign(**_optimism(one, split, {run.run_id: run for run in runs})))
    left_out = len(set(trained["val"]["run_id"]) - tracked)
    if left_out:
        notes.append(
            f"{left_out} run{'s' * (left_out > 1)} left out: not done, or not with the epochs of {', '.join(RULES)}"
        )
    warnings = (*what_to_know(of_val.rows, reads["val"].judged(of_val.rows).effective_patients(task)), *notes)
    return Audit(split, pd.concat(parts, ignore_index=True), shared, baseline, tuple(dict.fromkeys(warnings)))


def _above(one: _Under, other: _Under, column: str) -> dict[str, pd.Series]:
    """How much higher the Scores under one rule are than under another, on the same patients and seeds, with 95 %."""
    names = [column, f"{column}_low", f"{column}_high"]
    found = pd.DataFrame(np.nan, one.table.index, names)
    for _, of_point in one.table.groupby(POINT, sort=False):
        here = counts(of_point, one.rows, one.read, one.method, SCORE)
        difference = estimate(here - counts(of_point, other.rows, other.read, other.method, SCORE))
        found.loc[of_point.index] = np.column_stack([difference.mean, difference.intervals()])
    return {name: found[name] for name in names}


def _optimism(one: _Under, split: str, runs: Mapping[str, Run]) -> dict[str, pd.Series]:
    """What the oracle's choice flatters itself by: chosen on half of the patients and judged on the other half."""
    at_argmax = one.rows[(one.rows[POINT] == ARGMAX) & (one.rows["state"] == "done")]
    rows = []
    for run_id in at_argmax["run_id"] if one.rule == "oracle" else ():
        tracked = runs[run_id].tracked(split)
        if tracked is not None:
            design, _ = one.read.counts(at_argmax)
            hits = tracked.sort_values(["epoch", "patient"])[hit_columns(runs[run_id].task)].to_numpy(dtype=np.int64)
            found = split_half_optimism(hits.reshape(-1, len(design.patients), hits.shape[1]), design.support)
            rows.append({"run_id": run_id, "optimism": found.points, "other_half": found.other_half})
    columns = ["optimism", "other_half"]
    of_runs = at_argmax.merge(pd.DataFrame(rows, columns=["run_id", *columns]), on="run_id")
    means = of_runs.groupby([*one.method, POINT], dropna=False)[columns].mean().reset_index()
    placed = one.table[[*one.method, POINT]].merge(means, on=[*one.method, POINT], how="left")
    return {name: placed[name].astype(float).set_axis(one.table.index) for name in columns}
