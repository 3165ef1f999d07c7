"""A row of a board, key by key: one run, judged on one split, at the epoch of one selection rule."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..core.errors import ResultsError
from ..core.spec import DEFAULT_TASK, flatten
from ..data.identity import clips_id
from ..data.splits import split
from ..data.tasks import ICBHI_4, TASKS, Task
from ..evaluation.counts import Design, Hits, hit_columns
from ..evaluation.metrics import FloatArray, of_calls, predicted_classes
from ..evaluation.scoring import LATER_FIGURES, without_nan
from ..evaluation.selection import rule
from .calls import ARGMAX
from .judged import Judged, KnownClips
from .run import Run, as_written
from .schema import DataUsed, IndexUsed, PredictedElsewhere, SplitUsed
from .store import STATUS, TRACKED

# What a board never mixes (protocol, section 4 and 5): rows that differ here answer different questions.
NEVER_MIXED = (
    "protocol",
    "task",
    "code",
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

NOT_EVEN_KNOWINGLY = ("protocol", "task")  # of these: figures of two protocols, or tasks, do not mean the same


def figures_of(task: Task) -> tuple[str, ...]:
    """The figures of a row.

    Sp … balanced accuracy in percent, areas in [0, 1], calibration raw and after a temperature fitted on validation.
    """
    return (
        *("sp", "se", "score", *task.metrics, "se_two_class", "score_two_class"),
        *(f"recall_{name}" for name in task.classes),
        *task.label_figures,
        *("macro_f1", "balanced_accuracy"),
        *("auroc_abnormal", "auprc_abnormal", *(f"auroc_{name}" for name in task.findings), "macro_auroc"),
        *("se_at_sp80", "se_at_sp90", "auroc_within_length"),
        *("nll", "brier", "ece", "nll_scaled", "brier_scaled", "ece_scaled"),
        *("risk", "aurc_confidence", "aurc_quality"),
        "worst_device",
    )


NOT_SAID = "–"  # in place of a name

# Of a row of the default task: column → dtype; rows of other tasks have figures of their own. Figures, epoch and
# seconds are NaN where the run is not done. Of predictions made elsewhere
# code, track, tuning and train_fraction are missing, which keeps no row apart. Long texts that many rows share are
# categories: held once each.
COLUMNS = {
    "run_id": "str",
    "state": "str",  # "done", "running", "failed" or "interrupted"
    "operating_point": "str",
    "loss": "str",
    "backbone": "str",
    "declared": "str",  # of predictions made elsewhere: how their epoch was chosen; "–" of runs
    "weights": "str",  # sha256, or "none"
    "pretrained": "str",  # what the weights were fitted on; "?" unknown, "–" nothing, "CONTAMINATED (…)" this test set
    "fitted_on": "str",  # what the quality index was fitted on; "–" nothing, "IN TRAINING (…)" patients trained on too
    "seed": "int64",
    "settings": "category",  # JSON: the whole spec but the seed, as dotted keys
    "sources": "category",  # JSON: `kind:name` → hash of the code of everything registered that the run used
    "code": "str",  # hash of the code of training and protocol
    "made_with": "category",  # JSON: device, threads, versions of Python, of libraries and of rsbench
    "origin": "str",  # "here", or who brought the run in
    "dataset": "str",
    "labels_id": "str",
    "sketch": "str",  # equal where the data set's sketches are equal to the byte, and need no comparison
    "train_dataset": "str",  # of several, this and the other columns of training have commas between
    "train_sketch": "str",
    "fitted": "str",  # hash of the clips that were trained on, with their classes
    "design": "str",  # hash of the clips that were judged, with their classes and patients; None where not done
    "split_version": "int64",
    "task": "str",
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
    **dict.fromkeys(figures_of(ICBHI_4), "float64"),
}


def _int64(value: Any) -> int:
    number = int(value)
    if not -(2**63) <= number < 2**63:
        raise ValueError(f"{str(value)[:8]}… is too large a number")
    return number


_TYPES: dict[str, Callable[[Any], Any]] = {"str": str, "category": str, "int64": _int64, "float64": float, "bool": bool}


@dataclass(frozen=True, eq=False)
class Judgement:
    """One run at one operating point; design and hits are None where the run is not done.

    row: COLUMNS and the task's `figures_of`, of their types or None, without those that a run which is not done has no
        value for.
    hits: (P, C + 1), see `count_hits`. ranked: (P, 2), see `rank_hits`.
    """

    row: dict[str, Any]
    design: Design | None = None
    hits: Hits | None = None
    ranked: FloatArray | None = None


def judgements(run: Run, split_name: str, rule_name: str, known: KnownClips | None = None) -> list[Judgement]:
    """How a run was judged on a split under a rule, per operating point; [] where it was not.

    A run that is not done gives one row without figures, so that a board can say how many are missing. A folder without
    any record (status.json, data.json) is no run. Who judges many runs gives all of them the same `known`.

    Raises ResultsError when the record is damaged, or when its predictions do not give its figures.
    """
    with as_written(run):
        return _judgements(run, split_name, rule_name, known or KnownClips())


def _judgements(run: Run, split_name: str, rule_name: str, known: KnownClips) -> list[Judgement]:
    state = run.state
    if state == "absent" and run.begun:
        raise ResultsError(f"{run.path / STATUS}: is missing. Delete the folder {run.path} and run it again.")
    if state != "done" and not run.begun:
        return []  # it never came as far as reading its data: there is nothing to place it by
    judged = run.judged_on(split_name, rule_name)
    if judged is None:
        return []
    row = _description(run, judged) | {"state": state}
    if state != "done":
        return [Judgement(_typed(row | {"operating_point": ARGMAX}))]
    rule_name = run.own_rule(rule_name)
    trained = run.data.trained_on(run.spec)
    sketches = {dataset: _sketch_id(run, dataset) for dataset in {judged.dataset, *trained}}
    row["sketch"] = sketches[judged.dataset]
    row["train_sketch"] = ",".join(sketches[dataset] for dataset in trained)
    row["seconds"] = run.cost.seconds
    row["epoch"] = run.selection[rule(rule_name).selection(split_name)].epoch
    figures, calls = run.figures(split_name, rule_name), run.judged(split_name, rule_name, known)
    design, ranked = calls.clips.coded.design, calls.clips.coded.ranked(calls.logits)
    if rule(rule_name).judged_on == "test":
        _check_tracked(run, split_name, design)
    row["design"] = calls.clips.identity
    row = _typed(row)
    return [
        Judgement(
            row | _typed({"operating_point": point} | _figures(figures, point, run.task)),
            design,
            _hits(run, calls, figures, point),
            ranked,
        )
        for point in calls.offsets
        if point in figures
    ]


def _check_tracked(run: Run, split_name: str, design: Design) -> None:
    """Raise ResultsError where what was hit after every epoch is not of the patients who were judged."""
    tracked = run.tracked(split_name)
    if tracked is None:
        return
    counted = hit_columns(run.task)
    hits = tracked.sort_values(["epoch", "patient"])[["patient", *counted]]
    hits[counted].to_numpy(dtype=np.int64)
    if hits["patient"].tolist() != list(design.patients) * tracked["epoch"].nunique():
        raise ResultsError(
            f"{run.path / TRACKED}/{split_name}.parquet: is not of the patients who were judged. Delete the folder "
            f"{run.path} and run it again."
        )


def _typed(row: dict[str, Any]) -> dict[str, Any]:
    """The row with values of the types of COLUMNS. Raises TypeError or ValueError where a record holds others."""
    return {name: None if value is None else _TYPES[COLUMNS.get(name, "float64")](value) for name, value in row.items()}


def _description(run: Run, judged: SplitUsed) -> dict[str, Any]:
    """What is known of a run before it has any result."""
    spec, data = run.spec, run.data
    trained, dataset = data.trained_on(spec), judged.dataset
    settings = flatten(run.known_spec)
    del settings["seed"]
    row = {
        "run_id": run.run_id,
        "loss": spec.loss.name,
        "backbone": data.backbone,
        "declared": NOT_SAID,
        "weights": data.weights.sha256 or "none",
        "pretrained": pretrained(data.weights.pretrained_on, dataset),
        "fitted_on": index_fitted_on(data.quality_index, trained),
        "seed": spec.seed,
        "settings": json.dumps(settings, sort_keys=True, ensure_ascii=False),
        "sources": json.dumps(data.identity.code, sort_keys=True),
        "code": run.environment.training_code[:10] or "unknown",
        "made_with": run.environment.made_with,
        "origin": run.origin_in_words,
        "dataset": dataset,
        "labels_id": data.identity.labels[dataset],
        "split_version": judged.version,
        "task": _task_in_words(data),
        "label_map": f"{data.label_map.name} v{data.label_map.version}",
        "train": ",".join(f"{name} v{data.splits[name].version}" for name in spec.data.trains),
        "train_dataset": ",".join(trained),
        # Protocol 1 says whom it kept for validation, from which the clips follow.
        "fitted": data.fitted_id or clips_id(data.validation_patients),
        "train_labels_id": ",".join(data.identity.labels[name] for name in trained),
        "train_fraction": 1 - spec.validation.fraction,
        "weights_source": data.weights.source,
        "weights_origin": data.weights.origin,
        "weights_licence": data.weights.licence,
        "weights_loaded": data.weights.loaded,
        "track": data.track,
        "tuning": "tuned" if spec.tuning_trials else "as published",
        "trials": spec.tuning_trials,
        "synthetic": data.synthetic,
        "partial": any(data.datasets[name].missing_recordings > 0 for name in {dataset, *trained}),
        "protocol": spec.protocol,
        "code_version": run.environment.code_version,
    }
    return row | (_not_known(data.elsewhere) if data.elsewhere else {})


def _task_in_words(data: DataUsed) -> str:
    """The task's name; of one that a plugin brought with a hash, since two plugins may call two tasks alike."""
    if data.task is None:
        return DEFAULT_TASK
    brought = f"{TASKS.kind}:{data.task.name}" in data.identity.plugins
    return f"{data.task.name} {data.task.digest}" if brought else data.task.name


