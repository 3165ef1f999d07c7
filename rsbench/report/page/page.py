"""One HTML file that needs nothing else, and the same figures as files beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ... import __version__
from ...core.display import Display
from ...core.files import write_bytes
from ...results.run import Run
from ..figures.board import colours_of
from ..figures.picture import Drawn, Picture
from .board_sections import board_sections
from .clip_sections import clip_sections
from .explorer import Recordings
from .groups import Results, read_results, told_apart
from .kept import KeptReports
from .run_sections import run_sections
from .templates import PLACE, asset, templates
from .view import Section, View, runs_to_read, view_of

# The sections of a group, as a reader asks for them: results first, then how they came about.
ORDER = (
    "boards",
    "shift",
    "differences",
    "audit",
    "curves",
    "recall",
    "length",
    "confusion",
    "reliability",
    "risk",
    "margin",
    "map",
    "mistakes",
    "training",
    "again",
)

UNFINISHED = "No run of this group is finished. The command that started them continues them."


def write_report(
    runs: Sequence[Run],
    out: Path,
    *,
    baseline: str | None,
    cache: Path,
    recordings: Recordings | None = None,
    display: Display,
) -> Path:
    """Write the report on some runs to `out`, and its figures to the folder that is returned.

    Args:
        runs: all those of one results folder.
        out: the page.
        baseline: the loss that the others are compared with; None: see `read_results`.
        cache: where tables of runs (see `board_rows`), pages and drawings are kept between reports.
        recordings: where the clips of the worst errors are looked up.
        display: shows how far it has come.

    Raises:
        SpecError: no run has the baseline.
        ResultsError: there is nothing to report on, or a record is damaged.
        DataError: recordings were given and cannot be read.
        StorageError: the report cannot be written.
    """
    kept = KeptReports.of(runs, baseline, cache / "report")
    figures = out.with_name(f"{out.stem}_figures")
    # Recordings are not looked at to see whether they changed: a page that shows some is made every time.
    page = None if recordings else kept.page(figures)
    if page is None:
        results = read_results(runs, baseline, cache, display)
        parts = [(view, _sections(view, recordings)) for view in _views(results, display)]
        pictures = [picture for _, sections in parts for section in sections for picture in section.pictures]
        page = _page(results, parts, _draw(pictures, figures, kept, display), figures.name)
        if not recordings:
            kept.keep_page(page, pictures, figures)
    write_bytes(out, page.encode())
    return figures


def _views(results: Results, display: Display) -> list[View]:
    colours = colours_of(loss for group in results.groups for loss in group.losses)
    total = sum(runs_to_read(group) for group in results.groups)
    with display.track("reading predictions", total) as advance:
        return [
            view_of(group, f"{number:02d}", heading, colours, results.baseline, lambda count: advance(count, ""))
            for number, (group, heading) in enumerate(
                zip(results.groups, told_apart(results.groups), strict=True), start=1
            )
        ]


def _sections(view: View, recordings: Recordings | None) -> list[Section]:
    if not view.group.boards:
        return []
    found = [*board_sections(view), *clip_sections(view, recordings), *run_sections(view)]
    told = [replace(section, absent=UNFINISHED) if section.empty else section for section in found]
    return sorted(told, key=lambda section: ORDER.index(section.key))


def _draw(pictures: Sequence[Picture], folder: Path, kept: KeptReports, display: Display) -> dict[str, Drawn]:
    drawn = {}
    with display.track("drawing", sum(len(picture.panels) for picture in pictures)) as advance:
        for picture, drawing in kept.render_all(pictures, folder):
            drawn[picture.name] = drawing
            advance(len(picture.panels), picture.name)
    kept.forget_all_but(pictures)
    return drawn


def _page(
    results: Results, parts: Sequence[tuple[View, Sequence[Section]]], drawn: dict[str, Drawn], figures: str
) -> str:
    return (
        templates(PLACE)
        .get_template("page.html")
        .render(
            results=results,
            parts=parts,
            drawn=drawn,
            figures=figures,
            version=__version__,
            style=asset(PLACE, "page.css"),
            script=asset(PLACE, "page.js"),
        )
    )
