"""Run records to a board: a row per method, mean ± sd over paired seeds, and nothing that must not be mixed."""

from __future__ import annotations

import itertools
import json
import operator
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..core.display import Display
from ..core.errors import ResultsError, SpecError, did_you_mean
from ..data.identity import mismatched
from ..data.splits import CLAIMS_FROM
from ..data.tasks import ICBHI_4, Task
from ..evaluation.counts import Design
from ..evaluation.selection import rule
from ..results.index import BoardRows, board_rows
from ..results.rows import NEVER_MIXED, NOT_EVEN_KNOWINGLY, figures_of
from ..results.run import LABELS_ONLY, Run
from .claims import JUST_RANK, SCORE, Claim, Question, beneath
from .comparison import Paired, with_baseline, with_errors, without_errors
from .methods import ABSENT, AVERAGED, Methods, label_names, labels, shown_apart, with_methods
from .published import declared_otherwise

NO_SETTING = ("settings", "sources", "made_with")  # columns that are nothing to choose rows by
POINT = "operating_point"
NOBODY = Design((), np.empty((0, 0), dtype=np.int64))


@dataclass(frozen=True)
class Board:
    """A leaderboard.

    names: the columns of `table` that tell its methods apart.
    table: a row per method and operating point, first whoever has the best figure of the claim at argmax, last whoever
        is beneath its floor: all that names a method, its label in `method`, and in `study` what is not its loss; what
        differs beside; `<figure>_mean` and `<figure>_sd` for `figures_of` the task, n_ok, n_planned, origin, and what
        `with_errors` and `with_baseline` add. On an oracle board `inflation` is the Score beyond that of `val`.
    runs: a row per finished run and operating point; `method` is its label.
    shared: what all rows have in common.
    effective_patients: class → Kish's number; empty where nothing is done.
    unfinished: run ids that stand in n_planned alone, with their state.
    aside: what differs between rows beside their names, a line for each kind.
    warnings: what a reader should know.
    task: what its clips are told apart into.
    question: what it was asked. paired: the errors of its differences, where it was asked for a baseline.
    """

    split: str
    rule: str
    names: list[str]
    table: pd.DataFrame
    runs: pd.DataFrame
    shared: dict[str, Any]
    effective_patients: dict[str, float]
    unfinished: dict[str, str]
    aside: tuple[str, ...]
    warnings: tuple[str, ...]
    task: Task = ICBHI_4
    question: Question = JUST_RANK
    paired: Paired | None = None

    @property
    def baseline(self) -> str | None:
        return self.question.baseline

    @property
    def header(self) -> str:
        return rule(self.rule).header


def leaderboard(
    runs: Sequence[Run],
    split: str,
    selection: str,
    only: Mapping[str, str] | None = None,
    *,
    mixed: Sequence[str] = (),
    question: Question = JUST_RANK,
    cache: Path | None = None,
    display: Display | None = None,
) -> Board:
    """The board of one split under one selection rule.

    Args:
        runs: all of a results folder.
        split: its name.
        selection: "val", "last", "cv-refit" or "oracle".
        only: column or setting ("optim.lr") → value; other rows, or if none has it those that begin otherwise, go.
        mixed: columns of NEVER_MIXED that may differ all the same; they become columns of the board, but for `code`,
            over which it averages.
        question: what the board is asked.
        cache: see `board_rows`.
        display: shows how far a long reading has come.

    Raises:
        SpecError: an unknown split, rule, column or baseline.
        ResultsError: no run was judged so, or the rows must not stand on one board.
    """
    for column in mixed:
        if column in NOT_EVEN_KNOWINGLY:
            raise SpecError(f"--allow-mixed {column}: runs of two {column}s share no board. Choose one with --only.")
        if column not in NEVER_MIXED:
            raise SpecError(
                f"--allow-mixed {column}: is no column that boards keep apart.{did_you_mean(column, NEVER_MIXED)}"
            )
    read = board_rows(runs, split, selection, cache=cache, display=display)
    found = that_belong_together(runs, read, split, selection, only or {}, mixed)
    if rule(selection).judged_on == "test":
        found = _with_inflation(found, board_rows(runs, split, "val", cache=cache, display=display).rows)
    task = task_of(runs, found)
    methods = with_methods(found, mixed)
    found, method = methods.rows, methods.names
    table, notes, paired = aggregate(methods, task, question.claim), [], None
    if found["design"].nunique() > 1:
        if question.baseline is not None:
            raise ResultsError(
                f"--baseline {question.baseline}: the rows judged different clips, and differences are paired clip by "
                "clip. Leave it out, or choose one set of clips with --only."
            )
        table, design = without_errors(table), NOBODY
        notes.append("no intervals: the rows judged different clips")
    else:
        design = read.judged(found)
        table, notes = with_errors(table, found, read, method, question, declared_otherwise(table, selection))
        if question.baseline is not None:
            table, more, paired = with_baseline(table, found, read, method, question)
            notes += more
    effective = design.effective_patients(task) if design.patients else {}
    names, alike = shown_apart(table, method)
    called = label_names(table, names)
    table["method"] = labels(table, called)
    table["study"] = labels(
        table, ["backbone", *(name for name in called if not name.startswith(("loss", "backbone")))]
    )
    shared = {name: found[name].dropna().iloc[0] for name in NEVER_MIXED if found[name].nunique() == 1} | alike
    done, undone = found[found["state"] == "done"], found[found["state"] != "done"]
    return Board(
        split,
        selection,
        names,
        table,
        done.assign(method=labels(done, called)),
        shared | {"partial": bool(found["partial"].any())},
        effective,
        dict(zip(undone["run_id"], undone["state"], strict=True)),
        tuple(methods.in_words()),
        (
            *_mixture_in_words(found, mixed),
            *what_to_know(found, effective),
            *notes,
            *(f"left out: {why}" for why in read.damaged.values()),
        ),
        task,
        question,
        paired,
    )


