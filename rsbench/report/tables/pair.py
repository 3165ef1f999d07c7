"""A comparison of two runs as people read it in a terminal."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from typing import Any

import pandas as pd
from rich.markup import escape
from rich.table import Table

from ...boards.methods import ABSENT, short
from ...boards.pair import PAIR, Comparison
from .formats import Sheet
from .terminal import narrow_table

LISTED = 4  # entries of a long list
HEADINGS = {"score": "Score", "sp": "Sp", "se": "Se"}


def pair_sheets(found: Comparison) -> Iterator[Sheet]:
    """What differs, what came of it, where they agree, and the clips they differ most on."""
    yield Sheet(_differences(found), found.differences)
    for name, scores in found.scores.groupby("split", sort=False):
        split = str(name)
        agreement, clips = (frame[frame["split"] == split] for frame in (found.agreement, found.clips))
        yield Sheet(_scores(split, scores), scores, caption=_in_a_paper(found, split))
        yield Sheet(_agreement(split, agreement), agreement)
        yield Sheet(_clips(split, clips), clips)
    yield Sheet(_notes(found), pd.DataFrame({"note": found.notes}))


def _in_a_paper(found: Comparison, split: str) -> list[str]:
    """What the caption of the scores on a split says in a paper, in parts."""
    others = tuple(f"{name}: " for name in found.scores["split"].unique() if name != split)
    return [
        f"{split}, protocol {found.protocol}, Δ: second − first, on the same clips",
        f"first: {found.first}, seed {found.seeds[0]}",
        f"second: {found.second}, seed {found.seeds[1]}",
        *(note for note in found.notes if not note.startswith(others)),
    ]


def _differences(found: Comparison) -> Table:
    title = f"first   {found.first}\nsecond  {found.second}"
    table = narrow_table(title, ["", "what differs", "first", "second"], words=4)
    above = ""
    for part, field, first, second in found.differences.itertuples(index=False):
        table.add_row("" if part == above else part, *map(escape, (field, _value(first), _value(second))))
        above = part
    alike = [part for part in ("spec", "data", "environment") if part not in set(found.differences["part"])]
    table.caption = f"the same: {', '.join(alike)}" if alike else None
    return table


def _scores(split: str, rows: pd.DataFrame) -> Table:
    clips, patients = rows[["clips", "patients"]].iloc[0]
    title = f"{split}: second − first, on the same {clips} clips of {patients} patients"
    table = narrow_table(
        title, ["selected", "epochs", "at", "", "first", "second", "Δ", "95 % over\npatients"], words=4
    )
    for row in rows.to_dict("records"):
        epochs = ", ".join(str(row[f"epoch_{which}"] or "–") for which in ("first", "second"))
        words = [row["rule"], epochs, row["operating_point"]]
        for figure, heading in HEADINGS.items():
            table.add_row(*words, heading, *_figure(row, figure), end_section=figure == "se")
            words = ["", "", ""]
    return table


def _figure(row: Mapping[Hashable, Any], figure: str) -> list[str]:
    first, second, delta, low, high = (row[f"{figure}_{name}"] for name in PAIR)
    interval = "–" if pd.isna(low) else f"{low:+.1f} … {high:+.1f}"
    return [f"{first:.1f}", f"{second:.1f}", f"{delta:+.1f}", interval]


def _agreement(split: str, rows: pd.DataFrame) -> Table:
    headings = ["at", "class", "clips", "both", "first\nalone", "second\nalone", "none"]
    headings += ["patients", "first\nmore", "second\nmore"]
    table = narrow_table(f"called right, {split}, {rows['rule'].iloc[0]}", headings, words=2)
    above = ""
    for row in rows.drop(columns=["split", "rule"]).itertuples(index=False):
        point, name, *counts = row
        table.add_row("" if point == above else point, name, *map(str, counts))
        above = point
    table.caption = (
        "first more, second more: patients of whom one model called more clips right. Clips of one patient are alike: "
        "patients are what the evidence counts by."
    )
    return table


def _clips(split: str, rows: pd.DataFrame) -> Table:
    headings = ["clip", "patient", "is", "first\ncalled", "second\ncalled", "p(is)\nfirst", "\nsecond"]
    table = narrow_table(f"they differ most on, {split}, {rows['rule'].iloc[0]}", headings, words=5)
    for row in rows.to_dict("records"):
        words = [str(row[name]) for name in ("clip_id", "patient", "is", "called_first", "called_second")]
        table.add_row(*map(escape, words), f"{row['p_first']:.2f}", f"{row['p_second']:.2f}")
    table.caption = "p(is): the probability of the clip's own class, after each run's temperature; called at argmax"
    return table


def _notes(found: Comparison) -> Table:
    table = narrow_table("to know", [""], words=1)
    for line in [*found.notes, *(f"{split} is not compared: {why}" for split, why in found.refused.items())]:
        table.add_row(escape(line))
    return table


def _value(value: Any) -> str:
    """A field of a record; of a long list its length and beginning."""
    if value is None:
        return ABSENT
    if isinstance(value, list):
        more = ", …" if len(value) > LISTED else ""
        return f"{len(value)}: {', '.join(map(str, value[:LISTED]))}{more}" if value else "none"
    return short(value)
