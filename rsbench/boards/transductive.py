"""The transductive board: runs at operating points that look at the test clips as a whole, though not at their labels.

It stands apart from all other boards, whose calls of a clip do not depend on what else is to be called.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..core.display import Display
from ..core.errors import ResultsError, SpecError
from ..data.splits import known_split
from ..data.tasks import NORMAL
from ..evaluation.counts import CodedClips
from ..evaluation.metrics import FloatArray
from ..evaluation.selection import rule
from ..evaluation.statistics import counts_of, estimate
from ..evaluation.transduction import ORACLE, POINTS, calls_at_points
from ..results.calls import ARGMAX
from ..results.index import board_rows
from ..results.rows import NEVER_MIXED
from ..results.run import Run
from .comparison import seeds_of
from .leaderboard import that_belong_together, what_to_know
from .methods import labels, shown_apart, with_methods

REFERENCE = "val-bias"


@dataclass(frozen=True)
class Transductive:
    """Methods at POINTS.

    table: a row per method and point, methods best first by val-bias, points in their order; `method`, `point`, n_ok,
        score_mean, score_sd, sp_mean, se_mean, called_normal (percent of the clips, mean over seeds), low and high
        (95 %); delta, delta_low, delta_high: Score beyond that of val-bias, paired, of a method's points together 95 %.
    shared: what all runs have in common.
    """

    split: str
    rule: str
    table: pd.DataFrame
    shared: dict[str, Any]
    warnings: tuple[str, ...]

    @property
    def header(self) -> str:
        return rule(self.rule).header


def transductive(
    runs: Sequence[Run],
    split: str,
    selection: str = "val",
    only: Mapping[str, str] | None = None,
    *,
    cache: Path | None = None,
    display: Display | None = None,
) -> Transductive:
    """The transductive board of a split; the arguments are those of `leaderboard`.

    Raises:
        SpecError: a rule that chose on test, an unknown one, or a split with folds.
        ResultsError: no finished run has validation predictions, or the runs do not belong together.
    """
    if rule(selection).judged_on == "test":
        raise SpecError(f"--select {selection}: its epoch was chosen on test; what looks at test may not begin there.")
    known = known_split(split)
    if known is not None and known.folds:
        raise SpecError(
            f"--split {split}: its folds have a model each, and each would look at its own test clips alone."
        )
    display = display or Display(quiet=True)
    read = board_rows(runs, split, selection, cache=cache, display=display)
    found = that_belong_together(runs, read, split, selection, only or {}, ())
    methods = with_methods(found, ())
    names, alike = shown_apart(methods.rows, methods.names)
    done = methods.rows[(methods.rows["state"] == "done") & (methods.rows["operating_point"] == ARGMAX)]
    done = done.assign(method=labels(done, names))
    by_id = {run.run_id: run for run in runs}
    told: dict[str, _OfRun] = {}
    with display.track("calling", len(done)) as advance:
        for run_id in done["run_id"]:
            of_run = _of_run(by_id[run_id], split, selection)
            advance(1, "")
            if of_run is not None:
                told[run_id] = of_run
    if not told:
        raise ResultsError(
            f"No finished run on '{split}' under '{selection}' has validation clips of both kinds, by which these "
            "operating points are chosen. Make one with validation.fraction above 0."
        )
    silent = len(done) - len(told)
    notes = [f"left out: {silent} runs without validation clips of both kinds"] if silent else []
    kept = done[done["run_id"].isin(told)]
    support = read.judged(kept).support.astype(np.float64)
    parts = [_method_rows(name, rows, told, support) for name, rows in kept.groupby("method", sort=False)]
    parts.sort(key=lambda part: -part["score_mean"].iloc[0])
    shared = {name: found[name].iloc[0] for name in NEVER_MIXED if found[name].nunique() == 1} | alike
    effective = read.judged(found).effective_patients(by_id[kept["run_id"].iloc[0]].task)
    warnings = (*what_to_know(found, effective), *notes)
    return Transductive(split, selection, pd.concat(parts, ignore_index=True), shared, warnings)


@dataclass(frozen=True, eq=False)
class _OfRun:
    """hits: (points, P, C + 1), see `count_hits`. called_normal: (points,) share of the clips."""

    hits: FloatArray
    called_normal: FloatArray


def _of_run(run: Run, split: str, selection: str) -> _OfRun | None:
    """A run at all points; None where it has no validation to choose by."""
    stored = [run.predictions(name) for name in run.data.trained_on(run.spec) if name in run.datasets]
    if not stored:
        return None
    chosen = rule(selection).selection(split)
    validation = pd.concat([of[(of["part"] == "validation") & (of["selection"] == chosen)] for of in stored])
    clips = run.calls(split, selection)
    logits = validation[list(run.task.logit_columns)].to_numpy(dtype=np.float64)
    calls = calls_at_points(validation["label"], logits, clips.labels, clips.logits)
    if not calls:
        return None
    coded = CodedClips.of(clips.clips, run.task)
    hits = np.stack([coded.hits(calls[point]) for point in POINTS]).astype(np.float64)
    return _OfRun(hits, np.array([(calls[point] == NORMAL).mean() for point in POINTS]))


def _method_rows(name: object, rows: pd.DataFrame, told: Mapping[str, _OfRun], support: FloatArray) -> pd.DataFrame:
    """A method's rows, one per point."""
    seeds = seeds_of(rows)
    hits = np.full((len(POINTS), len(seeds), len(support), support.shape[1] + 1), np.nan)
    for run_id, seed in zip(rows["run_id"], rows["seed"], strict=True):
        hits[:, seeds.get_loc(seed)] = told[run_id].hits
    score = counts_of("score", hits, support)
    of_runs, found = score.of_runs(), estimate(score)
    beyond = estimate(score - score[[list(POINTS).index(REFERENCE)]])
    together = beyond.simultaneous()
    table = pd.DataFrame({"method": name, "point": list(POINTS), "n_ok": len(seeds)})
    table = table.assign(score_mean=found.mean, score_sd=of_runs.std(axis=1, ddof=1) if len(seeds) > 1 else np.nan)
    for figure in ("sp", "se"):
        table[f"{figure}_mean"] = counts_of(figure, hits, support).of_runs().mean(axis=1)
    table["called_normal"] = 100 * np.mean([told[run_id].called_normal for run_id in rows["run_id"]], axis=0)
    table[["low", "high"]] = np.clip(found.intervals(), 0, 100)
    table["delta"] = beyond.mean
    table[["delta_low", "delta_high"]] = together
    table.loc[table["point"] == REFERENCE, ["delta", "delta_low", "delta_high"]] = np.nan
    # What test labels chose has no error that an interval could tell.
    table.loc[table["point"] == ORACLE, ["low", "high", "delta_low", "delta_high"]] = np.nan
    return table
