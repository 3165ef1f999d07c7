"""The columns that a board can show: what each is called, and how its cells are written."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from ..core.errors import SpecError, did_you_mean
from ..data.tasks import Task
from .claims import AUROC, ONE_CLASS, SCORE, TOO_FEW
from .comparison import ALIKE, OF_BOARD
from .leaderboard import POINT, Board

Row = Mapping[Hashable, Any]


@dataclass(frozen=True)
class Column:
    """A column: its heading, and the text of its cell in a row of a board's table; words: whether that is no number."""

    heading: str
    cell: Callable[[Row], str]
    words: bool = False


def mean_sd(mean: float, sd: float | None, digits: int) -> str:
    if pd.isna(mean):
        return "–"
    text = f"{mean:z.{digits}f}"
    return text if sd is None or math.isnan(sd) else f"{text} ± {sd:.{digits}f}"


def _figure(name: str, heading: str, digits: int = 1) -> Column:
    return Column(heading, lambda row: mean_sd(row[f"{name}_mean"], row[f"{name}_sd"], digits))


def _number(value: float, form: str) -> str:
    return "–" if pd.isna(value) else f"{value:{form}}"


def _interval(low: str, high: str, form: str = ".1f") -> Callable[[Row], str]:
    def cell(row: Row) -> str:
        return "–" if pd.isna(row[low]) else f"{row[low]:{form}} … {row[high]:{form}}"

    return cell


def _of_difference(low: str, high: str, digits: int) -> Callable[[Row], str]:
    """The interval of a difference, with as many digits more as show on which side of 0 an end is."""

    def cell(row: Row) -> str:
        exact = digits
        while exact < digits + 3 and any(end and not round(end, exact) for end in (row[low], row[high])):
            exact += 1
        return _interval(low, high, f"+z.{exact}f")(row)

    return cell


def _own_interval(prefix: str, form: str) -> Callable[[Row], str]:
    """The interval of a figure, marked where it is not the row's own."""
    plain = _interval(f"{prefix}low", f"{prefix}high", form)

    def cell(row: Row) -> str:
        return plain(row) + "†" * (row[f"{prefix}interval_of"] == OF_BOARD and not pd.isna(row[f"{prefix}low"]))

    return cell


def _ranks(row: Row) -> str:
    best, worst = row["rank_best"], row["rank_worst"]
    return "–" if pd.isna(best) else f"{best:.0f}" if best == worst else f"{best:.0f}–{worst:.0f}"


def _seeds(row: Row) -> str:
    done, planned = row["n_ok"], row["n_planned"]
    return f"{done}" if done == planned else f"{done}/{planned}"


# What a verdict is on a board; the others are written out.
SHORT_VERDICTS = {
    "": "–",
    ALIKE: "≈",
    SCORE.beneath: "≤ floor",
    AUROC.beneath: "≤ chance",
    ONE_CLASS: "one class",
    TOO_FEW: "few patients",
}


def short_verdict(verdict: str) -> str:
    """A verdict as tables have it."""
    return SHORT_VERDICTS.get(verdict, verdict)


FIGURES = {
    "sp": _figure("sp", "Sp"),
    "se": _figure("se", "Se"),
    "score": _figure("score", "Score"),
    "se_two_class": _figure("se_two_class", "Se (two-class)"),
    "score_two_class": _figure("score_two_class", "Score (two-class Se)"),
    "macro_f1": _figure("macro_f1", "macro-F1"),
    "balanced_accuracy": _figure("balanced_accuracy", "balanced accuracy"),
    "auroc": _figure("auroc_abnormal", "AUROC", 3),
    "auprc": _figure("auprc_abnormal", "AUPRC", 3),
    "macro_auroc": _figure("macro_auroc", "macro-AUROC", 3),
    "auroc_within_length": _figure("auroc_within_length", "AUROC\nwithin length", 3),
    "se_at_sp80": _figure("se_at_sp80", "Se at Sp .8"),
    "se_at_sp90": _figure("se_at_sp90", "Se at Sp .9"),
    "nll": _figure("nll", "NLL", 3),
    "brier": _figure("brier", "Brier", 3),
    "ece": _figure("ece", "ECE", 3),
    "nll_scaled": _figure("nll_scaled", "NLL (scaled)", 3),
    "brier_scaled": _figure("brier_scaled", "Brier (scaled)", 3),
    "ece_scaled": _figure("ece_scaled", "ECE (scaled)", 3),
    "risk": _figure("risk", "risk", 3),
    "aurc_confidence": _figure("aurc_confidence", "AURC by confidence", 3),
    "aurc_quality": _figure("aurc_quality", "AURC by quality", 3),
    "worst_device": _figure("worst_device", "Score of the\nworst device"),
    "seconds": _figure("seconds", "seconds", 0),
}

# Figures that a task may ask for, beside its Score on boards.
OWN_METRICS: Mapping[str, Column] = {"sprsound_score": _figure("sprsound_score", "Score of\nSPRSound")}

