"""What `data check` found, as tables, and what `data get` is about to fetch and has fetched."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ...data.catalogue import catalogue
from ...data.check import SHOWN, DataCheck
from ...data.fetching import Fetched
from ...data.publication import Publication
from ...data.splits import CLAIMS_FROM
from ...data.sprsound import POOR_QUALITY
from ...evaluation.nuisance import MOST_UNSEEN, length_audit, length_warnings
from ...evaluation.patients import effective_number
from .terminal import print_table

LENGTH_REMEDY = (
    "Train --backbone length beside the others, which hears nothing else, and read the AUROC within length "
    "(rsbench leaderboard --columns +curves)."
)


def render(found: DataCheck, console: Console) -> None:
    """Print the findings."""
    table = found.table
    state = "" if found.ok else " (broken)" if found.broken else " (incomplete)"
    console.print(f"[bold]{table.dataset}[/]{state}")
    print_table(_counts_table(found.counts), console)
    print_table(_splits_table(found.splits), console)
    lengths = length_audit(found.clips, found.rules)
    if len(lengths):
        print_table(_lengths_table(lengths), console)
    if warnings := length_warnings(lengths):
        for warning in warnings:
            console.print(f"[yellow]{escape(warning)}[/]")
        console.print(LENGTH_REMEDY)
    print_table(_frame_table("Formats", found.formats), console)
    print_table(_frame_table("Devices", found.devices), console)
    _print_facts(found, console)
    for note in table.notes:
        console.print(f"Note: {escape(note)}")
    for doubt in found.doubts[:SHOWN]:
        console.print(f"[yellow]{escape(doubt)}[/]")
    if len(found.doubts) > SHOWN:
        console.print(f"[yellow]… and {len(found.doubts) - SHOWN} more.[/]")
    for problem in (*found.unreadable, *found.problems):
        console.print(f"[red]{escape(problem)}[/]")


def render_publication(dataset: str, publication: Publication, folder: Path, reference: str, console: Console) -> None:
    """Print where a data set comes from, under which licence, what to cite, and where it will lie."""
    console.print(f"[bold]{dataset}[/]")
    console.print(f"Page:     {escape(publication.page)}")
    console.print(f"Licence:  {escape(publication.licence)}")
    for archive in publication.archives:
        pinned = f"sha256 {archive.sha256}" if archive.sha256 else "its sha256 is not pinned: what is in it is checked"
        console.print(f"Archive:  {escape(archive.url)} ({pinned})")
    console.print(f"Folder:   {escape(str(folder))}")
    if publication.note:
        console.print(f"Note:     {escape(publication.note)}")
    console.print(f"Cite:\n{escape(reference)}" if reference else "Cite:     see its page", soft_wrap=True)


def render_fetched(found: Fetched, console: Console) -> None:
    """Print what was brought, and how it compares with what was published."""
    table = found.table
    for one in found.brought:
        pinned = "as pinned" if one.archive.sha256 else "not pinned; written down"
        console.print(f"{escape(one.archive.filename)}: sha256 {one.sha256} ({pinned})")
    if catalogue(table.dataset) is None:
        compared = "No list of the published names is known: their number and form were compared."
    elif found.compared:
        agree = found.compared - len(found.altered)
        compared = f"Compared with the catalogue by name, and by sound: {agree} of {found.compared} agree."
    else:
        compared = "Compared with the catalogue by name; of their sound nothing is known there."
    console.print(f"{table.dataset}: {len(table.recordings)} recordings in {escape(str(found.folder))}. {compared}")
    for names, what in (
        (table.missing, "missing"),
        (found.strangers, "not published under this name"),
        (found.altered, "not the sound that was published"),
    ):
        if names:
            more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
            console.print(f"[red]{len(names)} {what}: {escape(', '.join(names[:SHOWN]))}{more}[/]")


def render_explained(frame: pd.DataFrame, by: str, console: Console) -> None:
    """Print what a nuisance alone explains: the frame of `evaluation.nuisance.explained`."""
    table = Table(
        *("split", "values", "unseen", "Score", "Sp", "Se", "AUROC", "AUROC on train"),
        title=f"What {by} alone explains, from its class shares in train; always-normal scores 50",
        caption="unseen: test clips with a value that train has not. AUROC on train: each patient's clips ranked by "
        "what the other patients say; .5 or less is nothing.",
    )
    for row in frame.to_dict("records"):
        on_test = [f"{row[name]:.1f}" for name in ("score", "sp", "se")] + [_area(row["auroc"])]
        if row["unseen"] >= MOST_UNSEEN:
            on_test = [f"another {by} in test than in train", "–", "–", "–"]
        table.add_row(row["split"], str(row["values"]), f"{row['unseen']:.0%}", *on_test, _area(row["auroc_train"]))
    print_table(table, console)


def _area(value: float) -> str:
    return "–" if pd.isna(value) else f"{value:.3f}"


def _lengths_table(audit: pd.DataFrame) -> Table:
    table = Table("split", "side", "clips", "AUROC of length", "95 %", title="Does length tell the class?")
    for row in audit.to_dict("records"):
        known = "–" if pd.isna(row["low"]) else f"{row['low']:.3f} … {row['high']:.3f}"
        table.add_row(row["split"], row["side"], str(row["clips"]), _area(row["value"]), known)
    table.caption = "For abnormal: above .5 abnormal clips are longer than normal ones, below it shorter."
    return table


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
    table = Table(
        "split",
        "side",
        *dict.fromkeys(sides["class"]),
        title="Clips of each class, and the effective number of their patients",
    )
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
