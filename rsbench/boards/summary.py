"""What several studies say together of a loss: the random-effects mean of its differences from a baseline."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from scipy import stats

from ..core.errors import ResultsError
from ..evaluation.patients import CONFIDENCE
from ..evaluation.statistics import random_effects
from .leaderboard import POINT, Board

STUDIES = ["loss", POINT, "study", "delta", "low", "high", "se"]
SUMMARY = ["loss", POINT, "mean", "low", "high", "tau", "studies"]


def studies(boards: Sequence[Board]) -> pd.DataFrame:
    """STUDIES: each method's difference from the baseline on each split, with its own 95 % interval.

    A study is a split and all that names the method but its loss: mostly a backbone. The interval is not simultaneous.

    Raises ResultsError where there is none: a difference has an error only over two seeds or more.
    """
    found = []
    for board in boards:
        rows = board.table[board.table["delta_se"].gt(0)]
        quantile = stats.t.ppf((1 + CONFIDENCE) / 2, rows["delta_df"])
        found.append(
            pd.DataFrame(
                {
                    "loss": rows["loss"],
                    POINT: rows[POINT],
                    "study": rows["study"] + " · " + board.split,
                    "delta": rows["delta"],
                    "low": rows["delta"] - quantile * rows["delta_se"],
                    "high": rows["delta"] + quantile * rows["delta_se"],
                    "se": rows["delta_se"],
                }
            )
        )
    whole = pd.concat(found, ignore_index=True)[STUDIES]
    if whole.empty:
        raise ResultsError(
            f"--summary: no difference from {boards[0].baseline} has an error to weigh it by. It takes another loss on "
            "the same backbone, and two seeds or more of both."
        )
    return whole


def summarise(found: pd.DataFrame) -> pd.DataFrame:
    """SUMMARY: per loss and operating point the mean over STUDIES, its 95 % interval, and τ, their true spread.

    Studies are taken as independent. Splits that the same runs are judged on share those runs' luck, which makes the
    interval a little too narrow; other backbones and other patients do not.
    """
    rows = []
    for (loss, point), group in found.groupby(["loss", POINT], sort=False):
        whole = random_effects(group["delta"].to_numpy(), group["se"].to_numpy())
        rows.append((loss, point, whole.mean, *whole.interval, whole.tau, whole.studies))
    return pd.DataFrame(rows, columns=SUMMARY)