def _not_known(said: PredictedElsewhere) -> dict[str, Any]:
    """What replaces the columns that a record of predictions made elsewhere cannot know."""
    unknown = dict.fromkeys(("code", "track", "tuning", "train_fraction", "weights_loaded"))
    return unknown | {"declared": said.declared, "weights": NOT_SAID, "weights_source": NOT_SAID, "made_with": "{}"}


def _sketch_id(run: Run, dataset: str) -> str:
    return hashlib.sha256(run.sketch_bytes(dataset)).hexdigest()


def _figures(figures: dict[str, Any], point: str, task: Task) -> dict[str, float | None]:
    """`figures_of` the task at an operating point, None for those that the record does not have.

    That is where there was no validation, after a temperature; in records of before, LATER_FIGURES and what needs the
    clips' lengths.
    """
    wanted = figures_of(task)
    absent = dict.fromkeys(name for name in wanted if name.endswith("_scaled") or name == "auroc_within_length")
    worst = {"worst_device": figures.get("worst_device", {}).get(point)}
    known = dict.fromkeys(LATER_FIGURES) | absent | worst | figures[point]
    for part in ("threshold_free", "calibration", "risk_coverage"):
        known |= figures[part]
    return {name: known[name] for name in wanted}


def _hits(run: Run, calls: Judged, figures: dict[str, Any], point: str) -> Hits:
    """(P, C + 1), see `count_hits`. Raises ResultsError where the figures are not those of these predictions."""
    clips, called = calls.clips.coded, predicted_classes(calls.logits, calls.offsets[point])
    counted = without_nan(of_calls(clips.labels, called, run.task))
    # Quotients of whole numbers, the same on every machine: they need no tolerance.
    differing = [key for key, figure in counted.items() if figure != figures[point][key]]
    if differing:
        key = differing[0]
        raise ResultsError(
            f"{run.path}: metrics.json says {key} {figures[point][key]} at {point}, its predictions give "
            f"{counted[key]}. See: rsbench rescore {run.run_id}"
        )
    return clips.hits(called)


