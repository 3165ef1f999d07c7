"""Run records to a board: one row per method, mean ± sd over paired seeds, and nothing that must not be mixed."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from ..data.identity import mismatched
from ..data.splits import CLAIMS_FROM
from ..errors import ResultsError, SpecError, did_you_mean
from ..evaluation.selection import rule
from ..results.schema import NEVER_MIXED, known_split, rows
from ..results.store import RunFolder
from ..spec import flatten

FIGURES = ("sp", "se", "score", "inflation", "se_two_class", "auroc_abnormal", "auprc_abnormal", "macro_f1")
SETTINGS_APART = ("seed", "loss.name", "backbone.name", "backbone.weights", "data.test", "select", "tuning_trials")


@dataclass(frozen=True)
class Board:
    """A leaderboard.

    table: a row per method and operating point: loss, backbone, settings that differ, `<figure>_mean`, `<figure>_sd`,
        n_ok, n_planned; best Score first. On an oracle board `inflation` is the Score beyond that of `val`.
    runs: a row per finished run and operating point; `setting` names the settings that differ, for a picture.
    shared: what all rows have in common.
    unfinished: run ids that stand in n_planned alone, with their state.
    warnings: what a reader should know.
    """

    split: str
    header: str
    table: pd.DataFrame
    runs: pd.DataFrame
    shared: dict[str, Any]
    unfinished: dict[str, str]
    warnings: tuple[str, ...]


def leaderboard(folders: Sequence[RunFolder], split: str, selection: str, only: Mapping[str, str]) -> Board:
    """The board of one split under one selection rule.

    Args:
        folders: all runs.
        split: its name.
        selection: "val", "last" or "oracle".
        only: column → value; rows that differ are left out.

    Raises:
        SpecError: an unknown split, rule or column.
        ResultsError: no run was judged so, or the rows must not stand on one board.
    """
    header = rule(selection).header
    known_split(split, list(folders))
    found = pd.DataFrame([row for folder in folders for row in rows(folder, split, selection)])
    if found.empty:
        raise ResultsError(
            f"No run was judged on '{split}' under '{selection}'. "
            f"Make one: rsbench run --loss ce --backbone cnn6 --test {split} --select {selection}"
        )
    if rule(selection).judged_on == "test":
        found = _with_inflation(found, [row for folder in folders for row in rows(folder, split, "val")])
    found = _only(found, only)
    _refuse_mixture(found)
    _refuse_other_audio(found, {folder.run_id: folder for folder in folders})
    settings = _settings_that_differ(found)
    found = pd.concat([found.drop(columns="plugins"), settings], axis=1)
    budget = ["trials"] if found["trials"].any() else []
    method = ["loss", "backbone", "weights", "pretrained", *budget, *settings.columns]
    shared = {name: found[name].iloc[0] for name in NEVER_MIXED} | {"partial": bool(found["partial"].any())}
    undone = found[found["state"] != "done"]
    return Board(
        split,
        header,
        _aggregate(found, method),
        found[found["state"] == "done"].assign(setting=_in_words(settings)),
        shared,
        dict(zip(undone["run_id"], undone["state"], strict=True)),
        _warnings(found),
    )


def _only(found: pd.DataFrame, only: Mapping[str, str]) -> pd.DataFrame:
    for column, value in only.items():
        if column not in found.columns or column == "spec":
            columns = set(found.columns) - {"spec", "plugins"}
            raise SpecError(f"--only {column}={value}: a row has no such field.{did_you_mean(column, columns)}")
        kept = found[found[column].astype(str).str.startswith(value)]
        if kept.empty:
            present = ", ".join(sorted(set(found[column].astype(str))))
            raise SpecError(f"--only {column}={value}: no row has it. There are: {present}.")
        found = kept
    return found.reset_index(drop=True)


def _with_inflation(oracle: pd.DataFrame, val_rows: list[dict[str, Any]]) -> pd.DataFrame:
    """What choosing the epoch on test adds to a run's Score; empty where the run was not selected by `val` too."""
    if "score" not in oracle:
        return oracle  # no run has finished
    keys = ["run_id", "operating_point"]
    val = pd.DataFrame(val_rows, columns=[*keys, "score"]).rename(columns={"score": "val_score"})
    joined = oracle.merge(val, on=keys, how="left")
    return joined.assign(inflation=joined["score"] - joined["val_score"]).drop(columns="val_score")


def _refuse_mixture(found: pd.DataFrame) -> None:
    for column in NEVER_MIXED:
        values = found.groupby(column, sort=False)["run_id"].first()
        if len(values) > 1:
            parts = "; ".join(f"{column}={value} ({run_id})" for value, run_id in values.items())
            raise ResultsError(
                f"These runs do not belong on one board: they differ in {column}: {parts}. "
                f"Choose one with --only {column}={values.index[0]}"
            )


