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
    table.add_column("oracle − val\nargmax, 95 %", justify="right", no_wrap=True)
    if found.baseline:
        for rule in ("oracle", "val"):
            table.add_column(f"Δ by {rule}\nargmax", justify="right", no_wrap=True)
        table.add_column("least Δ\nval", justify="right")
        table.add_column("verdict\nval")
    table.add_column("seeds", justify="right")
    for method in found.methods:
        cells = [_score(found.at(rule, point).get(method)) for point in OPERATING_POINTS for rule in RULES]
        row, val = found.at("oracle", "argmax")[method], found.at("val", "argmax")[method]
        cells.append(_inflation(row))
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
    added = [row["inflation"] for row in found.at("oracle", "argmax").values()]
    means = [row["score_mean"] for row in found.at("val", "argmax").values()]
    lines.append(
        f"choosing on test adds {statistics.fmean(added):.1f} points on average; under val the methods lie within "
        f"{max(means) - min(means):.1f} points"
    )
    return [*lines, *found.warnings]


def _score(row: dict[str, Any] | None) -> str:
    return mean_sd(row["score_mean"], row["score_sd"], 1) if row else "–"


def _inflation(row: dict[str, Any]) -> str:
    text = _signed(row["inflation"])
    low, high = row["inflation_low"], row["inflation_high"]
    return text if pd.isna(low) else f"{text}  ({low:+z.1f} … {high:+z.1f})"


def _signed(value: float) -> str:
    return "–" if pd.isna(value) else f"{value:+z.1f}"


def _plain(value: float) -> str:
    return "–" if pd.isna(value) else f"{value:.1f}"