# What only some boards have: of an oracle, against a baseline, beside the split in distribution.
SOMETIMES = {
    "inflation": _figure("inflation", "oracle − val"),
    "shift": _figure("shift", "Δ from in\ndistribution"),
    "rank_change": Column("ranks\nmoved", lambda row: _number(row["rank_change"], "+z.0f")),
    "delta": Column("Δ", lambda row: _number(row["delta"], "+z.1f")),
    "delta_interval": Column("95 % of Δ", _of_difference("delta_low", "delta_high", 1)),
    "least": Column("least Δ", lambda row: _number(row["delta_least"], ".1f")),
    "auroc_delta": Column("Δ AUROC", lambda row: _number(row["auroc_delta"], "+z.3f")),
    "auroc_delta_interval": Column("95 % of\nΔ AUROC", _of_difference("auroc_delta_low", "auroc_delta_high", 3)),
    "auroc_least": Column("least\nΔ AUROC", lambda row: _number(row["auroc_delta_least"], ".3f")),
    "sign_flip": Column("p (training\nnoise only)", lambda row: _number(row["sign_flip_p"], ".3f")),
}
NEEDS = {name: f"{name}_mean" if name in ("inflation", "shift") else name for name in SOMETIMES}
NEEDS |= {"delta_interval": "delta", "least": "delta", "sign_flip": "delta"}
NEEDS |= {"auroc_delta_interval": "auroc_delta", "auroc_least": "auroc_delta"}
HOW = {"inflation": "--select oracle", "shift": "a second --split", "rank_change": "a second --split"}

ALWAYS = {
    "at": Column("at", lambda row: str(row[POINT]), words=True),
    "interval": Column("95 %", _own_interval("", ".1f")),
    "auroc_interval": Column("95 %\nAUROC", _own_interval("auroc_", ".3f")),
    "ranks": Column("ranks", _ranks),
    "verdict": Column("verdict", lambda row: short_verdict(row["verdict"]), words=True),
    "origin": Column("origin", lambda row: str(row["origin"]), words=True),
    "seeds": Column("n", _seeds),
}
GROUPS = {
    "calibration": ("nll", "brier", "ece", "nll_scaled", "brier_scaled", "ece_scaled"),
    "curves": ("auroc", "auprc", "macro_auroc", "auroc_within_length", "se_at_sp80", "se_at_sp90"),
    "selective": ("risk", "aurc_confidence", "aurc_quality"),
}
OF_CLAIM = {  # what a board shows by default, and what a baseline adds
    "score": ("score", "interval", "delta", "delta_interval"),
    "auroc": ("auroc", "auroc_interval", "auroc_delta", "auroc_delta_interval"),
}
WIDE = ("at", "sp", "se", "score", "interval", "auroc", "auroc_interval", "ranks")
WIDE_SOMETIMES = ("inflation", "shift", "rank_change")
WIDE_OF_CLAIM = {
    "score": ("delta", "delta_interval", "least"),
    "auroc": ("auroc_delta", "auroc_delta_interval", "auroc_least"),
}


def known_columns(task: Task) -> dict[str, Column]:
    """The columns that a board of the task can show, by name."""
    own = {f"recall_{name}": _figure(f"recall_{name}", f"recall {name}") for name in task.classes}
    own |= {f"auroc_{name}": _figure(f"auroc_{name}", f"AUROC {name}", 3) for name in task.findings}
    own |= {name: _figure(name, name.replace("_", " ").replace("f1", "F1")) for name in task.label_figures}
    own |= {name: OWN_METRICS[name] for name in task.metrics}
    return FIGURES | own | ALWAYS | SOMETIMES


def column_groups(task: Task) -> dict[str, tuple[str, ...]]:
    """The names that several columns can be asked for by."""
    recalls = tuple(f"recall_{name}" for name in task.classes)
    findings = tuple(f"auroc_{name}" for name in task.findings)
    curves = (*GROUPS["curves"], *findings)
    every = (*FIGURES, *task.metrics, *recalls, *task.label_figures, *findings)
    labels = {"labels": task.label_figures} if task.label_figures else {}
    return GROUPS | {"recall": recalls, **labels, "curves": curves, "all": every}


def columns_of(board: Board, asked: str | None = None, *, wide: bool = False) -> dict[str, Column]:
    """The columns to show of a board, by name, in order; `at` comes first, `seeds` last.

    Args:
        board: whose table has to hold them.
        asked: names of `known_columns` and `column_groups` with commas between, in place of the default ones, or,
            after a "+", beside them. None: the default ones.
        wide: the default ones are those of `WIDE` too.

    Raises SpecError for an unknown name, and for a column that this board has not.
    """
    names = [name.strip() for name in (asked or "").removeprefix("+").split(",") if name.strip()]
    known, groups = known_columns(board.task), column_groups(board.task)
    chosen = [one for name in names for one in groups.get(name, (name,))]
    for name in chosen:
        if name not in known:
            raise SpecError(
                f"--columns {name}: there is no such column.{did_you_mean(name, [*known, *groups])} "
                "--columns help lists them."
            )
        if name in NEEDS and NEEDS[name] not in board.table:
            raise SpecError(f"--columns {name}: needs {HOW.get(name, '--baseline LOSS')}.")
    if not names or (asked or "").startswith("+"):
        chosen = [*_default(board, wide), *chosen]
    first = ["at"] if "at" in chosen else []
    return {name: known[name] for name in dict.fromkeys([*first, *(one for one in chosen if one != "seeds"), "seeds"])}


def _default(board: Board, wide: bool) -> list[str]:
    """The names of the columns that a board shows when it is not asked for others."""
    claim = board.question.claim.name
    if wide:
        shown = [*WIDE, *board.task.metrics, *WIDE_SOMETIMES, *WIDE_OF_CLAIM[claim]]
    else:
        shown = [*OF_CLAIM[claim][:2], *board.task.metrics, "inflation", *OF_CLAIM[claim][2:]]
    shown = [name for name in shown if name not in NEEDS or NEEDS[name] in board.table]
    if board.baseline or not board.table["verdict"].isin(["", TOO_FEW]).all():
        shown.append("verdict")
    if (~board.table["origin"].isin(["here", ""])).any():  # "": nothing of it is done
        shown.append("origin")
    return shown
