"""What a board may claim: about which figure, for whom, and from which floor upwards."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ..core.errors import SpecError, did_you_mean
from ..data.splits import CLAIMS_FROM
from ..data.tasks import NORMAL
from ..evaluation.counts import Design
from ..evaluation.patients import effective_number
from ..evaluation.statistics import Counts, counts_of, family, ranking_counts
from ..results.index import BoardRows

DIFFERENCES = ("delta", "delta_low", "delta_high", "delta_least", "delta_se", "delta_df", "delta_seeds")
ONE_CLASS = "calls one class"
TOO_FEW = "too few patients"


@dataclass(frozen=True)
class Claim:
    """A figure that verdicts and ranks may be about, and whose error is estimated.

    column: its name among the figures of a row. prefix: of the columns that hold its intervals and differences. floor:
    what it is where nothing was heard; beneath: words for that. percent: its unit in percent.
    """

    name: str
    column: str
    heading: str
    prefix: str
    floor: float
    beneath: str
    percent: float
    digits: int
    read: Callable[[BoardRows, pd.DataFrame], tuple[Design, Counts]]

    @property
    def differences(self) -> list[str]:
        return [f"{self.prefix}{name}" for name in DIFFERENCES]


def _score(read: BoardRows, done: pd.DataFrame) -> tuple[Design, Counts]:
    design, hits = read.counts(done)
    return design, counts_of("score", hits[:, None].astype(np.float64), design.support.astype(np.float64))


def _auroc(read: BoardRows, done: pd.DataFrame) -> tuple[Design, Counts]:
    design, ranked = read.ranked(done)
    return design, ranking_counts(ranked[:, None], design.support.astype(np.float64))


# Always normal is right on all normal clips and on no other: a Score of 50. So is whoever calls a single class.
SCORE = Claim("score", "score", "Score", "", 50.0, "not above the floor", 1.0, 1, _score)
AUROC = Claim("auroc", "auroc_abnormal", "AUROC", "auroc_", 0.5, "not above chance", 100.0, 3, _auroc)
CLAIMS = {figure.name: figure for figure in (SCORE, AUROC)}


@dataclass(frozen=True)
class Question:
    """What a board is asked.

    baseline: what its rows are compared with, each with the row that is alike in all else: a loss, or FIELD=VALUE.
    claim: the figure that verdicts and ranks are about. splits: how many boards are shown together, over all of which
    ranks and intervals of differences hold.
    """

    baseline: str | None = None
    claim: Claim = SCORE
    splits: int = 1

    @property
    def confidence(self) -> float:
        """What each of these boards takes, so that all that they say together holds in 95 % of studies."""
        return family(self.splits)


JUST_RANK = Question()


def known_claim(name: str) -> Claim:
    """The figure that a board's verdicts and ranks are about. Raises SpecError."""
    if name not in CLAIMS:
        raise SpecError(f"--claim {name}: there is no such claim.{did_you_mean(name, CLAIMS)}")
    return CLAIMS[name]


def beneath(table: pd.DataFrame, claim: Claim) -> pd.Series:
    """Per row of a board why it may not stand first, in words; "" where it may, or where nothing is done."""
    recalls = table.filter(regex=r"^recall_.*_mean$")
    one_class = (recalls == 100).sum(axis=1).eq(1) & (recalls.fillna(0) == 0).sum(axis=1).eq(recalls.shape[1] - 1)
    low = table[f"{claim.column}_mean"] <= claim.floor
    return pd.Series(np.select([one_class & (claim is SCORE), low], [ONE_CLASS, claim.beneath], ""), table.index)


def patients_to_claim(design: Design) -> float:
    """Effective patients behind a Score or an AUROC: of the normal or of the abnormal clips, whichever are fewer."""
    if not design.patients:
        return 0.0
    normal = design.support[:, NORMAL]
    return min(effective_number(normal), effective_number(design.support.sum(axis=1) - normal))


def too_few(design: Design) -> bool:
    """Whether a split has too few patients for any verdict or rank."""
    return patients_to_claim(design) < CLAIMS_FROM
