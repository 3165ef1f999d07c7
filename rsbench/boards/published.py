"""The literature's results beside one's own: listed in one order, ranked only where a rank means something."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping
from importlib import resources
from typing import Any

import numpy as np
import pandas as pd

from ..data.splits import named_splits
from ..evaluation.selection import DECLARED, RULES

TEXT = ("board", "split", "method", "backbone", "pretraining", "selection", "venue", "evidence", "note")
COLUMNS = (
    "part",
    "rank",
    "kind",
    "method",
    "backbone",
    "weights",
    "sp",
    "se",
    "score",
    "score_sd",
    "n",
    "selection",
    "flag",
    "venue",
    "year",
    "evidence",
    "note",
)
PARTIAL = "partial data"
SYNTHETIC = "synthetic recordings"
PARTS = ("full data", "two-class Se", PARTIAL, SYNTHETIC)
ROUNDING = 0.011  # Sp, Se and Score are each rounded to 0.01
TRAIN_FRACTION = 1.0  # published runs keep no training patient apart for validation

CHOSEN_ON_TEST = "epoch chosen on test"
AT_A_THRESHOLD = "at a threshold chosen on validation"
CHOICE_UNKNOWN = "how the epoch was chosen is not known"
TWO_CLASS = "two-class Se, another figure"
SPLIT_UNKNOWN = "which split is not settled"
OTHER_SPLIT = "scored on another split"
NOT_THE_MEAN = "Score is not (Sp + Se)/2"
MORE_PATIENTS = "trained on more of the patients"

CHOSEN = {"test-best": CHOSEN_ON_TEST, "unknown": CHOICE_UNKNOWN, "last": "", "val-threshold": AT_A_THRESHOLD}
CHOSEN |= dict.fromkeys(RULES.keys() - CHOSEN.keys(), "") | {"oracle": CHOSEN_ON_TEST}  # of one's own rows
MEANING = {
    CHOSEN_ON_TEST: "the best of all epochs on the test set itself, which inflates the Score",
    AT_A_THRESHOLD: "rows of one's own stand here at argmax",
    CHOICE_UNKNOWN: "perhaps on the test set",
    TWO_CLASS: "any abnormal call on an abnormal clip counts, so the Score is higher than one of four classes",
    SPLIT_UNKNOWN: "other patients, in other numbers, may have been judged",
    OTHER_SPLIT: "other patients were judged",
    NOT_THE_MEAN: "the published figures do not agree with each other",
    MORE_PATIENTS: "also on the patients that the runs here keep for validation",
    PARTIAL: "an incomplete set of recordings; not to be compared with published figures",
    SYNTHETIC: "generated sound; says nothing about real lungs",
}


def literature() -> pd.DataFrame:
    """All published results that come with rsbench, a row each; facts, not reproductions.

    board: "icbhi-4class", "icbhi-2class" or "sprsound-4class"; its last word says which Se was computed.
    split: rsbench's name of the test split; "" where it is not settled which one was scored.
    pretraining: what the weights had learnt from. sp, se, score, score_sd: percent, NaN where not published.
    n: runs that score and score_sd are over. selection: how the epoch was chosen: "last", "test-best", "unknown", or
    "val-threshold": on validation patients, with the threshold.
    year, venue, note: where it was published. evidence: "repository" (read in the authors' own), or "secondary".
    """
    file = resources.files(__package__) / "published.csv"
    with file.open(encoding="utf-8") as lines:
        return pd.read_csv(
            lines,
            dtype=dict.fromkeys(TEXT, "str") | {"n": "Int64"},
            keep_default_na=False,
            na_values={name: [""] for name in ("sp", "se", "score_sd", "n")},
        )


def published(split: str) -> pd.DataFrame:
    """The literature's rows for a split: those of `literature`, with a `flag`; none for a split it does not know.

    flag: "", or what keeps the row from being compared with others (see MEANING), with semicolons between.
    """
    rows = literature()
    rows = rows[rows["board"].isin(_boards(split))].reset_index(drop=True)
    return rows.assign(flag=[joined_flags(_flags(row, split)) for row in rows.to_dict("records")])


def beside(own: pd.DataFrame, split: str) -> pd.DataFrame:
    """Own and published rows in one frame of COLUMNS, best Score first within each part.

    A rank is a claim that one row would do better than another on new patients. Published rows come without
    predictions, so without intervals, and a Score at the best test epoch is inflated by an amount that differs from
    method to method: ranking it would reward whoever looked at the test set most often. So every row is placed by
    its Score, where anybody can see it, and only rows without a flag get a rank, if there are two of them: known not
    to have been selected on test, on this very split, with the four-class Se and the same share of training patients.

    Args:
        own: a row per method: method, backbone, weights, sp, se, score, score_sd (percent), n (seeds), selection (a
            rule's name, or of predictions made elsewhere what was declared), train_fraction, partial, synthetic.
        split: its name.

    Returns:
        kind: "rsbench" or "published". part: one of PARTS; rows of another part than the first are never ranked.
        weights: own rows' as given, published rows' pretraining. flag: as in `published`.
    """
    theirs = published(split).rename(columns={"pretraining": "weights"})
    theirs["part"] = [PARTS[_is_two_class(board)] for board in theirs["board"]]
    if (own["train_fraction"] < TRAIN_FRACTION).any():
        theirs["flag"] = [joined_flags((flag, MORE_PATIENTS)) for flag in theirs["flag"]]
    ours = own.assign(
        part=np.select([own["synthetic"], own["partial"]], [SYNTHETIC, PARTIAL], PARTS[0]),
        flag=[joined_flags(_own_flags(row)) for row in own.to_dict("records")],
        **dict.fromkeys(("venue", "evidence", "note"), ""),
    )
    rows = pd.concat([ours.assign(kind="rsbench"), theirs.assign(kind="published")], ignore_index=True)
    rows["part"] = pd.Categorical(rows["part"], PARTS, ordered=True)
    rows = rows.sort_values(["part", "score"], ascending=[True, False], kind="stable", ignore_index=True)
    comparable = rows.loc[rows["flag"] == "", "score"]
    rows["rank"] = comparable.rank(ascending=False, method="min") if comparable.count() > 1 else np.nan
    whole = dict.fromkeys(("rank", "n", "year"), "Int64")
    return rows.reindex(columns=list(COLUMNS)).astype({**whole, "part": str})


def declared_otherwise(table: pd.DataFrame, rule_name: str) -> pd.Series:
    """What keeps rows of predictions made elsewhere from being compared on a board of this rule; "" for all others.

    table: with the column `declared` where there are such rows.
    """
    if "declared" not in table:
        return pd.Series("", table.index)
    told = {
        declared: CHOSEN[declared] or f"epoch: {declared}" for declared, rule in DECLARED.items() if rule != rule_name
    }
    return table["declared"].map(told).fillna("")


def _boards(split: str) -> tuple[str, ...]:
    if split in ("icbhi-official", "icbhi-official-testclean"):
        return ("icbhi-4class", "icbhi-2class")
    known = named_splits().get(split)
    return ("sprsound-4class",) if known is not None and known.dataset == "sprsound" else ()


def _is_two_class(board: str) -> bool:
    return board.endswith("-2class")


def joined_flags(flags: Iterable[str]) -> str:
    return "; ".join(filter(None, flags))


def split_flags(flag: str) -> list[str]:
    return flag.split("; ") if flag else []


def _flags(row: Mapping[Hashable, Any], split: str) -> Iterator[str]:
    """What keeps a published row from being compared."""
    yield CHOSEN[row["selection"]]
    if _is_two_class(row["board"]):
        yield TWO_CLASS
    if row["split"] != split:
        yield OTHER_SPLIT if row["split"] else SPLIT_UNKNOWN
    if abs((row["sp"] + row["se"]) / 2 - row["score"]) > ROUNDING:
        yield NOT_THE_MEAN


def _own_flags(row: Mapping[Hashable, Any]) -> Iterator[str]:
    yield CHOSEN[row["selection"]]
    if row["partial"]:
        yield PARTIAL
    if row["synthetic"]:
        yield SYNTHETIC
