"""From the split in distribution to the others: what the same runs lose, and which ranks move."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pandas as pd

from .leaderboard import POINT, Board


def with_shift(boards: Sequence[Board]) -> list[Board]:
    """The boards, those out of distribution with shift_mean, shift_sd and rank_change, where one is in distribution.

    shift: Score there minus Score in distribution, of the same run; mean and sd over the runs that both have.
    rank_change: ranks by mean Score at that operating point, among the methods that both have; positive: it rose.
    """
    reference = next((board for board in boards if in_distribution(board)), None)
    if reference is None:
        return list(boards)
    return [board if in_distribution(board) else _shifted(board, reference) for board in boards]


def in_distribution(board: Board) -> bool:
    """Whether the split is of the data that the runs learnt from."""
    return bool((board.runs["labels_id"] == board.runs["train_labels_id"]).all()) and len(board.runs) > 0


def _shifted(board: Board, reference: Board) -> Board:
    keys = ["run_id", POINT]
    both = board.runs.merge(reference.runs[[*keys, "score"]], on=keys, suffixes=("", "_before"))
    groups = both.assign(shift=both["score"] - both["score_before"]).groupby(["method", POINT])
    found = pd.DataFrame(
        {
            "shift_mean": groups["shift"].mean(),
            "shift_sd": groups["shift"].std(ddof=1),
            "here": groups["score"].mean(),
            "before": groups["score_before"].mean(),
        }
    )
    ranks = found[["here", "before"]].groupby(level=POINT).rank(ascending=False)
    found = found.assign(rank_change=ranks["before"] - ranks["here"]).drop(columns=["here", "before"])
    table = board.table.join(found, on=["method", POINT])
    return replace(board, table=table)
