"""The sections that run records fill: how training went, and how to do it all again."""

from __future__ import annotations

from collections.abc import Sequence

from ...results.run import Run
from ..figures.picture import Panel
from .board_table import PageTable
from .panels import training_panel
from .provenance import (
    SPLIT_HEADINGS,
    VERSION_HEADINGS,
    WEIGHT_HEADINGS,
    commands,
    run_headings,
    run_rows,
    split_rows,
    version_rows,
    weight_rows,
)
from .view import Section, View


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
            behind = [view.group.runs[run_id] for run_id in mine["run_id"]]
            if behind[0].data.elsewhere:  # nobody knows how it was trained
                continue
            panels.append(_training_panel(name, behind, view.colours[mine["loss"].iloc[0]]))
    caption = (
        "Score on validation patients and, below, training loss over epochs: mean over runs, their range shaded. Ticks "
        "at the foot: the epoch that each rule chose, one per run. Losses of different kinds are not on one scale."
    )
    return Section(
        "training",
        "Training, and the epoch each rule chose",
        pictures=[view.picture("training", caption, panels)] if panels else [],
    )


def _training_panel(name: str, runs: Sequence[Run], colour: str) -> Panel:
    chosen: dict[str, list[int]] = {}
    for run in runs:
        for selection, found in run.selection.items():
            chosen.setdefault(selection, []).append(found.epoch)
    return training_panel(name, [run.epochs for run in runs], chosen, colour)


def _provenance(view: View) -> Section:
    group = view.group
    text = (
        "A command makes the runs of a method again: save its spec, and name the recordings with --root. "
        f"{len(group.runs)} runs stand behind this part."
    )
    sheets = [
        PageTable("Splits and the identity of their data", SPLIT_HEADINGS, split_rows(group), 3),
        PageTable("Weights", WEIGHT_HEADINGS, weight_rows(group.runs), 6),
        PageTable("Versions", VERSION_HEADINGS, version_rows(group.runs), 5),
        PageTable(
            "Runs",
            run_headings(group.boards),
            run_rows(group),
            2,
            filtered=True,
            folded=True,
        ),
    ]
    return Section("again", "Commands, versions, splits and identities", text, sheets, commands=commands(group))
