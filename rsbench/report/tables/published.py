"""Results as published, beside one's own, as a table."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from typing import Any

import pandas as pd
from rich import box
from rich.markup import escape
from rich.table import Table

from ...boards.published import MEANING, joined_flags, split_flags
from ...evaluation.selection import DECLARED, rule


def published_table(frame: pd.DataFrame, split: str) -> Table:
    """What `beside` gives, for a terminal: own rows are bold and marked with ▶.

    A flag that all published rows share is said once, below the table.
    """
    flags = [set(split_flags(flag)) for flag in frame.loc[frame["kind"] == "published", "flag"]]
    shared = set.intersection(*flags) if flags else set()
    chosen = frame.loc[frame["kind"] == "rsbench", "selection"].unique()
    rules = dict.fromkeys(rule(DECLARED.get(name, name)).header for name in chosen)
    title = "\n".join([f"{split} — published results beside rsbench's own", *rules])
    table = Table(
        title=title, title_justify="left", caption=_caption(frame, shared), caption_justify="left", box=box.SIMPLE_HEAD
    )
    for heading in ("", "rank", "method", "backbone", "weights"):
        table.add_column(heading, overflow="fold")
    for heading in ("Sp", "Se", "Score", "runs"):
        table.add_column(heading, no_wrap=True, justify="right")
    table.add_column("flags (and notes)", overflow="fold")
    table.add_column("source", overflow="fold")
    for _, part in frame.groupby("part", sort=False):
        for row in part.to_dict("records"):
            table.add_row(*map(escape, _cells(row, shared)), style="bold" if row["kind"] == "rsbench" else "")
        table.add_section()
    return table


def _cells(row: Mapping[Hashable, Any], shared: set[str]) -> Iterator[str]:
    own = row["kind"] == "rsbench"
    flags = [flag for flag in split_flags(row["flag"]) if own or flag not in shared]
    yield "▶ rsbench" if own else "published"
    yield _whole(row["rank"])
    yield from (str(row[name]) for name in ("method", "backbone", "weights"))
    yield from (_percent(row[name]) for name in ("sp", "se"))
    yield _percent(row["score"]) + ("" if pd.isna(row["score_sd"]) else f" ± {row['score_sd']:.1f}")
    yield _whole(row["n"])
    yield " ".join(filter(None, [joined_flags(flags), row["note"] and f"({row['note']})"]))
    yield "" if own else " ".join(filter(None, [row["venue"], str(row["year"]), f"({row['evidence']})"]))


def _whole(value: Any) -> str:
    return "–" if pd.isna(value) else str(value)


def _percent(value: float) -> str:
    return "–" if pd.isna(value) else f"{value:.1f}"


def _caption(frame: pd.DataFrame, shared: set[str]) -> str:
    said = {flag for flags in frame["flag"] for flag in split_flags(flags)}
    lines = [
        "▶: runs of one's own. Published rows have no interval: that takes predictions per patient.",
        "All rows are listed by Score; only those without a flag are ranked among each other.",
        *(
            f"{flag}{' (all published rows)' if flag in shared else ''}: {meaning}"
            for flag, meaning in MEANING.items()
            if flag in said
        ),
    ]
    return "\n".join(lines)
