"""Two runs side by side: in what they differ, and what came of it on the same clips.

A pair of runs is one training of each. What can be said honestly is how the two trained models differ, with an interval
over new patients; how the methods differ, over new seeds too, takes a board.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from ..core.errors import ResultsError
from ..data.identity import mismatched
from ..evaluation.counts import count_hits, design_of
from ..evaluation.metrics import BoolArray
from ..evaluation.statistics import SEEDS_FOR_A_CLAIM, counts_of, estimate_for_models
from ..results.calls import Predictions
from ..results.rescore import flat_figures
from ..results.rows import judgements
from ..results.run import Run
from .leaderboard import what_to_know

MUST_AGREE = ("dataset", "labels_id", "task", "label_map", "split_version", "protocol")  # columns of a row
COMPARED = ("score", "sp", "se")
PAIR = ("first", "second", "delta", "low", "high")  # of each of them
MOST = 10  # clips that are listed
ALL = "all"
CODE_OF_THE_LOSS = ("identity.plugins.loss:", "identity.built_in.loss:")  # which is part of the loss
# Of the record, what another field says already; so does data.test of a data set that one run alone has.
SAID_ELSEWHERE = ("identity.weights", "splits.", "class_counts.")


@dataclass(frozen=True)
class Comparison:
    """Two finished runs; every difference is the second minus the first.

    differences: a row per field: part ("spec", "data", "environment"), field, first, second.
    scores: a row per split, rule and operating_point: clips, patients, epoch_first, epoch_second, and of each of
        COMPARED `<figure>_first`, `<figure>_second`, `<figure>_delta`, `<figure>_low`, `<figure>_high`: percent, with
        the 95 % interval over new patients for these two models.
    agreement: a row per split, operating_point and class ("all" first), under the first rule that both have: clips, of
        which both, only_first, only_second and neither called right; patients_first and patients_second, with whom one
        of them called more clips right than the other.
    clips: the MOST clips of each split whose class they give the most different probabilities, under the same rule.
    notes: what a reader should know. refused: split → why the runs must not be compared on it.
    protocol: of both. seeds: of each.
    """

    first: str
    second: str
    differences: pd.DataFrame
    scores: pd.DataFrame
    agreement: pd.DataFrame
    clips: pd.DataFrame
    notes: tuple[str, ...]
    refused: dict[str, str]
    protocol: int
    seeds: tuple[int, int]

    def document(self) -> dict[str, Any]:
        """The same as JSON has it; an interval that nobody knows is null."""
        frames = {name: value for name, value in vars(self).items() if isinstance(value, pd.DataFrame)}
        return vars(self) | {name: json.loads(frame.to_json(orient="records")) for name, frame in frames.items()}


def compare(first: Run, second: Run, split: str | None = None) -> Comparison:
    """Compare two finished runs on splits, with commas between, or on all on which both were judged.

    Raises ResultsError where a run is not done, or where the two must not be compared on any of these splits.
    """
    for run in (first, second):
        if (state := run.state) != "done":
            raise ResultsError(f"{run.run_id}: is {state}; only finished runs can be compared. Finish it first.")
    trained = [run for run in (first, second) if not run.data.elsewhere] or [first]
    rules = [name for name in trained[0].spec.select if name in trained[-1].spec.select]
    if not rules:
        chosen = " and ".join(", ".join(run.spec.select) for run in (first, second))
        raise ResultsError(f"{first.run_id} and {second.run_id} share no selection rule: they have {chosen}.")
    asked = (
        [name.strip() for name in split.split(",")]
        if split
        else [name for name in first.spec.data.test if name in second.spec.data.test]
    )
    found = {name: _on_split(first, second, name, rules) for name in asked}
    refused = {name: one for name, one in found.items() if isinstance(one, str)}
    compared = [one for one in found.values() if isinstance(one, _OnSplit)]
    if not compared:
        why = "".join(f"\n{name}: {reason}" for name, reason in refused.items())
        why = why or " They were tested on no split that both know; name one with --split."
        raise ResultsError(f"{first.run_id} and {second.run_id} must not be compared.{why}")
    differences = _differences(first, second)
    return Comparison(
        first.run_id,
        second.run_id,
        differences,
        pd.DataFrame([row for one in compared for row in one.scores()]),
        pd.DataFrame([row for one in compared for row in one.agreement()]),
        pd.concat([one.clips() for one in compared], ignore_index=True),
        (*_what_sets_them_apart(differences), *(note for one in compared for note in one.notes())),
        refused,
        first.spec.protocol,
        (first.spec.seed, second.spec.seed),
    )


@dataclass(frozen=True)
class _Judged:
    """One run on a split under a rule: its row of a board, at argmax, and what it called each clip."""

    row: dict[str, Any]
    calls: Predictions


@dataclass(frozen=True)
class _OnSplit:
    """A split on which two runs may be compared. pairs: rule → both of them."""

    split: str
    pairs: dict[str, tuple[_Judged, _Judged]]

    @property
    def rule(self) -> str:
        """The first that both have: under which the details are shown."""
        return next(iter(self.pairs))

    def scores(self) -> Iterator[dict[str, Any]]:
        for rule, (one, other) in self.pairs.items():
            for point in _points(one, other):
                row = {"split": self.split, "rule": rule, "operating_point": point}
                epochs = {"epoch_first": int(one.row["epoch"]), "epoch_second": int(other.row["epoch"])}
                yield row | epochs | _paired(one.calls, other.calls, point)

    def agreement(self) -> Iterator[dict[str, Any]]:
        one, other = self.pairs[self.rule]
        labels, patients = one.calls.labels, one.calls.clips["patient"]
        for point in _points(one, other):
            before, after = one.calls.right(point), other.calls.right(point)
            for number, name in enumerate((ALL, *one.calls.task.classes), start=-1):
                chosen = labels == number if name != ALL else np.full(len(labels), True)
                row = {"split": self.split, "rule": self.rule, "operating_point": point, "class": name}
                yield row | _agreement(before[chosen], after[chosen], patients[chosen])

    def clips(self) -> pd.DataFrame:
        one, other = (judged.calls for judged in self.pairs[self.rule])
        clip, names = np.arange(len(one.labels)), np.array(one.task.classes)
        before, after = (calls.probabilities()[clip, one.labels] for calls in (one, other))
        found = pd.DataFrame(
            {
                "split": self.split,
                "rule": self.rule,
                "clip_id": one.clips.index,
                "patient": one.clips["patient"].to_numpy(),
                "is": names[one.labels],
                "called_first": names[one.called("argmax")],
                "called_second": names[other.called("argmax")],
                "p_first": before,
                "p_second": after,
            }
        )
        order = np.argsort(-np.abs(after - before), kind="stable")
        return found.iloc[order[:MOST]]

    def notes(self) -> list[str]:
        pair = self.pairs[self.rule]
        rows, task = pd.DataFrame([one.row for one in pair]), pair[0].calls.task
        effective = design_of(pair[0].calls.clips, task).effective_patients(task)
        return [f"{self.split}: {note}" for note in what_to_know(rows, effective)]


def _on_split(first: Run, second: Run, split: str, rules: Sequence[str]) -> _OnSplit | str:
    """Two runs on a split under the rules that judged both, or why they must not be compared on it."""
    pairs: dict[str, tuple[_Judged, _Judged]] = {}
    for rule in rules:
        found = [(run, judgements(run, split, rule)) for run in (first, second)]
        if all(judged for _, judged in found):
            one, other = (_Judged(judged[0].row, run.calls(split, rule)) for run, judged in found)
            if reason := _refusal(one, other):
                return reason
            pairs[rule] = one, other
    if not pairs:
        return "not both of them were judged on it under one rule"
    dataset = next(iter(pairs.values()))[0].row["dataset"]
    if differing := mismatched(first.sketch(dataset), second.sketch(dataset)):
        return f"other sound under the same labels: recording {differing[0]} and {len(differing) - 1} more"
    return _OnSplit(split, pairs)


def _refusal(one: _Judged, other: _Judged) -> str:
    """Why two runs must not be compared; "" where they may."""
    apart = [name for name in MUST_AGREE if one.row[name] != other.row[name]]
    if apart:
        return f"they differ in {', '.join(f'{name} ({one.row[name]}, {other.row[name]})' for name in apart)}"
    clips, others = one.calls.clips, other.calls.clips
    if not clips.index.equals(others.index):
        alone = clips.index.symmetric_difference(others.index)
        return f"clip {alone[0]} and {len(alone) - 1} more were judged in one of them alone"
    differing = (clips[["label", "patient"]] != others[["label", "patient"]]).any(axis=1)
    return f"clip {differing.idxmax()} has another label or patient" if differing.any() else ""


def _points(one: _Judged, other: _Judged) -> list[str]:
    return [point for point in one.calls.offsets if point in other.calls.offsets]


def _paired(one: Predictions, other: Predictions, point: str) -> dict[str, Any]:
    """The figures of both at an operating point, and their difference with its interval over patients."""
    design = design_of(one.clips, one.task)
    hits = np.stack([count_hits(calls.clips, calls.called(point), calls.task) for calls in (one, other)])
    row: dict[str, Any] = {"clips": len(one.clips), "patients": len(design.patients)}
    for figure in COMPARED:
        counts = counts_of(figure, hits[:, None].astype(np.float64), design.support.astype(np.float64))
        found = estimate_for_models(counts[[1]] - counts[[0]])
        values = (*counts.of_runs()[:, 0], found.mean[0], *found.intervals()[0])
        row |= {f"{figure}_{name}": value for name, value in zip(PAIR, values, strict=True)}
    return row


def _agreement(first: BoolArray, second: BoolArray, patients: pd.Series) -> dict[str, int]:
    more = pd.Series(second.astype(int) - first.astype(int)).groupby(patients.to_numpy()).sum()
    return {
        "clips": len(first),
        "both": int((first & second).sum()),
        "only_first": int((first & ~second).sum()),
        "only_second": int((~first & second).sum()),
        "neither": int((~first & ~second).sum()),
        "patients": len(more),
        "patients_first": int((more < 0).sum()),
        "patients_second": int((more > 0).sum()),
    }


def _differences(first: Run, second: Run) -> pd.DataFrame:
    """A row per field that is not the same in both: part, field, and its values as JSON has them; None where absent."""
    elsewhere = bool(first.data.elsewhere or second.data.elsewhere)  # of whom nobody knows most of it
    parts = {
        "spec": [run.known_spec for run in (first, second)],
        "data": [run.data.document() for run in (first, second)],
        "environment": [run.environment.document() for run in (first, second)],
    }
    rows = []
    for part, contents in parts.items():
        before, after = ({".".join(key): value for key, value in flat_figures(content)} for content in contents)
        for field in dict.fromkeys([*before, *after]):
            values = before.get(field), after.get(field)
            said = field.startswith(SAID_ELSEWHERE) or (field.startswith("datasets.") and None in values)
            said |= elsewhere and (part == "environment" or None in values)
            if values[0] != values[1] and not said:
                rows.append((part, field, *values))
    return pd.DataFrame(rows, columns=["part", "field", "first", "second"]).astype(object)


def _what_sets_them_apart(differences: pd.DataFrame) -> list[str]:
    """What the difference of two runs can be put down to, and what it cannot say."""
    of_spec = differences.loc[differences["part"] == "spec", "field"]
    beyond_loss = [field for field in of_spec if not field.startswith("loss.")]
    of_data = differences.loc[differences["part"] == "data", "field"]
    of_data = of_data[~of_data.str.startswith(CODE_OF_THE_LOSS)]
    of_code = differences["field"] == "training_code"
    if beyond_loss == ["seed"] and len(of_spec) == 1:
        cause = "They differ in the seed alone: the difference is training noise."
    elif "seed" in beyond_loss:
        cause = "They have different seeds: training noise of both is in the difference."
    elif not beyond_loss and of_data.empty and not of_code.any():
        cause = "One seed, and the loss alone differs: initial weights, order of clips, masks and dropout are the same."
    else:
        cause = "Settings, data or code also differ elsewhere, so the difference cannot be put down to the loss."
    return [
        cause,
        "One training of each: the intervals are over new patients for these two models, and know nothing of other "
        f"seeds. A claim about methods takes {SEEDS_FOR_A_CLAIM} seeds: rsbench leaderboard --baseline.",
    ]
