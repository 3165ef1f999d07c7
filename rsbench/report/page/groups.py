"""Which runs may stand side by side: the results folder as groups, each with boards of its own.

What a single board refuses to mix (frozen and fine-tuned, synthetic and real, other training data) is here laid out one
group after the other.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from ...boards.audit import RULES, Audit, audit
from ...boards.claims import Question
from ...boards.leaderboard import Board, in_distribution, leaderboard, with_shift
from ...core.display import Display
from ...core.errors import ResultsError, SpecError, did_you_mean
from ...results.index import board_rows
from ...results.rows import NEVER_MIXED
from ...results.run import PREDICTIONS_ONLY, Run
from ...results.schema import State

STATES: tuple[State, ...] = ("done", "running", "interrupted", "failed")  # in the order that the page tells them
# The rule that a run is shown under is the first of these that it was made with.
PREFERRED = ("val", "val-auroc", "cv-refit", "last", "oracle", "unknown")
COMPARED_WITH = "ce"  # where nobody says with what: every work of the field reports it

OF_SPLIT = ("split_version", "labels_id")  # the columns of NEVER_MIXED that two splits of one group differ in
OF_RUN = tuple(name for name in NEVER_MIXED if name not in OF_SPLIT)


@dataclass(frozen=True, eq=False)
class Group:
    """Runs that may stand on one board per split.

    rule: the selection rule of the boards. shared: column of OF_RUN → what all runs have in it.
    boards: in distribution first. refused: a line for each board that cannot be made, with the reason. uncompared: one
    for each that is there without its differences.
    audits: of the splits whose runs tracked the best test epoch.
    runs: those behind it, by run id.
    """

    rule: str
    shared: Mapping[str, Any]
    boards: tuple[Board, ...]
    refused: tuple[str, ...]
    uncompared: tuple[str, ...]
    audits: tuple[Audit, ...]
    runs: Mapping[str, Run]

    @property
    def name(self) -> str:
        """How it is told from others in a few words."""
        kind = "synthetic, " if self.shared["synthetic"] else ""
        track = PREDICTIONS_ONLY if pd.isna(self.shared["track"]) else self.shared["track"]
        return f"{kind}{track}, trained on {self.shared['train'].rpartition(' ')[0]}"

    @property
    def losses(self) -> set[str]:
        return {loss for board in self.boards for loss in board.table["loss"]}


@dataclass(frozen=True, eq=False)
class Results:
    """A results folder, read.

    baseline: the loss that others are compared with. states: how many runs are in which state, those that never read
    their data included. damaged: a line for each folder that cannot be read.
    """

    groups: tuple[Group, ...]
    baseline: str
    states: Mapping[str, int]
    damaged: tuple[str, ...]


def read_results(
    every: Sequence[Run], baseline: str | None, cache: Path, display: Display, *, audits: bool = True
) -> Results:
    """Every run of a folder in its group, the largest group of real recordings first.

    Args:
        every: all runs.
        baseline: the loss that others are compared with, in those groups that have it; None: COMPARED_WITH.
        cache: see `board_rows`.
        display: shows how far a long reading has come.
        audits: whether splits are audited too, which takes longer than their boards.

    Raises ResultsError where no run has come as far as its data, SpecError where none has the baseline asked for.
    """
    runs, states, damaged = _readable(every)
    whole = [run for run in every if run.run_id in runs]
    rows = _rows(whole, runs, cache, display)
    if rows.empty:
        lines = "".join(f"\ndamaged: {why}" for why in damaged)
        raise ResultsError(f"None of these {len(every)} runs has read its data yet: nothing to report on.{lines}")
    if baseline is not None and baseline not in set(rows["loss"]):
        raise SpecError(f"--baseline {baseline}: no run has this loss.{did_you_mean(baseline, set(rows['loss']))}")
    against = baseline or COMPARED_WITH
    groups = [
        _group(whole, runs, of_group, against, cache, audits)
        for _, of_group in rows.groupby(["rule", *OF_RUN], sort=False)
    ]
    # Predictions made elsewhere stand beside the runs of those groups; where there are none, they are among themselves.
    shown = {run_id for group in groups for run_id in group.runs}
    alone = rows[rows["run_id"].map(lambda run_id: run_id not in shown)]
    groups += [
        _group(whole, runs, of_group, against, cache, audits)
        for _, of_group in alone.groupby(["rule", *OF_RUN], sort=False, dropna=False)
    ]
    groups.sort(key=lambda group: (bool(group.shared["synthetic"]), -len(group.runs)))
    return Results(tuple(groups), against, states, tuple(damaged))


def _readable(every: Sequence[Run]) -> tuple[dict[str, Run], dict[str, int], list[str]]:
    """Runs that came as far as reading their data; how many are in which state; what is wrong with the others."""
    runs: dict[str, Run] = {}
    states: Counter[str] = Counter()
    damaged = []
    for run in every:
        try:
            if (state := run.state) != "absent":
                if run.begun:
                    _ = run.spec, run.data  # read, so that a damaged one is found here
                    _ = state == "done" and (run.epochs, run.selection, run.metrics, run.environment)
                    runs[run.run_id] = run
                states[state] += 1
        except ResultsError as error:
            damaged.append(str(error))
    return runs, {state: states[state] for state in STATES if states[state]}, damaged


def _rows(every: Sequence[Run], runs: Mapping[str, Run], cache: Path, display: Display) -> pd.DataFrame:
    """A row per run and split that it was asked to judge, with NEVER_MIXED, under the rule that it is shown under."""
    rules = {run_id: next(rule for rule in PREFERRED if rule in run.spec.select) for run_id, run in runs.items()}
    found = []
    for rule in dict.fromkeys(rules.values()):
        of_rule = [run for run in runs.values() if rules[run.run_id] == rule]
        for split in dict.fromkeys(split for run in of_rule for split in run.spec.data.test):
            asked = [run.run_id for run in of_rule if split in run.spec.data.test]
            rows = board_rows(every, split, rule, cache=cache, display=display).rows
            rows = rows[rows["run_id"].isin(asked)].drop_duplicates("run_id")
            found.append(rows[["run_id", "loss", *NEVER_MIXED]].assign(rule=rule, split=split))
    return pd.concat(found, ignore_index=True) if found else pd.DataFrame()


def _group(
    every: Sequence[Run], runs: Mapping[str, Run], rows: pd.DataFrame, baseline: str, cache: Path, with_audits: bool
) -> Group:
    shared = {name: rows[name].iloc[0] for name in OF_RUN}
    rule = str(rows["rule"].iloc[0])
    boards: list[Board] = []
    audits: list[Audit] = []
    refused: list[str] = []
    uncompared: list[str] = []
    for (split, *of_split), of_board in rows.groupby(["split", *OF_SPLIT], sort=False):
        chosen = {**shared, **dict(zip(OF_SPLIT, of_split, strict=True))}
        only = {name: str(value) for name, value in chosen.items() if not pd.isna(value)}
        against = baseline if baseline in set(of_board["loss"]) else None
        try:
            boards.append(_board(every, str(split), rule, only, against, cache, uncompared))
        except ResultsError as error:
            refused.append(f"No board of {split}: {error}")
            continue
        behind = (runs[run_id].spec for run_id in boards[-1].runs["run_id"])
        if with_audits and (tracked := {spec.loss.name for spec in behind if set(RULES) <= set(spec.select)}):
            against = boards[-1].baseline if boards[-1].baseline in tracked else None
            audits.append(audit(every, str(split), only, baseline=against, cache=cache))
    boards.sort(key=lambda board: not in_distribution(board))
    in_group = dict.fromkeys([*rows["run_id"], *(run_id for board in boards for run_id in board.runs["run_id"])])
    mine = {run_id: runs[run_id] for run_id in in_group}
    return Group(rule, shared, tuple(with_shift(boards)), tuple(refused), tuple(uncompared), tuple(audits), mine)


def _board(
    every: Sequence[Run],
    split: str,
    rule: str,
    only: Mapping[str, str],
    baseline: str | None,
    cache: Path,
    uncompared: list[str],
) -> Board:
    """The board, with differences where it is clear from what; else the reason is added to `uncompared`."""
    if baseline is not None:
        try:
            return leaderboard(every, split, rule, only, question=Question(baseline), cache=cache)
        except ResultsError as error:
            board = leaderboard(every, split, rule, only, cache=cache)
            uncompared.append(f"No differences on {split}: {error}")
            return board
    return leaderboard(every, split, rule, only, cache=cache)


def told_apart(groups: Iterable[Group]) -> list[str]:
    """A heading per group: its name, and what else tells it from the others of that name."""
    listed = list(groups)
    differing = [name for name in OF_RUN if len({group.shared[name] for group in listed}) > 1]
    rest = [name for name in differing if name not in ("synthetic", "track", "train", "train_labels_id")]
    named = Counter(group.name for group in listed)
    return [
        group.name
        + "".join(f", {name.replace('_', ' ')} {group.shared[name]}" for name in rest if named[group.name] > 1)
        for group in listed
    ]
