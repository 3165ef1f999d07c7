"""The sections that run records fill: how training went, and how to do it all again."""

from __future__ import annotations

import io
from collections.abc import Sequence

import pandas as pd

from ...core.errors import ResultsError
from ..figures.page import training_panel
from ..figures.picture import Panel
from . import commands as provenance
from .groups import Record
from .view import PageTable, Section, View


def run_sections(view: View) -> list[Section]:
    """Training curves, and commands, versions, splits and identities."""
    return [_training(view), _provenance(view)]


def _training(view: View) -> Section:
    board = view.group.boards[0]
    runs = board.runs.drop_duplicates("run_id")
    panels = []
    for name in view.methods:
        mine = runs[runs["method"] == name]
        if len(mine):
            records = [view.group.records[run_id] for run_id in mine["run_id"]]
            panels.append(_training_panel(name, records, view.colours[mine["loss"].iloc[0]]))
    caption = (
        "Score on validation patients and, below, training loss over epochs: mean over runs, their range shaded. Ticks "
        "at the foot: the epoch that each rule chose, one per run. Losses of different kinds are not on one scale."
    )
    return Section(
        "training",
        "Training, and the epoch each rule chose",
        pictures=[view.picture("training", caption, panels)] if panels else [],
    )


def _training_panel(name: str, records: Sequence[Record], colour: str) -> Panel:
    histories = [_history(record) for record in records]
    chosen: dict[str, list[int]] = {}
    for record in records:
        for selection, found in record.folder.read_json("selection.json").items():
            chosen.setdefault(selection, []).append(found["epoch"])
    return training_panel(name, histories, chosen, colour)


def _history(record: Record) -> pd.DataFrame:
    """epochs.csv. Raises ResultsError when it is damaged."""
    path = record.folder.path / "epochs.csv"
    try:
        return pd.read_csv(io.BytesIO(path.read_bytes()))
    except (OSError, ValueError) as error:
        raise ResultsError(
            f"{path}: cannot be read ({error}). Delete the folder {path.parent} and run it again."
        ) from error


def _provenance(view: View) -> Section:
    group = view.group
    text = (
        "A command makes the runs of a method again: save its spec, and name the recordings with --root. "
        f"{len(group.records)} runs stand behind this part."
    )
    sheets = [
        PageTable("Splits and the identity of their data", provenance.SPLIT_HEADINGS, provenance.split_rows(group), 3),
        PageTable("Weights", provenance.WEIGHT_HEADINGS, provenance.weight_rows(group.records), 6),
        PageTable("Versions", provenance.VERSION_HEADINGS, provenance.version_rows(group.records), 5),
        PageTable(
            "Runs",
            provenance.run_headings(group.boards),
            provenance.run_rows(group),
            2,
            filtered=True,
            folded=True,
        ),
    ]
    return Section(
        "again", "Commands, versions, splits and identities", text, sheets, commands=provenance.commands(group)
    )
