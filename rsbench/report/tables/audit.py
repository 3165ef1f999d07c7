"""What a Score owes to who chose the epoch, as a table."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import pandas as pd
from rich import box
from rich.markup import escape
from rich.table import Table

from ...boards.audit import RULES, Audit
from ...boards.columns import SHORT_VERDICTS, mean_sd, short_verdict
from ...boards.comparison import ALIKE
from ...results.calls import ARGMAX, OPERATING_POINTS
from .board import shared_in_words

Rows = Mapping[str, dict[str, Any]]  # by method
ABOVE = {"val": "inflation", "last": "above_last"}  # rule → the column that says how far the oracle is above it


def audit_table(found: Audit) -> Table:
    """A row per method: its Score six times, what choosing on test added, and what became of its claim."""
    table = Table(
        title=f"{found.split} — replication audit: who chose the epoch\nall rows: {shared_in_words(found.shared)}",
        title_justify="left",
        caption="\n".join(_caption(found)),
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )
    table.add_column("method")
    columns = _columns(found)
    for heading, _ in columns:
        table.add_column(heading, justify="left" if heading.startswith("verdict") else "right")
    for method in found.methods:
        table.add_row(escape(method), *(cell(method) for _, cell in columns))
    return table


def _columns(found: Audit) -> list[tuple[str, Callable[[str], str]]]:
    """Headings, and the text of a method's cell; what the audit is about comes first, since the last may not fit."""
    by = {(rule, point): found.at(rule, point) for rule in RULES for point in OPERATING_POINTS}
    oracle, val = by["oracle", ARGMAX], by["val", ARGMAX]

    def score(rule: str, point: str) -> tuple[str, Callable[[str], str]]:
        return f"{'ORACLE' if rule == 'oracle' else rule}\n{point}", partial(_score, by[rule, point])

    def above(rule: str) -> tuple[str, Callable[[str], str]]:
        return f"oracle − {rule}\n95 %", partial(_above, oracle, ABOVE[rule])

    compared: list[tuple[str, Callable[[str], str]]] = [
        ("Δ by oracle\nargmax", lambda method: _signed(oracle[method]["delta"])),
        ("Δ by val\nargmax", lambda method: _signed(val[method]["delta"])),
        ("verdict\nval", lambda method: short_verdict(val[method]["verdict"])),
        ("least Δ\nval", lambda method: _plain(val[method]["delta_least"])),
    ]
    return [
        score("oracle", ARGMAX),
        score("val", ARGMAX),
        above("val"),
        ("n", lambda method: str(val[method]["n_ok"])),
        *(compared if found.baseline else []),
        score("last", ARGMAX),
        above("last"),
        ("optimism\nargmax", lambda method: _signed(oracle[method]["optimism"])),
        *(score(rule, point) for point in OPERATING_POINTS if point != ARGMAX for rule in RULES),
    ]


def _caption(found: Audit) -> list[str]:
    lines = [
        "ORACLE: the epoch with the best Score on this very test set, as published runs choose it; not a result",
        "mean ± sd over seeds; 95 % over new patients and seeds",
    ]
    if found.baseline:
        lines.append(
            f"Δ: from {found.baseline}, paired; least Δ: the smallest that these seeds and patients could have shown"
            + (f"; {SHORT_VERDICTS[ALIKE]}: {ALIKE}" if (found.table["verdict"] == ALIKE).any() else "")
        )
    oracle = found.at("oracle", "argmax").values()
    added = {rule: statistics.fmean(row[column] for row in oracle) for rule, column in ABOVE.items()}
    means = [row["score_mean"] for row in found.at("val", "argmax").values()]
    lines.append(
        f"the oracle's epochs score {added['val']:.1f} points more than val's and {added['last']:.1f} more than the "
        f"last ones on average; under val the methods lie within {max(means) - min(means):.1f} points"
    )
    optimism = [row["optimism"] for row in oracle if not pd.isna(row["optimism"])]
    if optimism:
        lines.append(
            f"optimism: epochs chosen on half of the test patients score {statistics.fmean(optimism):.1f} points more "
            "on these than on the other half: what such a Score owes to the choice, and would not repeat elsewhere"
        )
    return [*lines, *found.warnings]


def _score(rows: Rows, method: str) -> str:
    row = rows.get(method)
    return mean_sd(row["score_mean"], row["score_sd"], 1) if row else "–"


def _above(rows: Rows, column: str, method: str) -> str:
    row = rows[method]
    text = _signed(row[column])
    low, high = row[f"{column}_low"], row[f"{column}_high"]
    return text if pd.isna(low) else f"{text} ({low:+z.1f} … {high:+z.1f})"


def _signed(value: float) -> str:
    return "–" if pd.isna(value) else f"{value:+z.1f}"


def _plain(value: float) -> str:
    return "–" if pd.isna(value) else f"{value:.1f}"
