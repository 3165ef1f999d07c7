"""What a Score owes to who chose the epoch, as a table."""

from __future__ import annotations

import statistics
from typing import Any

import pandas as pd
from rich import box
from rich.markup import escape
from rich.table import Table

from ...boards.audit import RULES, Audit
from ...boards.columns import mean_sd
from ...boards.methods import short
from ...results.calls import OPERATING_POINTS

ABOVE = {"val": "inflation", "last": "above_last"}  # rule → the column that says how far the oracle is above it


def audit_table(found: Audit) -> Table:
    """A row per method: its Score six times, what choosing on test added, and what became of its claim."""
    shared = ", ".join(f"{name} {short(value)}" for name, value in found.shared.items())
    table = Table(
        title=f"{found.split} — replication audit: who chose the epoch\n{shared}",
        title_justify="left",
        caption="\n".join(_caption(found)),
        caption_justify="left",
        box=box.SIMPLE_HEAD,
    )
    table.add_column("method")
    for point in OPERATING_POINTS:
        for rule in RULES:
            table.add_column(f"{'ORACLE' if rule == 'oracle' else rule}\n{point}", justify="right", no_wrap=True)
    for rule in ABOVE:
        table.add_column(f"oracle − {rule}\nargmax, 95 %", justify="right", no_wrap=True)
    table.add_column("optimism\nargmax", justify="right")
    if found.baseline:
        for rule in ("oracle", "val"):
            table.add_column(f"Δ by {rule}\nargmax", justify="right", no_wrap=True)
        table.add_column("least Δ\nval", justify="right")
        table.add_column("verdict\nval")
    table.add_column("seeds", justify="right")
    for method in found.methods:
        cells = [_score(found.at(rule, point).get(method)) for point in OPERATING_POINTS for rule in RULES]
        row, val = found.at("oracle", "argmax")[method], found.at("val", "argmax")[method]
        cells += [*(_above(row, column) for column in ABOVE.values()), _signed(row["optimism"])]
        if found.baseline:
            cells += [_signed(row["delta"]), _signed(val["delta"]), _plain(val["delta_least"]), val["verdict"] or "–"]
        table.add_row(escape(method), *cells, str(val["n_ok"]))
    return table


def _caption(found: Audit) -> list[str]:
    lines = [
        "ORACLE: the epoch with the best Score on this very test set, as published runs choose it; not a result",
        "mean ± sd over seeds; 95 % over new patients and seeds",
    ]
    if found.baseline:
        lines.append(
            f"Δ: from {found.baseline}, paired; least Δ: the smallest that these seeds and patients could have shown"
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


def _score(row: dict[str, Any] | None) -> str:
    return mean_sd(row["score_mean"], row["score_sd"], 1) if row else "–"


def _above(row: dict[str, Any], column: str) -> str:
    text = _signed(row[column])
    low, high = row[f"{column}_low"], row[f"{column}_high"]
    return text if pd.isna(low) else f"{text}  ({low:+z.1f} … {high:+z.1f})"


def _signed(value: float) -> str:
    return "–" if pd.isna(value) else f"{value:+z.1f}"


def _plain(value: float) -> str:
    return "–" if pd.isna(value) else f"{value:.1f}"
