"""The sections that stored predictions fill: what the runs say of every clip."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import pandas as pd

from ...boards.leaderboard import POINT
from ...core.errors import ResultsError
from ...data.tasks import NORMAL
from ...evaluation.patients import area_under_curve, patient_codes
from ...results.run import as_written
from ..figures.picture import Panel, Picture
from .board_table import PageTable
from .embedding_map import MOST_CLIPS, map_panels, run_to_map
from .explorer import RANGE_DB, Recordings, worst_mistakes
from .panels import confusion_panel, curve_panels, margin_panel, reliability_panel, risk_panel
from .summaries import OfBoard
from .view import Mistakes, Section, View

MOST_UNFOLDED = 12  # runs, of which a table is shown without being asked for


def clip_sections(view: View, recordings: Recordings | None) -> list[Section]:
    """Curves, length, confusion, margins, calibration, selective prediction, map of embeddings, the worst errors."""
    return [
        _curves(view),
        _length(view),
        _confusion(view),
        _margins(view),
        _reliability(view),
        _risk(view),
        _map(view),
        _mistakes(view, recordings),
    ]


def _each_split(view: View, name: str, caption: str, panels: Callable[[OfBoard], Sequence[Panel]]) -> list[Picture]:
    """A picture per split with a panel per method; none where no method has one."""
    found = [(of_board.board.split, panels(of_board)) for of_board in view.boards]
    return [view.picture(name, caption, shown, split) for split, shown in found if shown]


def _curves(view: View) -> Section:
    caption = (
        "Se (exact hits) against Sp as the offset on the normal logit moves; the mean over runs, their range shaded, "
        "the other methods grey. Circle: argmax; square: the offset chosen on validation."
    )
    pictures = _each_split(view, "curves", caption, lambda of: curve_panels(of, view.colours))
    return Section("curves", "Sp–Se curves and operating points", pictures=pictures)


def _length(view: View) -> Section:
    """How far length alone tells the class, and what is left of each run's AUROC among clips that are as long."""
    known = [of_board for of_board in view.boards if "length_s" in of_board.clips]
    section = Section("length", "Length: what could be had without listening")
    if view.boards and not known:
        return replace(
            section,
            absent="These runs were made before the lengths of clips were stored. To bring them: rsbench run …",
        )
    return replace(section, text=" ".join(map(_told_by_length, known)), sheets=[_lengths_sheet(of) for of in known])


def _told_by_length(of_board: OfBoard) -> str:
    clips = of_board.clips
    lengths, abnormal = clips["length_s"].to_numpy(dtype="float64"), (clips["label"] != NORMAL).to_numpy()
    found = area_under_curve(lengths, abnormal, patient_codes(clips["patient"]))
    if pd.isna(found.value):
        return f"On {of_board.board.split} all clips are of one kind."
    interval = "" if pd.isna(found.low) else f" [{found.low:.3f}, {found.high:.3f}]"
    return (
        f"On {of_board.board.split} the AUROC of length alone for abnormal is {found.value:.3f}{interval} "
        "(above .5: abnormal clips are longer; below it: shorter)."
    )


def _lengths_sheet(of_board: OfBoard) -> PageTable:
    runs = of_board.board.runs
    runs = runs[runs[POINT] == "argmax"]
    columns = ["auroc_abnormal", "auroc_within_length"]
    rows = [
        [method, str(seed), *("–" if pd.isna(area) else f"{area:.3f}" for area in areas)]
        for method, seed, *areas in runs[["method", "seed", *columns]].itertuples(index=False)
    ]
    notes = [
        "Within length: only clips of one decile of length are compared. What a run has there beyond the backbone "
        "length it did not have from the length."
    ]
    title = f"{of_board.board.split}: AUROC of each run"
    headings = ["method", "seed", "AUROC", "within length"]
    return PageTable(title, headings, rows, 1, notes=notes, folded=len(rows) > MOST_UNFOLDED)


def _confusion(view: View) -> Section:
    caption = "share of each true class (rows) that was called so (columns) at argmax, in percent, mean over runs."

    def panels(of: OfBoard) -> list[Panel]:
        return [confusion_panel(method, of.board.task.classes, view.colours) for method in of.methods]

    return Section("confusion", "Confusion", pictures=_each_split(view, "confusion", caption, panels))


def _margins(view: View) -> Section:
    caption = (
        "the angular margin that training would give a clip, against its quality, one line per class through bins of "
        "equally many clips, over all runs of a loss that has margins."
    )

    def panels(of: OfBoard) -> list[Panel]:
        classes = of.board.task.classes
        return [margin_panel(method, classes, view.colours) for method in of.methods if method.has_margins]

    pictures = _each_split(view, "margin", caption, panels)
    section = Section("margin", "Margin against quality", pictures=pictures)
    if pictures:
        return section
    return replace(
        section,
        absent="No loss here has an angular margin. To bring one (see: rsbench list losses): rsbench run --loss …",
    )


def _reliability(view: View) -> Section:
    caption = (
        "share of right calls among those made with some confidence (the largest class probability); dotted: as the "
        "model gives it, solid: after the temperature fitted on validation, dashed: what an honest confidence would be."
    )

    def panels(of: OfBoard) -> list[Panel]:
        return [reliability_panel(method, view.colours) for method in of.methods]

    pictures = _each_split(view, "reliability", caption, panels)
    return Section("reliability", "Reliability", pictures=pictures)


def _risk(view: View) -> Section:
    caption = (
        "wrong calls among the clips kept when the least confident (solid), or those of the poorest quality (dashed), "
        "are set aside first; mean over runs. Dotted: the share of all clips, which a ranking that knows nothing keeps."
    )

    def panels(of: OfBoard) -> list[Panel]:
        return [risk_panel(method, view.colours) for method in of.methods]

    pictures = _each_split(view, "risk", caption, panels)
    return Section("risk", "Risk and coverage", pictures=pictures)


def _map(view: View) -> Section:
    section = Section("map", "Map of embeddings")
    run = run_to_map(view.group)
    if run is None:
        return replace(
            section,
            absent="No run here has its embeddings stored. A run that is made now stores them: rsbench run …",
        )
    caption = (
        f"Test clips of {run.run_id}, at most {MOST_CLIPS}, laid out by t-SNE of the stored principal axes: "
        "neighbours are alike, while distances between islands, and directions, mean nothing."
    )
    try:
        with as_written(run):
            panels = map_panels(run, view.group.boards)
            return replace(section, pictures=[view.picture("map", caption, panels)])
    except ResultsError as error:
        return replace(section, absent=str(error))


def _mistakes(view: View, recordings: Recordings | None) -> Section:
    text = (
        "Of each recording the clip whose wrong class was given most probability, mean over the drawn methods and "
        "their runs, after each run's temperature. What nearly all runs get wrong may be labelled wrong. "
    )
    if recordings:
        text += f"Pictures: {RANGE_DB} dB from the loudest point of a clip to black."
    else:
        text += "To see them: rsbench report --root DIR; to hear them too: --audio."
    found = [Mistakes(of_board.board.split, worst_mistakes(of_board, recordings)) for of_board in view.boards]
    return Section("mistakes", "Worst errors", text, mistakes=found)
