"""What several studies say together of a loss: the random-effects mean of its differences from a baseline."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from rich import box
from rich.table import Table
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


def summary_table(summary: pd.DataFrame, baseline: str) -> Table:
    """The summary, a row per loss and operating point."""
    table = Table(
        title=f"Δ of the Score from {baseline}, over backbones and splits: random effects",
        title_justify="left",
        caption="Paule–Mandel's τ (points of Score), Hartung–Knapp's 95 % interval; splits of one run share its luck",
        caption_justify="left",
        box=box.SIMPLE_HEAD,
    )
    for heading in ("loss", "at"):
        table.add_column(heading)
    for heading in ("Δ", "95 %", "τ", "studies"):
        table.add_column(heading, justify="right")
    for row in summary.to_dict("records"):
        interval = f"{row['low']:+z.1f} … {row['high']:+z.1f}"
        table.add_row(
            row["loss"], row[POINT], f"{row['mean']:+z.1f}", interval, f"{row['tau']:.1f}", str(row["studies"])
        )
    return table
