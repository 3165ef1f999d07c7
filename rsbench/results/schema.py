"""A row of a board, key by key: one run, judged on one split, at the epoch of one selection rule."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..data.splits import split
from ..evaluation.selection import rule
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
)


def rows(folder: RunFolder, split_name: str, rule_name: str) -> Iterator[dict[str, Any]]:
    """The rows of a run for a split and a rule, one per operating point; none where the run was not so judged.

    A run that is not done gives one row without figures, so that a board can say how many are missing.
    Raises ResultsError when the record is damaged.
    """
    status = folder.status()
    if not (folder.path / "data.json").is_file():
        return  # it never came as far as reading its data: there is nothing to place it by
    spec, data, environment = (folder.read_json(f"{name}.json") for name in ("spec", "data", "env"))
    if split_name not in data["splits"] or split_name not in spec["data"]["test"] or rule_name not in spec["select"]:
        return
    judged, train = data["splits"][split_name], data["splits"][spec["data"]["train"]]
    base = {
        "run_id": folder.run_id,
        "state": status["state"],
        "loss": spec["loss"]["name"],
        "backbone": spec["backbone"]["name"],
        "weights": data["weights"]["sha256"] or "none",
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
        "track": "fine-tuned",
        "synthetic": data["synthetic"],
        "partial": data["datasets"][judged["dataset"]]["missing_recordings"] > 0,
        "protocol": spec["protocol"],
        "selection": rule_name,
        "code_version": environment["code_version"],
    }
    if status["state"] != "done":
        yield base | {"operating_point": "argmax"}
        return
    figures = folder.read_json("metrics.json")[rule_name][split_name]
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


def known_split(name: str, folders: list[RunFolder]) -> None:
    """Raise SpecError for a split that neither rsbench nor any of these runs knows."""
    own = {
        item["dataset"]
        for folder in folders
        if (folder.path / "data.json").is_file()
        for item in folder.read_json("data.json")["splits"].values()
    }
    split(name, own)