def task_of(runs: Sequence[Run], found: pd.DataFrame) -> Task:
    """The task of rows that share a board."""
    return next(run.task for run in runs if run.run_id == found["run_id"].iloc[0])


def that_belong_together(
    runs: Sequence[Run],
    read: BoardRows,
    split: str,
    selection: str,
    only: Mapping[str, str],
    mixed: Sequence[str],
) -> pd.DataFrame:
    """The rows that may stand on one board. Raises ResultsError where there is none, or where they must not."""
    if read.rows.empty:
        damaged = "".join(f"\nleft out: {why}" for why in read.damaged.values())
        raise ResultsError(
            f"No run was judged on '{split}' under '{selection}'. "
            f"Make one: rsbench run --loss LOSS --backbone BACKBONE --train SPLIT --test {split} --select {selection}"
            f"{damaged}"
        )
    found = _only(read.rows, only)
    _refuse_mixture(found, mixed)
    _refuse_other_clips(found)
    for dataset, labels_id, sketch in (
        ("dataset", "labels_id", "sketch"),
        ("train_dataset", "train_labels_id", "train_sketch"),
    ):
        _refuse_other_audio(found, {run.run_id: run for run in runs}, dataset, labels_id, sketch)
    return found


def _only(found: pd.DataFrame, only: Mapping[str, str]) -> pd.DataFrame:
    for column, value in only.items():
        texts = _texts(found, column)
        if texts is None:
            columns = set(found.columns) - {*NO_SETTING, *figures_of(ICBHI_4)}
            raise SpecError(f"--only {column}={value}: a row has no such field.{did_you_mean(column, columns)}")
        # Of predictions made elsewhere nobody knows what keeps runs apart: they stand beside whichever is chosen.
        unknown = found[column].isna() if column in NEVER_MIXED else pd.Series(False, found.index)
        exact = texts == value
        kept = exact if exact.any() else texts.str.startswith(value)
        if not kept.any():
            there = ", ".join(sorted(set(texts[~unknown])))
            raise SpecError(f"--only {column}={value}: no row has it. There are: {there}.")
        found = found[kept | unknown]
    return found.reset_index(drop=True)


def _texts(found: pd.DataFrame, name: str) -> pd.Series | None:
    """A column as text, or a setting of the spec as a dotted key; None where no row has such a thing."""
    if name in found.columns and name not in NO_SETTING:
        return found[name].astype(str)
    settings = {text: json.loads(text) for text in found["settings"].unique()}
    if not any(name in setting for setting in settings.values()):
        return None
    return found["settings"].map({text: str(setting.get(name, ABSENT)) for text, setting in settings.items()})


def _with_inflation(oracle: pd.DataFrame, val: pd.DataFrame) -> pd.DataFrame:
    """What choosing the epoch on test adds to a run's Score; NaN where the run was not selected by `val` too."""
    keys, val = ["run_id", POINT], val[val["declared"] == ABSENT]
    joined = oracle.merge(val[[*keys, "score"]].rename(columns={"score": "val_score"}), on=keys, how="left")
    return joined.assign(inflation=joined["score"] - joined["val_score"]).drop(columns="val_score")


