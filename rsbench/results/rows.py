"""A row of a board, key by key: one run, judged on one split, at the epoch of one selection rule."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pandas as pd
from pydantic import ValidationError

from ..core.errors import ResultsError
from ..core.spec import RunSpec, flatten
from ..data.clips import CLASSES
from ..data.splits import named_splits, own_split, split
from ..evaluation.counts import Design, Hits, count_hits, design_of
from ..evaluation.metrics import at_operating_point, predicted_classes
from ..evaluation.scoring import LOGIT_COLUMNS, score_run, without_nan
from ..evaluation.selection import rule
from .merge import origin
from .store import STATUS, RunFolder

OPERATING_POINTS = ("argmax", "val-bias")

# What a board never mixes (protocol, section 4 and 5): rows that differ here answer different questions.
NEVER_MIXED = (
    "protocol",
    "synthetic",
    "train",
    "train_labels_id",
    "train_fraction",
    "split_version",
    "label_map",
    "labels_id",
    "track",
    "tuning",
)

# Sp … balanced accuracy in percent, areas in [0, 1], calibration raw and after a temperature fitted on validation.
FIGURES = (
    *("sp", "se", "score", "se_two_class", "score_two_class"),
    *(f"recall_{name}" for name in CLASSES),
    *("macro_f1", "balanced_accuracy"),
    *("auroc_abnormal", "auprc_abnormal", "auroc_crackle", "auroc_wheeze", "se_at_sp80", "se_at_sp90"),
    *("nll", "brier", "ece", "nll_scaled", "brier_scaled", "ece_scaled"),
    *("risk", "aurc_confidence", "aurc_quality"),
)

# Of a row: column → dtype. Figures, epoch and seconds are NaN where the run is not done.
COLUMNS = {
    "run_id": "str",
    "state": "str",  # "done", "running", "failed" or "interrupted"
    "operating_point": "str",
    "loss": "str",
    "backbone": "str",
    "weights": "str",  # sha256, or "none"
    "pretrained": "str",  # what the weights were fitted on; "?" unknown, "–" nothing, "CONTAMINATED (…)" this test set
    "fitted_on": "str",  # what the quality index was fitted on; "–" nothing, "IN TRAINING (…)" patients trained on too
    "seed": "int64",
    "settings": "str",  # JSON: the whole spec but the seed, as dotted keys
    "plugins": "str",  # JSON: what each plugin's source hashes to
    "origin": "str",  # "here", or who brought the run in
    "dataset": "str",
    "labels_id": "str",
    "sketch": "str",  # equal where the data set's sketches are equal to the byte, and need no comparison
    "design": "str",  # who was judged; None where the run is not done
    "split_version": "int64",
    "label_map": "str",
    "train": "str",
    "train_labels_id": "str",
    "train_fraction": "float64",
    "weights_source": "str",
    "weights_origin": "str",
    "weights_licence": "str",
    "weights_loaded": "float64",  # share of the backbone's tensors
    "track": "str",
    "tuning": "str",
    "trials": "int64",
    "synthetic": "bool",
    "partial": "bool",
    "protocol": "int64",
    "code_version": "str",
    "epoch": "float64",
    "seconds": "float64",
    **dict.fromkeys(FIGURES, "float64"),
}

_TYPES: dict[str, Callable[[Any], Any]] = {"str": str, "int64": int, "float64": float, "bool": bool}


@dataclass(frozen=True, eq=False)
class Judgement:
    """One run at one operating point; design and hits are None where the run is not done.

    row: COLUMNS, of their types or None, without those that a run which is not done has no value for.
    hits: (P, 5), see `count_hits`.
    """

    row: dict[str, Any]
    design: Design | None = None
    hits: Hits | None = None


def judgements(folder: RunFolder, split_name: str, rule_name: str) -> list[Judgement]:
    """How a run was judged on a split under a rule, per operating point; [] where it was not.

    A run that is not done gives one row without figures, so that a board can say how many are missing. A split that
    was not asked for when the run was made is judged from its stored predictions, where they are of a data set that
    the run was only tested on. A folder without any record (status.json, data.json) is no run.

    Raises ResultsError when the record is damaged, or when its predictions do not give its figures.
    """
    try:
        return _judgements(folder, split_name, rule_name)
    except (LookupError, TypeError, ValueError, AttributeError) as error:  # files that are whole, of another shape
        raise ResultsError(
            f"{folder.path}: its record is not as rsbench writes it ({type(error).__name__}: {error}). "
            "Delete this folder and run it again."
        ) from error


def _judgements(folder: RunFolder, split_name: str, rule_name: str) -> list[Judgement]:
    state, begun = folder.status()["state"], (folder.path / "data.json").is_file()
    if state == "absent" and begun:
        raise ResultsError(f"{folder.path / STATUS}: is missing. Delete the folder {folder.path} and run it again.")
    if state != "done" and not begun:
        return []  # it never came as far as reading its data: there is nothing to place it by
    spec, data = full_spec(folder), folder.read_json("data.json")
    judged = judged_as(split_name, rule_name, spec, data)
    if judged is None:
        return []
    row = _description(folder, spec, data, judged) | {"state": state}
    if state != "done":
        return [Judgement(_typed(row | {"operating_point": OPERATING_POINTS[0]}))]
    row |= {"sketch": _digest(folder, judged["dataset"]), "seconds": folder.read_json("cost.json")["seconds"]}
    row["epoch"] = folder.read_json("selection.json")[rule(rule_name).selection(split_name)]["epoch"]
    figures = folder.read_json("metrics.json")[rule_name].get(split_name)
    if figures is None:
        train = data["splits"][spec["data"]["train"]]["dataset"]
        figures = score_run(folder.predictions(), [split(split_name)], [rule_name], train)[rule_name][split_name]
    clips = judged_clips(folder, split_name, rule_name, judged["dataset"], figures["clips"])
    design = design_of(clips)
    row["design"] = design.digest()
    found = []
    for point in OPERATING_POINTS:
        if point in figures:
            at_point = _typed(row | {"operating_point": point} | _figures(figures, point))
            found.append(Judgement(at_point, design, _hits(folder, clips, figures, point)))
    return found


def _typed(row: dict[str, Any]) -> dict[str, Any]:
    """The row with values of the types of COLUMNS. Raises TypeError or ValueError where a record holds others."""
    return {name: None if value is None else _TYPES[COLUMNS[name]](value) for name, value in row.items()}


def _description(
    folder: RunFolder, spec: dict[str, Any], data: dict[str, Any], judged: dict[str, Any]
) -> dict[str, Any]:
    """What is known of a run before it has any result."""
    train = data["splits"][spec["data"]["train"]]
    settings = flatten({key: value for key, value in spec.items() if key != "seed"})
    return {
        "run_id": folder.run_id,
        "loss": spec["loss"]["name"],
        "backbone": data["backbone"],
        "weights": data["weights"]["sha256"] or "none",
        "pretrained": pretrained(data["weights"]["pretrained_on"], judged["dataset"]),
        "fitted_on": index_fitted_on(data, train["dataset"]),
        "seed": spec["seed"],
        "settings": json.dumps(settings, sort_keys=True, ensure_ascii=False),
        "plugins": json.dumps(data["identity"]["plugins"], sort_keys=True),
        "origin": origin(folder),
        "dataset": judged["dataset"],
        "labels_id": data["identity"]["labels"][judged["dataset"]],
        "split_version": judged["version"],
        "label_map": f"{data['label_map']['name']} v{data['label_map']['version']}",
        "train": f"{spec['data']['train']} v{train['version']}",
        "train_labels_id": data["identity"]["labels"][train["dataset"]],
        "train_fraction": 1 - spec["validation"]["fraction"],
        **{f"weights_{key}": data["weights"][key] for key in ("source", "origin", "licence", "loaded")},
        "track": data["track"],
        "tuning": "tuned" if spec["tuning_trials"] else "as published",
        "trials": spec["tuning_trials"],
        "synthetic": data["synthetic"],
        "partial": data["datasets"][judged["dataset"]]["missing_recordings"] > 0,
        "protocol": spec["protocol"],
        "code_version": folder.read_json("env.json")["code_version"],
    }


def _figures(figures: dict[str, Any], point: str) -> dict[str, float | None]:
    """FIGURES at an operating point; those after a temperature are None where there was no validation."""
    scaled = dict.fromkeys(name for name in FIGURES if name.endswith("_scaled"))
    known = scaled | figures[point] | figures["threshold_free"] | figures["calibration"] | figures["risk_coverage"]
    return {name: known[name] for name in FIGURES}


def judged_clips(folder: RunFolder, split_name: str, rule_name: str, dataset: str, scored: int | None) -> pd.DataFrame:
    """The stored predictions of the clips that were judged, as many as were scored; None: the split was not asked for.

    Of a split that only an absent plugin knows it is taken that it judged every test clip, where their number agrees.
    """
    stored = folder.read_parquet(f"predictions/{dataset}.parquet")
    selected = stored[(stored["selection"] == rule(rule_name).selection(split_name)) & (stored["part"] == "test")]
    known = named_splits().get(split_name)
    clips = selected[(known or own_split(dataset)).test_rows(selected)]
    if known is None and len(clips) != scored:
        clips = selected
    if scored is not None and len(clips) != scored:
        raise ResultsError(
            f"{folder.path}: predictions/{dataset}.parquet holds {len(clips)} clips of '{split_name}', while "
            f"metrics.json was made from {scored}. A split that a plugin brings needs its --plugin; else see: "
            f"rsbench rescore {folder.run_id}"
        )
    _refuse_seen(folder, split_name, dataset, clips)
    return clips


def _refuse_seen(folder: RunFolder, split_name: str, dataset: str, clips: pd.DataFrame) -> None:
    """Raise ResultsError where the run's quality index was fitted on recordings of patients among these clips'."""
    seen = set(clips["patient"]) & set(_quality_index(folder.read_json("data.json"))["seen"].get(dataset, ()))
    if seen:
        name = full_spec(folder)["quality"]["name"]
        raise ResultsError(
            f"{folder.run_id}: its quality index, {name}, was fitted on recordings of {len(seen)} patients of "
            f"'{split_name}', and may be judged only on patients it has not seen. Choose another split of "
            f"{dataset}, or make the run with an index that saw none of them."
        )


def _quality_index(data: dict[str, Any]) -> dict[str, Any]:
    """What a run's index was fitted on; runs that were made before any was fitted do not say."""
    known: dict[str, Any] = data.get("quality_index", {"fitted_on": [], "seen": {}})
    return known


