"""The literature beside one's own runs: what is known of each row, and what may be ranked."""

from __future__ import annotations

import fnmatch
import io
import tomllib
from decimal import Decimal
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console
from tiny import PROJECT

from rsbench.boards.published import (
    CHOICE_UNKNOWN,
    CHOSEN_ON_TEST,
    COLUMNS,
    MEANING,
    MORE_PATIENTS,
    NOT_THE_MEAN,
    OTHER_SPLIT,
    PARTS,
    SPLIT_UNKNOWN,
    TWO_CLASS,
    beside,
    literature,
    published,
)
from rsbench.data.splits import named_splits
from rsbench.report.tables.published import published_table


def own_row(**changes: Any) -> dict[str, Any]:
    row = {
        "method": "qlung",
        "backbone": "ast",
        "weights": "AudioSet",
        "sp": 80.0,
        "se": 44.0,
        "score": 62.0,
        "score_sd": 1.0,
        "n": 8,
        "selection": "val",
        "train_fraction": 0.8,
        "partial": False,
        "synthetic": False,
    }
    return row | changes


def own_rows(*rows: dict[str, Any]) -> pd.DataFrame:
    return pd.DataFrame([own_row(**row) for row in rows])


def own_part(frame: pd.DataFrame) -> pd.DataFrame:
    return frame[frame["kind"] == "rsbench"]


def test_every_row_of_the_file_is_whole() -> None:
    rows = literature()
    assert set(rows["board"]) == {"icbhi-4class", "icbhi-2class", "sprsound-4class"}
    assert set(rows["selection"]) == {"last", "test-best", "unknown", "val-threshold"}
    assert set(rows["evidence"]) == {"repository", "secondary"}
    assert set(rows["split"]) <= {"", *named_splits()}
    of_icbhi = set(rows["split"][rows["board"] != "sprsound-4class"])
    assert of_icbhi == {"", "icbhi-official", "icbhi-official-testclean"}
    assert not rows.duplicated(["board", "split", "method", "backbone", "pretraining"]).any()
    for name in ("sp", "se", "score"):
        assert rows[name].dropna().between(0, 100).all()
    assert rows["score"].notna().all()
    assert (rows["sp"].isna() == rows["se"].isna()).all()
    assert (rows["score_sd"].dropna() > 0).all()
    assert (rows["n"].dropna() > 1).all()
    assert rows["year"].between(2020, 2026).all()
    assert (rows[["method", "backbone"]] != "").all(axis=None)


