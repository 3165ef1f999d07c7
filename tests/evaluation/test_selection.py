"""The rules that choose an epoch."""

from __future__ import annotations

import math

import pytest

from rsbench.core.errors import SpecError
from rsbench.evaluation.selection import RULES, better, rule


def kept_epoch(scores: list[float]) -> int | None:
    kept, best = None, None
    for epoch, score in enumerate(scores):
        if better(score, best):
            kept, best = epoch, score
    return kept


@pytest.mark.parametrize(
    ("scores", "kept"),
    [
        ([50, 60, 55], 1),
        ([60, 60, 60], 0),
        ([math.nan, 40, math.nan, 30], 1),
        ([math.nan, math.nan], None),
        ([0.0], 0),
    ],
)
def test_the_first_best_epoch_is_kept(scores: list[float], kept: int | None) -> None:
    assert kept_epoch(scores) == kept


def test_nan_never_wins_and_never_stands() -> None:
    assert not better(math.nan, None)
    assert not better(math.nan, 10.0)
    assert better(10.0, math.nan)


def test_headers_say_what_was_chosen_on() -> None:
    assert rule("val").header == "selected: val (best Score on validation patients)"
    assert "ORACLE" in rule("oracle").header
    assert "test" in rule("oracle").header.lower()
    assert [name for name in RULES if RULES[name].judged_on == "validation"] == ["val", "val-auroc"]
    assert {RULES[name].figure for name in RULES if name != "val-auroc"} == {"score"}
    assert "best mean AUROC" in rule("val-auroc").header


def test_only_the_oracle_has_an_epoch_per_split() -> None:
    assert rule("oracle").selection("sprsound") == "oracle:sprsound"
    assert rule("val").selection("sprsound") == "val"
    assert rule("last").selection("sprsound") == "last"


def test_an_unknown_rule_gets_a_suggestion() -> None:
    with pytest.raises(SpecError, match="Did you mean 'oracle'"):
        rule("oracel")