def _refuse_other_audio(found: pd.DataFrame, folders: Mapping[str, RunFolder]) -> None:
    """The same labels over other sound are other data: recordings are compared by their sketches."""
    done = found[found["state"] == "done"].drop_duplicates("run_id")
    if done.empty:
        return
    first, *others = (folders[run_id] for run_id in done["run_id"])
    dataset = done["dataset"].iloc[0]
    reference = first.sketch(dataset)
    for other in others:
        differing = mismatched(reference, other.sketch(dataset))
        if differing:
            raise ResultsError(
                f"{first.run_id} and {other.run_id} were judged on different sound under the same labels: recording "
                f"{differing[0]} and {len(differing) - 1} more. Keep such runs in separate result folders."
            )


def _settings_that_differ(found: pd.DataFrame) -> pd.DataFrame:
    """One column per setting that tells methods apart, beyond loss and backbone."""
    flat = pd.DataFrame([flatten(spec) for spec in found["spec"]], index=found.index)
    flat = flat.map(json.dumps, na_action="ignore").fillna("–")
    flat = flat.drop(columns=[name for name in SETTINGS_APART if name in flat])
    flat["plugins"] = found["plugins"].map(lambda sources: json.dumps(sources, sort_keys=True))
    # An option that only some methods have does not tell two runs of one method apart.
    methods = [found[name] for name in ("loss", "backbone")]
    names = [str(name) for name in flat]
    differs = [name for name in names if (flat[name].groupby(methods).nunique() > 1).any()]
    common = [
        name
        for name in names
        if name.partition(".")[0] not in ("loss", "backbone", "frontend", "plugins") and flat[name].nunique() > 1
    ]
    return flat[[name for name in names if name in {*differs, *common}]]


def _in_words(settings: pd.DataFrame) -> pd.Series:
    """The settings that differ, as one text per run: "" or " (loss.gamma 0.25)"."""
    words = settings.apply(lambda row: ", ".join(f"{name} {value}" for name, value in row.items()), axis=1)
    return words.map(lambda text: f" ({text})") if len(settings.columns) else pd.Series("", index=settings.index)


def _aggregate(found: pd.DataFrame, method: list[str]) -> pd.DataFrame:
    counts = found.groupby(method, dropna=False)["seed"].nunique().rename("n_planned")
    done = found[found["state"] == "done"]
    figures = [name for name in FIGURES if name in done]
    grouped = done.groupby([*method, "operating_point"], dropna=False)
    twice = done[done.duplicated([*method, "operating_point", "seed"], keep=False)]
    if len(twice):
        raise ResultsError(
            f"{' and '.join(twice['run_id'].unique())} are the same method and seed twice. "
            "Delete one of the run folders."
        )
    means = grouped[figures].mean().add_suffix("_mean")
    spread = grouped[figures].std(ddof=1).add_suffix("_sd")
    finished = pd.concat([means, spread, grouped["seed"].nunique().rename("n_ok")], axis=1).reset_index()
    # A method all of whose runs failed keeps its row: a failure is shown, never dropped.
    table = counts.reset_index().merge(finished, on=method, how="left")
    table = table.fillna({"n_ok": 0, "operating_point": "argmax"}).astype({"n_ok": int})
    if "score_mean" in table:
        table["best"] = table.groupby(method, dropna=False)["score_mean"].transform("first")
        table = table.sort_values(["best", *method, "operating_point"], ascending=[False, *[True] * (len(method) + 1)])
        table = table.drop(columns="best")
    return table.reset_index(drop=True)


def _few_patients(found: pd.DataFrame) -> str | None:
    """How many patients each class really rests on: a board makes no claim on a class of a few."""
    done = found[found["state"] == "done"]
    if done.empty:
        return None
    effective = done["effective_patients"].iloc[0]
    counts = ", ".join(f"{name} {count:.1f}" for name, count in effective.items())
    few = [name for name, count in effective.items() if count < CLAIMS_FROM]
    return f"effective patients: {counts}" + (f"; too few to claim anything on {', '.join(few)}" if few else "")


def _warnings(found: pd.DataFrame) -> tuple[str, ...]:
    warnings = list(filter(None, [_few_patients(found)]))
    versions = sorted(set(found["code_version"]))
    if len(versions) > 1:
        warnings.append(f"made with different code: {', '.join(versions)}")
    if found["pretrained"].str.startswith("CONTAMINATED").any():
        warnings.append("CONTAMINATED: weights that were fitted on recordings of this test set; not a result")
    if (found["pretrained"] == "?").any():
        warnings.append("?: nobody says what these weights were fitted on; state it with --set backbone.pretrained_on=")
    if found["synthetic"].any():
        warnings.append("SYNTHETIC: generated recordings; these figures say nothing about real lungs")
    if found["partial"].any():
        warnings.append("PARTIAL: an incomplete set of recordings; not to be compared with published figures")
    return tuple(warnings)