def _hits(folder: RunFolder, clips: pd.DataFrame, figures: dict[str, Any], point: str) -> Hits:
    """(P, 5), see `count_hits`. Raises ResultsError where the figures are not those of these predictions."""
    logits = clips[list(LOGIT_COLUMNS)].to_numpy(dtype="float64")
    offset = 0.0 if point == "argmax" else figures["operating_point"]["normal_offset"]
    counted = without_nan(at_operating_point(clips["label"], logits, offset))
    # Quotients of whole numbers, the same on every machine: they need no tolerance.
    differing = [key for key, figure in counted.items() if figure != figures[point][key]]
    if differing:
        key = differing[0]
        raise ResultsError(
            f"{folder.path}: metrics.json says {key} {figures[point][key]} at {point}, its predictions give "
            f"{counted[key]}. See: rsbench rescore {folder.run_id}"
        )
    return count_hits(clips, predicted_classes(logits, offset))


def _digest(folder: RunFolder, dataset: str) -> str:
    path = folder.path / "sketch" / f"{dataset}.parquet"
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise ResultsError(
            f"{path}: cannot be read ({error.strerror}). Delete the folder {folder.path} and run it again."
        ) from error


def full_spec(folder: RunFolder) -> dict[str, Any]:
    """A run's spec, with the defaults of fields that came after it. Raises ResultsError where that is impossible."""
    written = folder.read_json("spec.json")
    try:
        return RunSpec.model_validate(written).model_dump(mode="json")
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise ResultsError(
            f"{folder.path / 'spec.json'}: {key}: {first['msg']}. It was written by another version of rsbench: "
            "move the run elsewhere, or rank it with that version."
        ) from None