def _refuse_mixture(found: pd.DataFrame, mixed: Sequence[str]) -> None:
    for column in (name for name in NEVER_MIXED if name not in mixed):
        values = found.groupby(column, sort=False)["run_id"].first()
        if len(values) > 1:
            parts = "; ".join(f"{column}={value} ({run_id})" for value, run_id in values.items())
            knowingly = f", or put them side by side knowingly with --allow-mixed {column}"
            first = str(values.index[0])
            one = f"--task {shlex.quote(first)}" if column == "task" else f"--only {shlex.quote(f'{column}={first}')}"
            raise ResultsError(
                f"These runs do not belong on one board: they differ in {column}: {parts}. Choose one with "
                f"{one}{'' if column in NOT_EVEN_KNOWINGLY else knowingly}"
            )


def _mixture_in_words(found: pd.DataFrame, mixed: Sequence[str]) -> list[str]:
    """What stands side by side here because somebody asked for it."""
    differing = {name: sorted(map(str, found[name].unique())) for name in mixed if found[name].nunique() > 1}
    return [
        f"MIXED on purpose: {name} is {' and '.join(values)}" + (", and rows are means over both" * (name in AVERAGED))
        for name, values in differing.items()
    ]


def _refuse_other_clips(found: pd.DataFrame) -> None:
    """Clips under one name must have one label; and what is compared seed by seed must be fitted on the same clips."""
    done = found[found["state"] == "done"]
    for _, of_labels in done.groupby(["labels_id", "label_map", "split_version"]):
        if len(judged := of_labels.drop_duplicates("design")["run_id"]) > 1:
            raise ResultsError(
                f"{judged.iloc[0]} and {judged.iloc[1]} were judged on different clips, or on clips with other labels, "
                "under one split of one data set. Keep such runs in separate result folders."
            )
    for (_, _, _, seed), of_seed in found.groupby(["train", "train_labels_id", "train_fraction", "seed"]):
        if len(fitted := of_seed.drop_duplicates("fitted")["run_id"]) > 1:
            raise ResultsError(
                f"{fitted.iloc[0]} and {fitted.iloc[1]} were trained on different clips under one seed, {seed}: other "
                "patients were kept for validation, so they are no pair. Make one of them again, or keep them in "
                "separate result folders."
            )


def _refuse_other_audio(
    found: pd.DataFrame, runs: Mapping[str, Run], dataset: str, labels_id: str, sketch: str
) -> None:
    """The same labels over other sound are other data: recordings are compared by their sketches."""
    done = found[found["state"] == "done"]
    for _, of_labels in done.drop_duplicates([labels_id, sketch]).groupby(labels_id):
        first, *others = (runs[run_id] for run_id in of_labels["run_id"])
        for other, name in itertools.product(others, of_labels[dataset].iloc[0].split(",")):
            differing = mismatched(first.sketch(name), other.sketch(name))
            if differing:
                raise ResultsError(
                    f"{first.run_id} and {other.run_id} have different sound of '{name}' under the same labels: "
                    f"recording {differing[0]} and {len(differing) - 1} more. Keep such runs in separate result "
                    "folders."
                )


def aggregate(methods: Methods, task: Task, claim: Claim = SCORE) -> pd.DataFrame:
    """A row per method and operating point, best first, and last whoever is beneath the floor."""
    found, method = methods.rows, methods.names
    counts = found.groupby(method, dropna=False)["seed"].nunique().rename("n_planned")
    done = found[found["state"] == "done"]
    twice = done[done.duplicated([*method, POINT, "seed"], keep=False)]
    if len(twice):
        raise ResultsError(
            f"{' and '.join(twice['run_id'].unique())} are the same method and seed twice. "
            "Delete one of the run folders."
        )
    figures = [name for name in (*figures_of(task), "inflation", "seconds") if name in done]
    grouped = done.groupby([*method, POINT], dropna=False)
    finished = [
        grouped[figures].mean().add_suffix("_mean"),
        grouped[figures].std(ddof=1).add_suffix("_sd"),
        grouped["seed"].nunique().rename("n_ok"),
        grouped["origin"].agg(lambda origins: ", ".join(sorted(set(origins)))),
        *(grouped[name].agg(lambda values: " / ".join(sorted(set(values)))) for name in methods.aside),
    ]
    # A method all of whose runs failed keeps its row: a failure is shown, never dropped.
    table = counts.reset_index().merge(pd.concat(finished, axis=1).reset_index(), on=method, how="left")
    table = table.fillna({"n_ok": 0, POINT: "argmax", "origin": ""}).astype({"n_ok": int})
    table["beneath"] = beneath(table, claim).ne("")
    first = table.groupby(method, dropna=False)[["beneath", f"{claim.column}_mean"]].transform("first")
    table[["beneath", "best"]] = first
    table = table.sort_values(["beneath", "best", *method, POINT], ascending=[True, False, *[True] * (len(method) + 1)])
    return table.drop(columns=["beneath", "best"]).reset_index(drop=True)


