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
from ..evaluation.statistics import estimate
from ..results.index import BoardRows, board_rows
from ..results.rows import NEVER_MIXED
from ..results.run import Run
from .claims import SCORE, Question
from .comparison import counts, with_baseline, with_errors
from .leaderboard import POINT, aggregate, that_belong_together, what_to_know
from .methods import labels, shown_apart, with_methods

RULES = ("oracle", "val", "last")


@dataclass(frozen=True)
class Audit:
    """How the Scores on a split depend on who chose the epoch.

    table: a row per method, rule and operating point; `method` is its label; score_mean, score_sd, low, high (95 %),
        n_ok; inflation, inflation_low, inflation_high: by how much it is above `val`, paired, 95 %; and with a baseline
        delta, delta_least and verdict as on a board.
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
    done = {name: set(read.rows["run_id"][read.rows["state"] == "done"]) for name, read in reads.items()}
    tracked = set.intersection(*done.values())
    if not tracked:
        raise ResultsError(
            f"No finished run on '{split}' kept the epochs of {', '.join(RULES)}, and they cannot be "
            "recovered afterwards. Make runs that do: rsbench run --loss ce --backbone cnn6 --select val,last,oracle"
        )
    under: dict[str, _Under] = {}
    notes: list[str] = []
    for name, read in reads.items():
        read = replace(read, rows=read.rows[read.rows["run_id"].isin(tracked)])
        methods = with_methods(that_belong_together(runs, read, split, name, only or {}, ()), ())
        rows, method = methods.rows, methods.names
        table, more = with_errors(aggregate(methods), rows, read, method)
        notes += more
        if baseline is not None:
            table, more, _ = with_baseline(table, rows, read, method, Question(baseline))
            notes += more
        under[name] = _Under(name, read, rows, method, table)
        notes += [f"left out: {why}" for why in read.damaged.values()]
    of_val = under["val"]
    names, alike = shown_apart(of_val.table, of_val.method)
    shared = {name: of_val.rows[name].iloc[0] for name in NEVER_MIXED} | alike
    parts = [_inflated(one, of_val).assign(rule=name, method=labels(one.table, names)) for name, one in under.items()]
    left_out = len(set(reads["val"].rows["run_id"]) - tracked)
    if left_out:
        notes.append(
            f"{left_out} run{'s' * (left_out > 1)} left out: not done, or not with the epochs of {', '.join(RULES)}"
        )
    warnings = (*what_to_know(of_val.rows, reads["val"].counts(of_val.rows)[0]), *notes)
    return Audit(split, pd.concat(parts, ignore_index=True), shared, baseline, tuple(dict.fromkeys(warnings)))


def _inflated(one: _Under, val: _Under) -> pd.DataFrame:
    """The table of a rule with how much higher its Scores are than under `val`, on the same patients and seeds."""
    table = one.table.assign(**dict.fromkeys(["inflation", "inflation_low", "inflation_high"], np.nan))
    for _, of_point in table.groupby(POINT, sort=False):
        here = counts(of_point, one.rows, one.read, one.method, SCORE)
        found = estimate(here - counts(of_point, val.rows, val.read, val.method, SCORE))
        table.loc[of_point.index, "inflation"] = found.mean
        table.loc[of_point.index, ["inflation_low", "inflation_high"]] = found.intervals()
    return table
