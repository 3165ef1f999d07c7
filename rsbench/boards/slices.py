"""Runs on parts of a split: by device, class, patient, site on the chest, quality of the recording, or length."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ..core.errors import ResultsError, SpecError, did_you_mean
from ..data.tasks import NORMAL
from ..evaluation.counts import Hits, count_hits, design_of
from ..evaluation.metrics import FloatArray, IntArray
from ..evaluation.patients import effective_number
from ..evaluation.selection import rule as selection_rule
from ..evaluation.statistics import Share, shares_of
from ..results.calls import OPERATING_POINTS, Predictions
from ..results.rows import refuse_unknown_split
from ..results.run import Run, as_written

BY = ("device", "class", "patient", "site", "quality", "length")
NOT_GIVEN = "not given"
THIRDS = ("low", "middle", "high")
THIRDS_OF_LENGTH = ("short", "middle", "long")

BEHIND = ("clips", "patients", "effective_patients")
FIGURES = {"score": "Score", "sp": "Sp", "se": "Se", "se_two_class": "Se (two-class)", "accuracy": "accuracy"}

Index = tuple[str, str]  # a quality index: its name, its options as JSON

NO_INDEX: Index = ("", "")  # of predictions made elsewhere: sliced by the first that others have


@dataclass(frozen=True)
class _OnSplit:
    """A run on a split. index: its quality index. controlled: its stored qualities are not those of its clips."""

    run_id: str
    index: Index
    controlled: bool
    calls: Predictions


def slices(runs: Sequence[Run], split: str, rule: str, by: str, operating_point: str = "argmax") -> pd.DataFrame:
    """The figures of every run on every slice of a split, from stored predictions.

    Quality is cut into thirds of the split's clips, the same for all runs with one quality index (name and options).
    Its normaliser is fitted on each run's own training clips, so a clip's quality is the mean over these runs. What a
    control (shuffled, constant, inverted) stores is not the clip's quality: such a run is cut as those without one.
    Length, in seconds, is cut into thirds likewise; runs that were made before it was stored are cut as the others.

    Args:
        runs: those that may stand on one board. Those that are not done, or were not judged so, give no row:
            boards name them.
        split: its name.
        rule: the name of the selection rule.
        by: one of BY; "site" is the column `location` of the predictions.
        operating_point: "argmax", or "val-bias" at the offset that is stored with the run.

    Returns:
        A row per run and slice; the slices of a run in order. Columns run_id, slice; clips, patients;
        effective_patients, Kish's number over the slice's normal or over its abnormal clips, whichever is smaller;
        hits, the clips called by their own class. In percent, NaN where the slice has no clip of that kind: sp, se,
        score, se_two_class, and accuracy, the share of hits, which on a class is its recall.

    Raises:
        SpecError: an unknown split, rule, kind of slice or operating point.
        ResultsError: no run was judged so, a record is damaged, or nothing says what the clips' qualities, or
            lengths, are.
    """
    for name, known, what in ((by, BY, "slices by"), (operating_point, OPERATING_POINTS, "operating point")):
        if name not in known:
            raise SpecError(f"There is no {what} '{name}'.{did_you_mean(name, known)}")
    selection_rule(rule)
    refuse_unknown_split(split, runs)

    def on_split() -> Iterator[_OnSplit]:  # one at a time: their predictions together need not fit into memory
        return filter(None, (_read(run, split, rule, operating_point) for run in runs))

    cut = {"quality": _quality_thirds, "length": _length_thirds}
    thirds = cut[by](on_split()) if by in cut else {}
    made = [_sliced(run, _key(run, by, thirds), operating_point) for run in on_split()]
    if not made:
        raise ResultsError(
            f"No finished run was judged on '{split}' under '{rule}' at {operating_point}: there is nothing to slice."
        )
    return pd.concat(made, ignore_index=True)


def by_method(frame: pd.DataFrame, method_of: Mapping[str, str]) -> pd.DataFrame:
    """Mean and sd over the seeds of each method, per slice.

    Args:
        frame: from `slices`.
        method_of: run id → method; runs that are not in it are left out.

    Returns:
        A row per slice and method, slices in order, then methods in the order of `method_of`. Columns slice, method;
        clips, patients and effective_patients as in `slices`; `<figure>_mean` and `<figure>_sd` (ddof 1, NaN for one
        run) for FIGURES, over the runs whose figure is defined; n, the runs.
    """
    chosen = frame[frame["run_id"].isin(list(method_of))]
    order = {"slice": list(dict.fromkeys(frame["slice"])), "method": list(dict.fromkeys(method_of.values()))}
    chosen = chosen.assign(method=chosen["run_id"].map(method_of))
    chosen = chosen.assign(**{name: pd.Categorical(chosen[name], values) for name, values in order.items()})
    groups = chosen.groupby(list(order), observed=True)
    figures = list(FIGURES)
    means, spread = groups[figures].mean().add_suffix("_mean"), groups[figures].std(ddof=1).add_suffix("_sd")
    made = pd.concat([groups[list(BEHIND)].first(), means, spread, groups.size().rename("n")], axis=1).reset_index()
    return made.astype(dict.fromkeys(order, str))


def _read(run: Run, split: str, rule: str, operating_point: str) -> _OnSplit | None:
    """A run as it was judged; None where it is not done, was not judged so, or has no such operating point."""
    with as_written(run):
        if run.state != "done" or run.judged_on(split, rule) is None:
            return None
        calls, quality = run.calls(split, rule), run.spec.quality
        if operating_point not in calls.offsets:
            return None
        options = json.dumps(quality.params, sort_keys=True)
        index = NO_INDEX if run.data.elsewhere else (quality.name, options)
        return _OnSplit(run.run_id, index, quality.control != "none", calls)


def _key(run: _OnSplit, by: str, thirds: Mapping[Index, pd.Series]) -> pd.Series:
    """The slice of each clip of a run; slices sort as they should be listed."""
    clips = run.calls.clips
    if by == "class":
        return pd.Series(
            pd.Categorical.from_codes(clips["label"].to_numpy(), pd.Index(run.calls.task.classes)), clips.index
        )
    if by in ("quality", "length"):
        return clips.index.to_series().map(thirds[run.index]).astype(thirds[run.index].dtype)
    return clips["location" if by == "site" else by].replace("", NOT_GIVEN)


def _quality_thirds(runs: Iterable[_OnSplit]) -> dict[Index, pd.Series]:
    """The third of each clip, by clip id, for every quality index among the runs."""
    stored: dict[Index, list[pd.Series]] = defaultdict(list)
    controlled: dict[Index, str] = {}
    for run in runs:
        if run.controlled:
            controlled[run.index] = run.run_id
        else:
            stored[run.index].append(run.calls.clips["quality"])
    elsewhere = controlled.pop(NO_INDEX, None)
    if elsewhere and not stored:
        raise ResultsError(
            f"{elsewhere}: predictions made elsewhere come without the quality of clips. Slice it beside a run."
        )
    for index, run_id in controlled.items():
        if index not in stored:
            raise ResultsError(
                f"{run_id}: quality.control made its stored qualities, and no run here with the same index says what "
                "they were before. Slice it beside a run with quality.control=none."
            )
    named = Counter(name for name, _ in stored)
    thirds = {
        (name, options): _thirds(
            pd.concat(qualities, axis=1).mean(axis=1), name if named[name] == 1 else f"{name} {options}"
        )
        for (name, options), qualities in stored.items()
    }
    return thirds | ({NO_INDEX: next(iter(thirds.values()))} if elsewhere else {})


def _length_thirds(runs: Iterable[_OnSplit]) -> dict[Index, pd.Series]:
    """The third of each clip, by clip id, the same for every quality index: no run changes how long a clip is."""
    known: list[pd.Series] = []
    indices: dict[Index, str] = {}
    for run in runs:
        indices[run.index] = run.run_id
        if "length_s" in run.calls.clips:
            known.append(run.calls.clips["length_s"])
    if indices and not known:
        raise ResultsError(
            f"{next(iter(indices.values()))}: its record does not say how long clips are, nor does that of another run "
            "here: they were made before lengths were stored. Make one more run of this board, with another seed say."
        )
    if not known:
        return {}
    lengths = pd.concat(known)
    thirds = _thirds(lengths[~lengths.index.duplicated()], "", THIRDS_OF_LENGTH, " s")
    return dict.fromkeys(indices, thirds)


def _thirds(numbers: pd.Series, label: str, words: Sequence[str] = THIRDS, unit: str = "") -> pd.Series:
    """The third of each clip, named by its bounds; clips of equal quality, or length, stay together."""
    edges = numbers.quantile([0, 1 / 3, 2 / 3, 1]).to_numpy()
    bounds = zip(words, edges[:-1], edges[1:], strict=True)
    names = [f"{label} {third}: {low:.2f} to {high:.2f}{unit}".strip() for third, low, high in bounds]
    codes = np.searchsorted(edges[1:-1], numbers.to_numpy())
    return pd.Series(pd.Categorical.from_codes(codes, pd.Index(names)), numbers.index)


def _sliced(run: _OnSplit, key: pd.Series, operating_point: str) -> pd.DataFrame:
    """The rows of a run in what `slices` returns."""
    clips, called = run.calls.clips, run.calls.called(operating_point)
    as_patients = clips.assign(patient=key.astype(str))  # what is counted for each patient is counted for each slice
    task = run.calls.task
    design, hits = design_of(as_patients, task), count_hits(as_patients, called, task)
    shares = shares_of(len(task.classes))
    counted = pd.DataFrame({name: _percent(shares[name], hits, design.support) for name in FIGURES if name in shares})
    counted["hits"] = hits[:, : len(task.classes)].sum(axis=1)

    groups = clips.groupby(key, observed=True)
    behind = pd.DataFrame({"clips": groups.size(), "patients": groups["patient"].nunique()})
    behind = behind.assign(effective_patients=_effective_patients(clips, key)).rename(index=str)
    rows = behind.join(counted.set_index(pd.Index(design.patients))).rename_axis("slice").reset_index()
    rows = rows.assign(accuracy=100 * rows["hits"] / rows["clips"], run_id=run.run_id)
    return rows[["run_id", "slice", *BEHIND, "hits", *FIGURES]]


def _percent(shares: Sequence[Share], hits: Hits, support: IntArray) -> FloatArray:
    """(S,) the mean of some shares for each of S slices; NaN where one of them is of no clip."""
    parts = [(hits[:, of].sum(axis=1), support[:, classes].sum(axis=1)) for of, classes in shares]
    rates = [np.divide(hit, clips, out=np.full(len(hits), np.nan), where=clips > 0) for hit, clips in parts]
    mean: FloatArray = 100 * np.mean(rates, axis=0)
    return mean


def _effective_patients(clips: pd.DataFrame, key: pd.Series) -> pd.Series:
    """Per slice: the effective number of patients of its normal or its abnormal clips, whichever is smaller."""
    abnormal = (clips["label"] != NORMAL).rename("abnormal")
    counts = clips.groupby([key.rename("slice"), abnormal, "patient"], observed=True).size()
    of_kinds = counts.groupby(level=["slice", "abnormal"], observed=True).agg(effective_number)
    return of_kinds.groupby(level="slice", observed=True).min()