def pretrained(pretrained_on: Sequence[str], dataset: str) -> str:
    """What weights were fitted on, as a board shows it: marked where it meets the test set, "?" where unknown."""
    if not pretrained_on:
        return "–"
    if "unknown" in pretrained_on:
        return "?"
    names = ", ".join(pretrained_on)
    meets = any(_same_set(name, dataset) for name in pretrained_on)
    return f"CONTAMINATED ({names})" if meets else names


def index_fitted_on(index: IndexUsed, trained: Sequence[str]) -> str:
    """What a run's quality index was fitted on, as a board shows it: marked where the run trains on such patients."""
    if not index.fitted_on:
        return "–"
    names = ", ".join(index.fitted_on)
    return f"IN TRAINING ({names})" if set(trained) & set(index.seen) else names


def _same_set(name: str, dataset: str) -> bool:
    """ "ICBHI 2017" is `icbhi`: one name, without its spaces and dashes, begins with the other."""
    one, other = (re.sub(r"[^a-z0-9]", "", text.lower()) for text in (name, dataset))
    return one.startswith(other) or other.startswith(one)


def refuse_unknown_split(name: str, runs: Iterable[Run]) -> None:
    """Raise SpecError for a split that neither rsbench nor any of these runs knows."""
    split(name, {judged for run in runs if run.begun for judged in run.data.splits})