def what_to_know(found: pd.DataFrame, effective: Mapping[str, float]) -> list[str]:
    """What a reader should know of rows; effective: class → effective patients, {} where nobody was judged."""
    warnings = []
    if effective:
        few = [name for name, count in effective.items() if count < CLAIMS_FROM]
        counts = ", ".join(f"{name} {count:.1f}" for name, count in effective.items())
        warnings.append(
            f"effective patients: {counts}" + (f"; too few to claim anything on {', '.join(few)}" if few else "")
        )
    if found["pretrained"].str.startswith("CONTAMINATED").any():
        warnings.append("CONTAMINATED: weights that were fitted on recordings of this test set; not a result")
    if (found["pretrained"] == "?").any():
        warnings.append(
            "?: it is not known what these weights were fitted on; state it with --set backbone.pretrained_on="
        )
    if "declared" in found:
        warnings += _elsewhere_in_words(found[found["declared"] != ABSENT])
    warnings += [_fitted_in_words(text) for text in sorted(set(found["fitted_on"]) - {ABSENT})]
    if found["synthetic"].any():
        warnings.append("SYNTHETIC: generated recordings; these figures say nothing about real lungs")
    if found["partial"].any():
        warnings.append("PARTIAL: an incomplete set of recordings; not to be compared with published figures")
    return warnings


def _elsewhere_in_words(found: pd.DataFrame) -> list[str]:
    """What is not known of predictions made elsewhere, and what is said of them. columns: loss, declared, origin."""
    lines = []
    if len(found):
        named = ", ".join(sorted(set(found["loss"] + " (" + found["declared"] + ")")))
        lines.append(
            f"predictions only: {named}, made elsewhere; how the epoch was chosen is declared; code, settings, track, "
            "tuning and share of the training patients are not known here, and keep no row apart"
        )
    labelled = sorted(set(found["loss"][found["origin"].str.startswith(LABELS_ONLY)]))
    if labelled:
        lines.append(f"labels only: {', '.join(labelled)}; an AUROC of labels is that of one threshold")
    return lines


def _fitted_in_words(fitted_on: str) -> str:
    if fitted_on.startswith("IN TRAINING"):
        return f"fitted_on {fitted_on}: the quality index knows patients trained on; validation is not blind to it"
    return f"fitted_on {fitted_on}: the quality index knows recordings of these; it is judged on other patients"


def with_shift(boards: Sequence[Board]) -> list[Board]:
    """The boards, those out of distribution with shift_mean, shift_sd and rank_change, where one is in distribution.

    shift: Score there minus Score in distribution, of the same run; mean and sd over the runs that both have.
    rank_change: ranks by mean Score at that operating point, among the methods that both have; positive: it rose.
    """
    reference = next((board for board in boards if in_distribution(board)), None)
    if reference is None:
        return list(boards)
    return [board if in_distribution(board) else _shifted(board, reference) for board in boards]


def in_distribution(board: Board) -> bool:
    """Whether the split is of the data that the runs learnt from."""
    learnt_from = board.runs["train_labels_id"].str.split(",")
    return len(board.runs) > 0 and all(map(operator.contains, learnt_from, board.runs["labels_id"]))


def _shifted(board: Board, reference: Board) -> Board:
    keys = ["run_id", POINT]
    both = board.runs.merge(reference.runs[[*keys, "score"]], on=keys, suffixes=("", "_before"))
    groups = both.assign(shift=both["score"] - both["score_before"]).groupby(["method", POINT])
    found = pd.DataFrame(
        {
            "shift_mean": groups["shift"].mean(),
            "shift_sd": groups["shift"].std(ddof=1),
            "here": groups["score"].mean(),
            "before": groups["score_before"].mean(),
        }
    )
    ranks = found[["here", "before"]].groupby(level=POINT).rank(ascending=False)
    found = found.assign(rank_change=ranks["before"] - ranks["here"]).drop(columns=["here", "before"])
    table = board.table.join(found, on=["method", POINT])
    return replace(board, table=table)
