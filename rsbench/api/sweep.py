"""Studies of many runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..sweep.driver import carry_out, place_study
from ..sweep.engines import SerialEngine
from ..sweep.plan import runs_folder
from ..sweep.results import StudyResults
from ..sweep.results import results as study_results
from ..sweep.shipped import study_file
from ..sweep.spec import load_sweep
from .leaderboard import Leaderboard, board_sheet


@dataclass(frozen=True, repr=False)
class StudyLeaderboard(Leaderboard):
    """The boards of a study; `found` has a frame for each question about its search and its runs."""

    found: StudyResults


def sweep(  # noqa: PLR0913 (all that a study can be told)
    study: str | Path,
    *,
    changes: Mapping[str, Any] | None = None,
    root: str | Path | Sequence[str | Path] = (),
    partial: bool = False,
    plugins: Sequence[str] = (),
    device: str = "auto",
    results: str | Path = "results",
    retry_failed: bool = False,
    log: str | Sequence[str] = (),
    quiet: bool = False,
) -> StudyLeaderboard:
    """Run what is missing of a study, one run after another in this process, and rank its runs.

    Several at a time, on one machine or many, is what the command `rsbench sweep` does; called afterwards, this returns
    its boards at once.

    >>> rsbench.sweep("smoke").found.best

    Args:
        study: a YAML file, or the name of one that ships.
        changes: keys of the file → values in place of its own, e.g. `{"seeds": "0-2", "base.epochs": 5}`.
        root: folders of recordings (default: the environment's RSBENCH_DATA); "icbhi=DIR" names one data set's.
        partial: accept an incomplete data set; rows say so.
        plugins: files or modules, beside those that the study names.
        device: "auto", "cpu", "cuda" or "cuda:N".
        results: where runs/ and sweeps/ are kept.
        retry_failed: try runs again that failed.
        log: observers that are told of every epoch of every run, "tensorboard,csv" say; they change nothing.
        quiet: say nothing on standard error.

    Raises SpecError for a study that cannot be, and RunFailed where runs are still missing at the end.
    """
    folders = [root] if isinstance(root, str | Path) else root
    placed = place_study(
        load_sweep(study_file(str(study)), changes),
        [str(folder) for folder in folders],
        Path(results),
        device=device,
        partial=partial,
        plugins=plugins,
        log=log,
        quiet=quiet,
    )
    boards = carry_out(placed, SerialEngine(placed.crew), retry_failed=retry_failed)
    found = study_results(placed.store, placed.planned().runs, runs_folder(placed.context), placed.sweep)
    return StudyLeaderboard(boards, [board_sheet(board) for board in boards], False, found)
