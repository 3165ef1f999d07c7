"""Predictions made elsewhere."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from ..core.display import Display
from ..core.plugins import load
from ..core.spec import DEFAULT_TASK
from ..data.sources import Roots
from ..experiment.context import DataCache
from ..experiment.score import UNKNOWN, Declared, pretraining, score_predictions
from ..results.run import Run


def score(  # noqa: PLR0913 (all that can be said of predictions)
    predictions: str | Path | pd.DataFrame,
    test: str | Sequence[str],
    *,
    method: str,
    select: str,
    seed: int = 0,
    task: str = DEFAULT_TASK,
    train: str | None = None,
    validation: str | Path | pd.DataFrame | None = None,
    pretrained_on: str | Sequence[str] = UNKNOWN,
    plugins: Sequence[str] = (),
    root: str | Path | Sequence[str | Path] = (),
    partial: bool = False,
    results: str | Path = "results",
    quiet: bool = False,
) -> Run:
    """Judge predictions that another program made, as `rsbench score` does: they become a row like that of a run.

    >>> rsbench.score(frame, "icbhi-official", method="BTS", select="test-best", seed=1).metrics

    Args:
        predictions: of all test clips, a row each; a file, or a frame with the columns of one (docs/predictions.md).
        test: test splits, one or several, with commas between.
        method: what boards call it, one word.
        select: how its epoch was chosen: "test-best", "val", "last" or "unknown".
        seed: which of its trainings, 0 or more.
        task: what clips were told apart into; see `rsbench list tasks`.
        train: the split that was trained on; None: the first of `test`.
        validation: likewise, of training patients that were kept apart: for val-bias and temperature.
        pretrained_on: what its weights had learnt from, with commas between; "none" for random ones.
        plugins: files or modules that register data sets.
        root: folders of recordings (default: the environment's RSBENCH_DATA); "icbhi=DIR" names one data set's.
        partial: accept an incomplete data set; the row says so.
        results: where `runs/<run id>/` is kept.
        quiet: say nothing on standard error.

    Raises RsbenchError: SpecError for a name or split that cannot be, DataError naming what is wrong with predictions
    or recordings; nothing is kept then.
    """
    for plugin in plugins:
        load(plugin)
    folders = [root] if isinstance(root, str | Path) else root
    roots = Roots.parse([str(folder) for folder in folders], os.environ)
    names = [name.strip() for name in (test.split(",") if isinstance(test, str) else test)]
    declared = Declared(method, select, seed, pretraining(pretrained_on), task)
    return score_predictions(
        _given(predictions),
        declared,
        names,
        train,
        None if validation is None else _given(validation),
        Path(results),
        DataCache(roots, partial=partial, display=Display(quiet=quiet)),
    )


def _given(predictions: str | Path | pd.DataFrame) -> Path | pd.DataFrame:
    return Path(predictions) if isinstance(predictions, str) else predictions
