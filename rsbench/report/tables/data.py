"""What `data check` found, as tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ...data.check import SHOWN, DataCheck
from ...data.clips import CLASSES
from ...data.splits import CLAIMS_FROM
from ...data.sprsound import POOR_QUALITY
from ...evaluation.patients import effective_number


def render(found: DataCheck, console: Console) -> None:
    """Print the findings."""
    table = found.table
    state = "" if found.ok else " (broken)" if found.broken else " (incomplete)"
    console.rule(f"[bold]{table.dataset}[/]{state}")
    console.print(_counts_table(found.counts))
    console.print(_splits_table(found.splits))
    console.print(_frame_table("Formats", found.formats))
    console.print(_frame_table("Devices", found.devices))
    _print_facts(found, console)
    for note in table.notes:
        console.print(f"Note: {escape(note)}")
    for doubt in found.doubts[:SHOWN]:
        console.print(f"[yellow]{escape(doubt)}[/]")
    if len(found.doubts) > SHOWN:
        console.print(f"[yellow]… and {len(found.doubts) - SHOWN} more.[/]")
    for problem in (*found.unreadable, *found.problems):
        console.print(f"[red]{escape(problem)}[/]")


def _print_facts(found: DataCheck, console: Console) -> None:
    length = found.durations_s
    if len(length):
        console.print(
            f"Length: {length.min():.1f} to {length.max():.1f} s, median {length.median():.1f} s, "
            f"{length.sum() / 3600:.2f} h in all."
        )
    for name, patients in found.on_both_sides.items():
        console.print(f"Patients on both sides of {name}: {len(patients)} ({', '.join(patients[:SHOWN])}).")
    for names in found.twins:
        console.print(f"[yellow]One sound under {len(names)} names: {escape(_twins_in_words(names, found))}.[/]")
    for oddity, files in found.oddities.items():
        more = f" and {len(files) - SHOWN} more" if len(files) > SHOWN else ""
        console.print(f"[yellow]{len(files)} with {oddity}: {escape(', '.join(files[:SHOWN]))}{more}.[/]")
    console.print(
        f"Overlapping clips: {found.overlapping}. Ends clipped to the recording: {found.clipped}. {POOR_QUALITY} "
        f"recordings: {found.poor_quality}. Unreadable recordings: {len(found.unreadable)}."
    )
    missing = pd.Series(found.table.missing, dtype=str).value_counts(sort=False)
    if len(missing):
        named = [f"{count} × {name}" if count > 1 else str(name) for name, count in missing.items()]
        more = f" and {len(named) - SHOWN} more" if len(named) > SHOWN else ""
        console.print(
            f"[yellow]Missing: {len(found.table.missing)} official recordings: "
            f"{escape(', '.join(named[:SHOWN]))}{more}.[/]"
        )


def _twins_in_words(names: Sequence[str], found: DataCheck) -> str:
    """Each name with its subset and its labels in order."""
    subsets = found.table.recordings.set_index("recording")["subset"]
    labels = found.table.clips.sort_values("start_s").groupby("recording")["label"].agg(", ".join)
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return " and ".join(f"{name} in {subsets[name]} ({labels.get(name, 'no clip')})" for name in names[:SHOWN]) + more


def _counts_table(counts: pd.DataFrame) -> Table:
    """Found / official, a row per count and a column per subset."""
    table = Table("", *dict.fromkeys(counts["subset"]), title="Found / official")
    for what, rows in counts.groupby("what", sort=False):
        table.add_row(str(what), *map(_beside, rows["found"], rows["official"]))
    return table


def _beside(found: int, official: Any) -> str:
    if pd.isna(official):
        return str(found)
    return f"{found} / {official}" if found == official else f"[yellow]{found} / {official}[/]"


def _splits_table(sides: pd.DataFrame) -> Table:
    """A row per side of a split, a column per class."""
    table = Table("split", "side", *CLASSES, title="Clips of each class, and the effective number of their patients")
    for (name, side), rows in sides.groupby(["split", "side"], sort=False):
        cells = [f"{sum(sizes)} ({effective_number(sizes):.1f})" for sizes in rows["sizes"]]
        table.add_row(str(name), str(side), *cells)
    table.caption = f"Below {CLAIMS_FROM} effective patients boards make no claim on a class."
    return table


def _frame_table(title: str, frame: pd.DataFrame) -> Table:
    table = Table(*frame.columns, title=title)
    for row in frame.itertuples(index=False):
        table.add_row(*map(str, row))
    return table