def pretrained(pretrained_on: list[str], dataset: str) -> str:
    """What weights were fitted on, as a board shows it: marked where it meets the test set, "?" where unknown."""
    if not pretrained_on:
        return "–"
    if "unknown" in pretrained_on:
        return "?"
    names = ", ".join(pretrained_on)
    meets = any(_same_set(name, dataset) for name in pretrained_on)
    return f"CONTAMINATED ({names})" if meets else names


def index_fitted_on(data: dict[str, Any], train_dataset: str) -> str:
    """What a run's quality index was fitted on, as a board shows it: marked where the run trains on such patients."""
    index = _quality_index(data)
    if not index["fitted_on"]:
        return "–"
    names = ", ".join(index["fitted_on"])
    return f"IN TRAINING ({names})" if train_dataset in index["seen"] else names


def _same_set(name: str, dataset: str) -> bool:
    """ "ICBHI 2017" is `icbhi`: one name, without its spaces and dashes, begins with the other."""
    one, other = (re.sub(r"[^a-z0-9]", "", text.lower()) for text in (name, dataset))
    return one.startswith(other) or other.startswith(one)


def judged_as(split_name: str, rule_name: str, spec: dict[str, Any], data: dict[str, Any]) -> dict[str, Any] | None:
    """Version and data set of the split for this run; None where the run says nothing about it."""
    if rule_name not in spec["select"]:
        return None
    if split_name in spec["data"]["test"]:
        return dict(data["splits"][split_name])
    known = named_splits().get(split_name)
    external = {data["splits"][name]["dataset"] for name in spec["data"]["test"]}
    external -= {data["splits"][spec["data"]["train"]]["dataset"]}
    # The oracle chose its epoch for the splits that were asked for; for any other it has none.
    if known is None or known.dataset not in external or rule(rule_name).judged_on == "test":
        return None
    return {"version": known.version, "dataset": known.dataset}


def known_split(name: str, folders: list[RunFolder]) -> None:
    """Raise SpecError for a split that neither rsbench nor any of these runs knows."""
    recorded = {
        judged
        for folder in folders
        if (folder.path / "data.json").is_file()
        for judged in folder.read_json("data.json")["splits"]
    }
    split(name, recorded)
