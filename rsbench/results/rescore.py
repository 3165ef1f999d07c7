"""Every stored figure of a run computed again from its stored predictions: no model, no audio."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from ..core.display import Display
from ..core.errors import ResultsError, RsbenchError
from ..data.datasets import DATASETS
from ..data.splits import Split, known_split, split
from ..evaluation.scoring import LATER_FIGURES, score_run
from .run import Run
from .store import ANOTHER_SHAPE

# Predictions in the stored order give the stored bits on one machine, in another order 4e-11 was the most (ece_scaled).
# A search of the temperature ends within 1e-6, and one clip more or less moves a share of 100,000 clips by 1e-5.
RELATIVE_TOLERANCE = 1e-6
ABSOLUTE_TOLERANCE = 1e-12  # of figures that are 0 but for rounding

ABSENT = "nothing"


@dataclass(frozen=True)
class Rescored:
    """What scoring again found.

    figures: how many were compared, in how many runs. findings: a line for each thing that is wrong.
    """

    runs: int
    figures: int
    findings: tuple[str, ...]


@dataclass(frozen=True)
class RescoredRun:
    """figures: how many were compared. differing: a line for each that is not what it was. not_compared: of a split."""

    figures: int
    differing: tuple[str, ...]
    not_compared: tuple[str, ...]


def rescore(runs: Sequence[Run], display: Display) -> Rescored:
    """Score the finished ones of these runs again. A damaged one is a finding too."""
    scored, figures, findings = 0, 0, []
    with display.track("scoring again", len(runs)) as advance:
        for run in runs:
            try:
                if run.state != "done":
                    continue
                found = rescore_run(run)
            except (RsbenchError, *ANOTHER_SHAPE) as error:
                found = RescoredRun(0, (f"cannot be scored again: {_in_words(error)}",), ())
            scored, figures = scored + 1, figures + found.figures
            findings += [f"{run.run_id}: {line}" for line in (*found.not_compared, *found.differing)]
            advance(1, run.run_id)
    return Rescored(scored, figures, tuple(findings))


def _in_words(error: Exception) -> str:
    return str(error) if isinstance(error, RsbenchError) else f"{type(error).__name__}: {error}"


def rescore_run(run: Run) -> RescoredRun:
    """Score one finished run again.

    Raises RsbenchError or one of ANOTHER_SHAPE where the record is damaged.
    """
    other_versions, splits = _recorded_splits(run)
    trained = run.data.trained_on(run.spec)
    scores = score_run(whole_predictions(run), splits, run.spec.select, trained, run.task)
    not_compared = set(run.spec.data.test) - {known.name for known in splits}
    kept = {key: figure for key, figure in flat_figures(run.metrics) if key[1] not in not_compared}
    # A record of before lacks figures that came later: there is nothing to compare them with.
    recomputed = {key: figure for key, figure in flat_figures(scores) if key in kept or LATER_FIGURES.isdisjoint(key)}
    keys, lines = list(dict.fromkeys([*kept, *recomputed])), []
    for key in keys:
        one, other = kept.get(key, ABSENT), recomputed.get(key, ABSENT)
        if not _same(one, other):
            rule, split_name, *rest = key
            lines.append(f"{rule}, {split_name}, {'.'.join(rest)}: stored {one}, recomputed {other}")
    return RescoredRun(len(keys), tuple(lines), tuple(other_versions))


def whole_predictions(run: Run) -> dict[str, pd.DataFrame]:
    """Stored predictions by data set. Raises ResultsError where one cannot be read."""
    return {dataset: run.predictions(dataset) for dataset in run.datasets}


def _recorded_splits(run: Run) -> tuple[list[str], list[Split]]:
    """Why splits of the run cannot be judged today, and those that can."""
    lines, splits = [], []
    for name in run.spec.data.test:
        recorded = run.data.splits[name]
        of_plugin = f"{DATASETS.kind}:{recorded.dataset}" in run.data.identity.plugins
        if of_plugin and known_split(name) is None:
            raise ResultsError(f"split '{name}' came with a plugin. Give it again: --plugin FILE.")
        today = split(name, [recorded.dataset])
        if today.version == recorded.version:
            splits.append(today)
        else:
            lines.append(
                f"split '{name}' is version {today.version} now and was {recorded.version}: not compared. "
                "Use the version of rsbench, or of the plugin, that the run was made with"
            )
    return lines, splits


def flat_figures(scores: Mapping[str, Any], *above: str) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Nested figures as (rule, split, …, name) → figure."""
    for key, value in scores.items():
        if isinstance(value, Mapping):
            yield from flat_figures(value, *above, key)
        else:
            yield (*above, key), value


def _same(stored: Any, recomputed: Any) -> bool:
    """None, an undefined figure, equals None alone; a list is of folds."""
    if isinstance(stored, list) and isinstance(recomputed, list) and len(stored) == len(recomputed):
        return all(map(_same, stored, recomputed))
    if not isinstance(stored, int | float) or not isinstance(recomputed, int | float):
        return stored is None and recomputed is None
    return math.isclose(stored, recomputed, rel_tol=RELATIVE_TOLERANCE, abs_tol=ABSOLUTE_TOLERANCE)