def test_every_file_of_the_package_is_installed_with_it() -> None:
    packaged = tomllib.loads((PROJECT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]
    others = [
        path
        for path in (PROJECT / "rsbench").rglob("*")
        if path.is_file() and path.suffix != ".py" and "__pycache__" not in path.parts
    ]
    assert others
    for path in others:
        patterns = [f"{package.replace('.', '/')}/{pattern}" for package in packaged for pattern in packaged[package]]
        assert any(fnmatch.fnmatch(path.relative_to(PROJECT).as_posix(), pattern) for pattern in patterns), path


def test_figures_that_contradict_each_other_are_flagged() -> None:
    """In decimals: each of Sp, Se and Score may be 0.005 off by rounding, their combination 0.01."""
    lines = (PROJECT / "rsbench" / "boards" / "published.csv").read_text(encoding="utf-8").splitlines()
    cells = [line.split(",") for line in lines[1:]]  # no comma is quoted before the note
    odd = {
        (board, method, backbone, score)
        for board, _, method, backbone, _, sp, se, score, *_ in cells
        if sp and abs((Decimal(sp) + Decimal(se)) / 2 - Decimal(score)) > Decimal("0.01")
    }
    assert len(odd) == 5
    flagged = published("icbhi-official")
    flagged = flagged[flagged["flag"].str.contains(NOT_THE_MEAN, regex=False)]
    found = {(row.board, row.method, row.backbone, f"{row.score:.2f}") for row in flagged.itertuples()}
    assert found == odd


def test_a_split_has_the_rows_of_its_boards() -> None:
    assert set(published("icbhi-official")["board"]) == {"icbhi-4class", "icbhi-2class"}
    for split in ("sprsound", "sprsound-inter", "sprsound-intra", "sprsound-qlung"):
        assert set(published(split)["board"]) == {"sprsound-4class"}
    for split in ("icbhi-official-clean", "synthetic", "a-set-of-ones-own"):
        assert published(split).empty
    assert len(published("icbhi-official")) + len(published("sprsound")) == len(literature())


def test_flags_say_what_is_the_matter() -> None:
    rows = published("icbhi-official").set_index(["board", "method", "backbone", "pretraining"])["flag"]
    assert rows["icbhi-4class", "Patch-Mix CL", "AST", "ImageNet+AudioSet"] == CHOSEN_ON_TEST
    assert rows["icbhi-4class", "QLung", "AST", "ImageNet+AudioSet"] == CHOICE_UNKNOWN
    assert rows["icbhi-4class", "Patch-Mix CL (independent re-run)", "AST", "ImageNet+AudioSet"] == ""
    assert rows["icbhi-2class", "AST-SAM", "AST", "AudioSet"] == f"{CHOSEN_ON_TEST}; {TWO_CLASS}"
    two_class = rows.xs("icbhi-2class", level="board")
    assert two_class.str.contains(TWO_CLASS, regex=False).all()
    assert not rows.xs("icbhi-4class", level="board").str.contains(TWO_CLASS, regex=False).any()


def test_the_split_that_was_scored_is_compared_with_the_one_asked_for() -> None:
    inter = published("sprsound-inter")
    settled = inter["split"] != ""
    assert set(inter.loc[settled, "note"]) == {"", "from BTS-CARD"}
    assert not inter.loc[settled, "flag"].str.contains("split").any()
    assert inter.loc[~settled, "flag"].str.contains(SPLIT_UNKNOWN).all()
    whole = published("sprsound")
    assert whole.loc[whole["split"] != "", "flag"].str.contains(OTHER_SPLIT).all()


def test_only_rows_without_a_flag_are_ranked() -> None:
    own = own_rows({"score": 61.0}, {"method": "ce", "score": 63.0})
    frame = beside(own, "icbhi-official")
    assert own_part(frame)[["method", "rank"]].to_dict("list") == {"method": ["ce", "qlung"], "rank": [1, 2]}
    theirs = frame[frame["kind"] == "published"]
    assert theirs["rank"].isna().all()
    assert theirs["flag"].str.contains(MORE_PATIENTS).all()
    assert frame.loc[frame["part"] == PARTS[0], "score"].is_monotonic_decreasing


def test_a_result_of_the_last_epoch_ranks_with_runs_on_all_patients() -> None:
    own = own_rows({"score": 59.0, "selection": "last", "train_fraction": 1.0})
    frame = beside(own, "icbhi-official")
    ranked = frame.dropna(subset="rank")
    assert ranked["method"].to_list() == ["Patch-Mix CL (independent re-run)", "qlung"]
    assert ranked["rank"].to_list() == [1, 2]
    assert not frame["flag"].str.contains(MORE_PATIENTS).any()


@pytest.mark.parametrize(
    ("changes", "part"),
    [({"partial": True}, "partial data"), ({"synthetic": True}, "synthetic recordings")],
)
def test_what_is_not_the_full_data_follows_below_without_a_rank(changes: dict[str, Any], part: str) -> None:
    full = own_rows({"score": 61.0}, {"method": "ce", "score": 63.0})
    before = beside(full, "icbhi-official")
    odd = own_rows({"score": 99.0, **changes})
    after = beside(pd.concat([odd, full], ignore_index=True), "icbhi-official")
    pd.testing.assert_frame_equal(after.iloc[:-1], before)  # nothing else has moved
    last = after.iloc[-1]
    assert (last["part"], last["flag"]) == (part, part)
    assert pd.isna(last["rank"])


def test_an_oracle_is_flagged_as_published_ones_are() -> None:
    frame = own_part(beside(own_rows({"selection": "oracle"}, {"selection": "oracle"}), "icbhi-official"))
    assert set(frame["flag"]) == {CHOSEN_ON_TEST}
    assert frame["rank"].isna().all()


def test_nobody_is_the_best_of_one() -> None:
    assert beside(own_rows({}), "icbhi-official")["rank"].isna().all()
    assert beside(own_rows({"train_fraction": 1.0, "partial": True}), "icbhi-official")["rank"].isna().all()


own_frames = st.lists(
    st.fixed_dictionaries(
        {
            "score": st.floats(0, 100) | st.just(float("nan")),
            "selection": st.sampled_from(["val", "last", "oracle"]),
            "train_fraction": st.sampled_from([0.8, 1.0]),
            "partial": st.booleans(),
            "synthetic": st.booleans(),
        }
    ),
    min_size=1,
    max_size=6,
)


@settings(max_examples=40)
@given(own_frames, st.sampled_from(["icbhi-official", "sprsound-inter", "synthetic"]))
def test_whatever_is_asked_for_no_unfit_row_is_ranked(rows: list[dict[str, Any]], split: str) -> None:
    own = own_rows(*rows)
    frame = beside(own, split)
    assert tuple(frame.columns) == COLUMNS
    assert len(frame) == len(own) + len(published(split))
    ranked = frame.dropna(subset="rank")
    assert (ranked["flag"] == "").all()
    assert (ranked["part"] == PARTS[0]).all()
    assert ranked["score"].notna().all()
    better = [int((ranked["score"] > score).sum()) + 1 for score in ranked["score"]]
    assert ranked["rank"].to_list() == better
    order = frame["part"].map(PARTS.index)
    assert order.is_monotonic_increasing
    for _, part in frame.groupby("part"):
        assert part["score"].dropna().is_monotonic_decreasing
        assert not part["score"].isna()[: part["score"].count()].any()  # those without a Score come last
    flags = {flag for text in frame["flag"] for flag in text.split("; ") if flag}
    assert flags <= set(MEANING)


def printed(own: pd.DataFrame, split: str) -> str:
    console = Console(file=io.StringIO(), width=200)  # no terminal: no colour either
    console.print(published_table(beside(own, split), split))
    return console.file.getvalue()


def test_the_table_tells_own_rows_apart_and_explains_its_flags() -> None:
    own = own_rows({"method": "qlung [kappa 0.7]"}, {"method": "ce", "partial": True})
    said = printed(own, "icbhi-official")
    marked = [line for line in said.splitlines() if "▶ rsbench" in line]
    assert len(marked) == 2
    assert "qlung [kappa 0.7]" in marked[0]
    assert "partial data" in marked[1]
    assert "selected: val" in said
    assert "no interval" in said
    for flag in (CHOSEN_ON_TEST, CHOICE_UNKNOWN, TWO_CLASS, NOT_THE_MEAN, "partial data"):
        assert f"{flag}: {MEANING[flag]}" in said
    assert f"{MORE_PATIENTS} (all published rows)" in said
    assert said.count(SPLIT_UNKNOWN) == 2  # of one row, and what it means
    assert said.count(MORE_PATIENTS) == 1  # what all share is said once


def test_a_split_without_literature_shows_own_rows_alone() -> None:
    said = printed(own_rows({"synthetic": True}), "synthetic")
    assert "▶ rsbench" in said
    assert "(secondary)" not in said
