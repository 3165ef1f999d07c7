"""A run's whole record as one document, whatever state the run is in."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pandas as pd

from ..core.errors import ResultsError
from ..evaluation.scoring import without_nan
from .bundle import ANOTHER_SHAPE, check_whole
from .calls import calls_of
from .merge import origin
from .store import RunFolder

PARTS = ("spec", "data", "env", "selection", "metrics", "cost")
CURVES = ("epochs", "folds")


def record(folder: RunFolder) -> dict[str, Any]:
    """All that is known of a run, JSON-able.

    run_id, path, origin and status are always there. Beside them, as far as the run came: PARTS as in the files of
    these names; epochs and folds, a dict per row; of a finished run confusion, rule → split → operating point → (4, 4)
    clips by their class and the class they were given.

    Raises ResultsError where a file is damaged, or where a finished run lacks one.
    """
    known: dict[str, Any] = {
        "run_id": folder.run_id,
        "path": str(folder.path),
        "origin": origin(folder),
        "status": folder.status(),
    }
    known |= {part: folder.read_json(f"{part}.json") for part in PARTS if (folder.path / f"{part}.json").is_file()}
    known |= {name: _rows(folder, f"{name}.csv") for name in CURVES if (folder.path / f"{name}.csv").is_file()}
    if known["status"]["state"] == "done":
        check_whole(folder)
        known["confusion"] = _confusion(folder, known["metrics"])
    return known


@contextlib.contextmanager
def as_written(*folders: RunFolder) -> Iterator[None]:
    """Turn what files that are whole, but of another shape, make their reader raise into ResultsError."""
    try:
        yield
    except ANOTHER_SHAPE as error:
        places = " or ".join(str(folder.path) for folder in folders)
        raise ResultsError(
            f"{places}: a record is not as rsbench writes it ({type(error).__name__}: {error}). Delete that folder and "
            "run it again, or read it with the version of rsbench that wrote it."
        ) from error


def _rows(folder: RunFolder, name: str) -> list[dict[str, Any]]:
    path = folder.path / name
    try:
        rows = pd.read_csv(path).to_dict("records")
    except (OSError, ValueError) as error:
        raise ResultsError(
            f"{path}: cannot be read ({error}). Delete the folder {folder.path} and run it again."
        ) from error
    return [without_nan({str(key): value for key, value in row.items()}) for row in rows]


def _confusion(folder: RunFolder, metrics: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for rule, splits in metrics.items():
        calls = {split: calls_of(folder, split, rule) for split in splits}
        found[rule] = {
            split: {point: one.confusion(point).tolist() for point in one.offsets} for split, one in calls.items()
        }
    return found
