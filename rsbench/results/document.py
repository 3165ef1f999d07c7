"""A run's whole record as one document, whatever state the run is in."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..core.errors import ResultsError
from ..evaluation.scoring import without_nan
from .archive import is_of_a_record
from .run import Run, as_written
from .store import COST, ENVIRONMENT, EPOCHS, FOLDS, METRICS, SELECTION, SPEC, TRACKED

# What the document holds as the files have it.
PARTS = (ENVIRONMENT, SELECTION, METRICS, COST)
CURVES = (EPOCHS, FOLDS)


def sort_out(runs: Iterable[Run]) -> tuple[list[Run], list[Run], dict[str, str]]:
    """Runs that are finished and whole, those that are not finished, and of the damaged ones run id → what is wrong."""
    finished, unfinished = [], []
    damaged: dict[str, str] = {}
    for run in runs:
        try:
            if run.state == "done":
                read_whole(run)
                finished.append(run)
            else:
                unfinished.append(run)
        except ResultsError as error:
            damaged[run.run_id] = str(error)
    return finished, unfinished, damaged


def read_whole(run: Run) -> None:
    """Read every file of a finished run's record. Raises ResultsError where one is damaged or missing."""
    with as_written(run):
        run.folder.check_whole()
        _ = run.spec, run.data, run.epochs, run.metrics
        for name in run.folder.files():
            if not is_of_a_record(f"runs/{run.run_id}/{name}"):
                raise ResultsError(
                    f"{run.path / name}: is no name of a file of a run. Delete it, or leave this run out."
                )
        for dataset in {used.dataset for used in run.data.splits.values()}:
            run.predictions(dataset)
            run.sketch(dataset)
        for split in run.folder.tables(TRACKED):
            run.tracked(split)


def document(run: Run) -> dict[str, Any]:
    """All that is known of the run, JSON-able.

    run_id, path, origin and status are always there. Beside them, as far as the run came: spec, data, env,
    selection, metrics and cost as in the files of these names, the spec whole; epochs and folds, a dict per row; of
    a finished run confusion, rule → split → operating point → (4, 4) clips by their class and the class they were
    given.

    Raises ResultsError where a file is damaged, or where a finished run lacks one.
    """
    known: dict[str, Any] = {
        "run_id": run.run_id,
        "path": str(run.path),
        "origin": run.origin_in_words,
        "status": run.status.document(),
    }
    if run.folder.has(SPEC):
        known["spec"] = run.spec.model_dump(mode="json")
    if run.begun:
        known["data"] = run.data.document()
    known |= {name.removesuffix(".json"): run.folder.read_json(name) for name in PARTS if run.folder.has(name)}
    known |= {name.removesuffix(".csv"): _rows(run, name) for name in CURVES if run.folder.has(name)}
    if run.state == "done":
        run.folder.check_whole()
        known["confusion"] = {
            name: {judged: _confusion(run, judged, name) for judged in splits} for name, splits in run.metrics.items()
        }
    return known


def _confusion(run: Run, split_name: str, rule_name: str) -> dict[str, Any]:
    calls = run.calls(split_name, rule_name)
    return {point: calls.confusion(point).tolist() for point in calls.offsets}


def _rows(run: Run, name: str) -> list[dict[str, Any]]:
    rows = run.folder.read_csv(name).to_dict("records")
    return [without_nan({str(key): value for key, value in row.items()}) for row in rows]
