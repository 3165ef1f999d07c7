"""How the epoch was chosen: named rules, printed in the header of every table."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from ..core.errors import SpecError, did_you_mean, shown


@dataclass(frozen=True)
class Rule:
    """A rule that says which epoch a result is taken from.

    header: what a table says above its figures. judged_on: the clips whose figure decides; "folds" are trainings of
    their own; None takes the last epoch; "elsewhere" is nobody's to ask for. figure: which decides, the argmax Score or
    the mean AUROC (see `metrics`).
    """

    name: str
    header: str
    summary: str
    judged_on: Literal["validation", "test", "folds", "elsewhere"] | None
    figure: Literal["score", "mean_auroc"] = "score"

    def selection(self, split: str) -> str:
        """The mark that stored predictions carry: one epoch for all splits, or ("oracle:<split>") one for each."""
        return f"{self.name}:{split}" if self.judged_on == "test" else self.name


def better(candidate_score: float, best_score: float | None) -> bool:
    """Whether a figure beats the best so far. The first epoch wins ties; NaN never wins, and never stands."""
    if math.isnan(candidate_score):
        return False
    return best_score is None or math.isnan(best_score) or candidate_score > best_score


RULES = {
    rule.name: rule
    for rule in (
        Rule(
            name="val",
            header="selected: val (best Score on validation patients)",
            summary="The epoch with the best Score on validation patients, who are in no test split.",
            judged_on="validation",
        ),
        Rule(
            name="val-auroc",
            header="selected: val-auroc (best mean AUROC of abnormal and of each finding on validation patients)",
            summary="The epoch that ranks validation patients' clips best, wherever the normal class begins.",
            judged_on="validation",
            figure="mean_auroc",
        ),
        Rule(
            name="last",
            header="selected: last (the last epoch, nothing chosen)",
            summary="The last epoch; needs no validation.",
            judged_on=None,
        ),
        Rule(
            name="cv-refit",
            header="selected: cv-refit (epoch and offset chosen on folds of patients, then one fit on all of them)",
            summary="Folds of the training patients choose epoch and offset; one more training is on all of them.",
            judged_on="folds",
        ),
        Rule(
            name="oracle",
            header="selected: ORACLE (best Score on the TEST split itself: inflated, not a result)",
            summary="The epoch with the best Score on each test split, chosen on test; shows what that inflates.",
            judged_on="test",
        ),
        Rule(
            name="unknown",
            header="selected: UNKNOWN (predictions made elsewhere; the epoch was perhaps chosen on test)",
            summary="Of predictions made elsewhere: nobody says how the epoch was chosen.",
            judged_on="elsewhere",
        ),
    )
}

# What can be declared of predictions made elsewhere, in the words that published results are described in, and the rule
# of one's own runs that means the same.
DECLARED = {"test-best": "oracle", "val": "val", "last": "last", "unknown": "unknown"}


def rule(name: str) -> Rule:
    """A rule by name. Raises SpecError with a suggestion."""
    if name not in RULES:
        raise SpecError(f"select: there is no selection rule {shown(name)}.{did_you_mean(name, RULES)}")
    return RULES[name]
