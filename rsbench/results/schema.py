"""A row of a board, key by key: one run, judged on one split, at the epoch of one selection rule."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from pydantic import ValidationError

from ..data.splits import named_splits, split
from ..errors import ResultsError
from ..evaluation.scoring import score_run
from ..evaluation.selection import rule
from ..spec import RunSpec
from .store import RunFolder

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


def rows(folder: RunFolder, split_name: str, rule_name: str) -> Iterator[dict[str, Any]]:
    """The rows of a run for a split and a rule, one per operating point; none where the run cannot be so judged.

    A run that is not done gives one row without figures, so that a board can say how many are missing. A split that
    was not asked for when the run was made is judged from its stored predictions, where they are of a data set that
    the run was only tested on. Raises ResultsError when the record is damaged.
    """
    status = folder.status()
    if not (folder.path / "data.json").is_file():
        return  # it never came as far as reading its data: there is nothing to place it by
    spec, data, environment = _spec(folder), folder.read_json("data.json"), folder.read_json("env.json")
    judged = _judged_as(split_name, rule_name, spec, data)
    if judged is None:
        return
    train = data["splits"][spec["data"]["train"]]
    base = {
        "run_id": folder.run_id,
        "state": status["state"],
        "loss": spec["loss"]["name"],
        "backbone": data["backbone"],
        "weights": data["weights"]["sha256"] or "none",
        "pretrained": _pretrained(data["weights"]["pretrained_on"], judged["dataset"]),
        "seed": spec["seed"],
        "spec": spec,
        "plugins": data["identity"]["plugins"],
        "split": split_name,
        "split_version": judged["version"],
        "dataset": judged["dataset"],
        "labels_id": data["identity"]["labels"][judged["dataset"]],
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
        "selection": rule_name,
        "code_version": environment["code_version"],
    }
    if status["state"] != "done":
        yield base | {"operating_point": "argmax"}
        return
    figures = folder.read_json("metrics.json")[rule_name].get(split_name)
    if figures is None:
        figures = score_run(folder.predictions(), [split(split_name)], [rule_name], train["dataset"])
        figures = figures[rule_name][split_name]
    epoch = folder.read_json("selection.json")[rule(rule_name).selection(split_name)]["epoch"]
    for point in OPERATING_POINTS:
        if point in figures:
            yield base | {
                "operating_point": point,
                "epoch": epoch,
                "effective_patients": figures["effective_patients"],
                **figures[point],
                **figures["threshold_free"],
            }


def _spec(folder: RunFolder) -> dict[str, Any]:
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


def _pretrained(pretrained_on: list[str], dataset: str) -> str:
    """What weights were fitted on, as a board shows it: marked where it meets the test set, "?" where unknown."""
    if not pretrained_on:
        return "–"
    if "unknown" in pretrained_on:
        return "?"
    names = ", ".join(pretrained_on)
    meets = any(_same_set(name, dataset) for name in pretrained_on)
    return f"CONTAMINATED ({names})" if meets else names


def _same_set(name: str, dataset: str) -> bool:
    """ "ICBHI 2017" is `icbhi`: one name, without its spaces and dashes, begins with the other."""
    one, other = (re.sub(r"[^a-z0-9]", "", text.lower()) for text in (name, dataset))
    return one.startswith(other) or other.startswith(one)


def _judged_as(split_name: str, rule_name: str, spec: dict[str, Any], data: dict[str, Any]) -> dict[str, Any] | None:
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
