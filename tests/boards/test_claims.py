"""Where a board claims nothing: too few patients, beneath the floor, rows that differ in more than they should."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from imitated import Make, Method, imitate

from rsbench.boards.claims import AUROC, ONE_CLASS, SCORE, Question, beneath, known_claim
from rsbench.boards.leaderboard import Board, leaderboard
from rsbench.core.errors import SpecError
from rsbench.data.clips import FOUR_WORDS
from rsbench.results.run import Run, load_runs

SEEDS = range(8)


def board(results: Path, baseline: str | None = None, **question: Any) -> Board:
    return leaderboard(load_runs(results), "tiny", "val", question=Question(baseline, **question))


def at_argmax(made: Board, *names: str) -> pd.DataFrame:
    return made.table[made.table["operating_point"] == "argmax"].set_index(list(names) or "loss")


def test_few_patients_have_intervals_and_no_verdict(runs_to_read: Path, tmp_path: Path) -> None:
    """Four effective patients, eight seeds, and a difference that nobody could miss."""
    like = Run(next(runs_to_read.glob("runs/ce-*-s0-*")))
    made = board(imitate(like, tmp_path / "few", [Method("ce", 2.0), Method("strong", 6.0)], SEEDS), "ce")
    row = at_argmax(made).loc["strong"]
    assert row["delta_low"] > 0
    assert (row["verdict"], np.isfinite(row[["low", "high"]].astype(float)).all()) == ("too few patients", True)
    assert made.table[["rank_best", "rank_worst"]].isna().all(axis=None)
    assert any(note.startswith("too few patients for a verdict or a rank: 4.0") for note in made.warnings)


def test_whoever_scores_no_more_than_always_normal_is_never_first(make: Make) -> None:
    """Between two of them one is better; still neither stands before the one that is above the floor."""
    made = board(make(Method("ce", 0.0), Method("less", 0.4), Method("more", 2.0), seeds=SEEDS), "ce")
    table = at_argmax(made)
    assert list(table.index) == ["more", "less", "ce"]
    assert table["verdict"].to_dict() == {"more": "better", "less": "not above the floor", "ce": "not above the floor"}
    assert table.at["less", "delta_low"] > 0
    assert table["rank_best"].to_dict() == pytest.approx({"more": 1, "less": np.nan, "ce": np.nan}, nan_ok=True)
    assert (table["score_mean"] <= 50).to_dict() == {"more": False, "less": True, "ce": True}


def row(**recalls: float) -> dict[str, float]:
    known = {f"recall_{name}_mean": recalls.get(name, 0.0) for name in FOUR_WORDS}
    return known | {"score_mean": recalls.get("score", 60.0), "auroc_abnormal_mean": recalls.get("auroc", 0.7)}


def test_a_row_that_calls_one_class_says_so() -> None:
    table = pd.DataFrame(
        [
            row(normal=100, score=50),
            row(crackle=100, score=30),
            row(normal=90, crackle=20),
            row(normal=80, score=49.9),
            row(normal=80, auroc=0.5),
            row(score=np.nan, auroc=np.nan),
        ]
    )
    said = [ONE_CLASS, ONE_CLASS, "", "not above the floor", "", ""]
    assert list(beneath(table, SCORE)) == said
    assert list(beneath(table, AUROC)) == ["", "", "", "", "not above chance", ""]


@pytest.mark.parametrize(
    ("field", "value", "one", "other"),
    [
        ("quality.control", "shuffled", {"quality": {"control": "none"}}, {"quality": {"control": "shuffled"}}),
        ("augment.freq_masks", "0", {"augment": {"freq_masks": 2}}, {"augment": {"freq_masks": 0}}),
    ],
)
def test_any_field_may_tell_the_baseline(
    make: Make, field: str, value: str, one: dict[str, Any], other: dict[str, Any]
) -> None:
    methods = [
        Method(loss, skill, noise=loss + noise, spec=spec)
        for loss in ("ce", "it")
        for skill, noise, spec in ((2.5, "a", one), (1.0, "b", other))
    ]
    made = board(make(*methods, seeds=SEEDS), f"{field}={value}")
    table = at_argmax(made, "loss", field)
    of_baseline = table.index.get_level_values(field).str.strip('"') == value
    assert table[of_baseline]["delta"].isna().all()
    assert set(table[~of_baseline]["verdict"]) == {"better"}
    for loss, rows in table.groupby("loss"):
        means = rows.droplevel("loss")["score_mean"]
        compared = table.loc[loss]["delta"].dropna()
        assert compared.iloc[0] == pytest.approx(means[compared.index[0]] - means.drop(compared.index[0]).iloc[0])


def test_a_backbone_may_be_the_baseline(make: Make) -> None:
    methods = [
        Method(loss, skill, backbone=name, noise=f"{loss}{name}")
        for loss in ("ce", "it")
        for name, skill in (("tiny", 1.0), ("big", 2.5))
    ]
    made = board(make(*methods, seeds=SEEDS), "backbone=tiny")
    table = at_argmax(made, "loss", "backbone")
    assert table.xs("big", level="backbone")["verdict"].to_dict() == {"ce": "better", "it": "better"}
    assert table.xs("tiny", level="backbone")["delta"].isna().all()


def test_a_baseline_that_differs_in_more_gives_a_difference_and_no_verdict(make: Make) -> None:
    slow, fast = ({"optim": {"lr": rate}} for rate in (0.1, 0.2))
    made = board(make(Method("ce", 1.0, spec=slow), Method("it", 2.5, spec=fast), seeds=SEEDS), "ce")
    found = at_argmax(made).loc["it"]
    assert found["delta_low"] > 0
    assert found["verdict"] == "differs also in optim.lr"


def test_an_unknown_claim_is_explained() -> None:
    with pytest.raises(SpecError, match="--claim auc: there is no such claim. Did you mean 'auroc'"):
        known_claim("auc")
