"""What several studies say together of a loss: the random-effects mean of its differences from a baseline."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import scipy
from numpy.typing import NDArray

from ..core.errors import ResultsError
from ..evaluation.patients import CONFIDENCE
from ..evaluation.statistics import random_effects
from .leaderboard import POINT, Board

STUDIES = ["loss", POINT, "study", "delta", "low", "high", "se"]
SUMMARY = ["loss", POINT, "mean", "low", "high", "tau", "studies"]


@dataclass(frozen=True)
class Studies:
    """Differences of losses from a baseline.

    table: STUDIES, a row per method of a board and operating point. covariance: (rows, rows) of their errors.
    """

    table: pd.DataFrame
    covariance: NDArray[np.float64]


def studies(boards: Sequence[Board]) -> Studies:
    """Each method's difference from the baseline on each split, of the figure that boards claim, and its own interval.

    A study is a split and all that names the method but its loss: mostly a backbone. The interval is not simultaneous.
    Studies on one split share its patients, and studies of the same seeds share these seeds' luck, so that they err
    together; between two splits as far as seeds go.

    Raises ResultsError where there is none: a difference has an error only over two seeds or more.
    """
    question = boards[0].question
    delta, se, df = (f"{question.claim.prefix}{name}" for name in ("delta", "delta_se", "delta_df"))
    found, of_seeds, blocks = [], [], []
    for board in boards:
        rows = board.table[board.table[se].gt(0)]
        if board.paired is None or rows.empty:
            continue
        half = scipy.special.stdtrit(rows[df], (1 + CONFIDENCE) / 2) * rows[se]
        found.append(
            pd.DataFrame(
                {
                    "loss": rows["loss"],
                    POINT: rows[POINT],
                    "study": rows["study"] + " · " + board.split,
                    "delta": rows[delta],
                    "low": rows[delta] - half,
                    "high": rows[delta] + half,
                    "se": rows[se],
                }
            )
        )
        blocks.append(board.paired.covariance.loc[rows.index, rows.index].to_numpy())
        of_seeds.append(board.paired.of_seeds.loc[rows.index])
    if not found:
        raise ResultsError(
            f"--summary: no difference from {question.baseline} has an error to weigh it by. It takes another loss on "
            "the same backbone, and two seeds or more of both."
        )
    return Studies(pd.concat(found, ignore_index=True)[STUDIES], _joint(blocks, pd.concat(of_seeds)))


def _joint(blocks: Sequence[NDArray[np.float64]], of_seeds: pd.DataFrame) -> NDArray[np.float64]:
    """The covariance of all boards' differences: their own within a board, that of the seeds they share between two."""
    centred = of_seeds.sub(of_seeds.mean(axis=1), axis=0)
    both = of_seeds.notna().to_numpy(dtype=float)
    shared = both @ both.T
    products = centred.fillna(0).to_numpy() @ centred.fillna(0).to_numpy().T
    joint = np.divide(products, shared * (shared - 1), out=np.zeros_like(products), where=shared > 1)
    start = 0
    for block in blocks:
        joint[start : start + len(block), start : start + len(block)] = block
        start += len(block)
    return joint


def summarise(found: Studies) -> pd.DataFrame:
    """SUMMARY: per loss and operating point the mean over its studies, its 95 % interval, and τ, their true spread."""
    rows = []
    for (loss, point), group in found.table.groupby(["loss", POINT], sort=False):
        of_group = group.index.to_numpy(dtype=np.int64)
        covariance = found.covariance[np.ix_(of_group, of_group)]
        whole = random_effects(group["delta"].to_numpy(), covariance)
        rows.append((loss, point, whole.mean, *whole.interval, whole.tau, whole.studies))
    return pd.DataFrame(rows, columns=SUMMARY)
