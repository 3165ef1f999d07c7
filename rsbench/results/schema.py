"""A run's record on disk, file by file and key by key.

    spec.json           what was asked for: `core.spec.RunSpec`
    status.json         Status: in which state the run is. A run is done only if this says so
    env.json            Environment: where and with what it was made
    data.json           DataUsed: what it was made from, before any training
    epochs.csv          a row per epoch: epoch (from 1), lr, train_loss, <selection>_sp, _se, _score (percent), what
                        else chooses (_mean_auroc) or was chosen in solving a loss, seconds
    folds.csv           of cv-refit, and of a split with folds, whose means epochs.csv has: the same of every fold, with
                        its number in `fold`
    selection.json      selection → ChosenEpoch
    predictions/*.parquet   a file per data set: `evaluation.scoring.prediction_columns`, a row per clip and selection
    tracked/*.parquet   of the oracle, a file per test split: epoch, patient and `evaluation.counts.hit_columns`, a row
                        per epoch and patient
    embeddings/*.npy    (rows of the predictions under the first rule, axes) float16: places for a map; never exported
    metrics.json        Metrics: rule → split → what `evaluation.scoring.score_predictions` returns
    cost.json           Cost
    sketch/*.parquet    a file per data set: `data.identity`'s sketch of its sound
    origin.json         Origin: of a run that was brought in by `rsbench merge`
    error.txt           the traceback of a run that failed
    checkpoints/        weights and the state of training; never exported

A selection says whose epoch it is: "val", "val-auroc", "last", "cv-refit", or "oracle:<split>". Everything outside
`results` reads a record as `results.run.Run`.
"""

from __future__ import annotations

import hashlib
import json
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    TypeAdapter,
    field_validator,
    model_serializer,
    model_validator,
)
from pydantic_core import PydanticCustomError

from ..core.errors import PluginError
from ..core.spec import RunSpec
from ..data.tasks import Kind, LabelMap, Level, Metric, Task

# Raised when a reader of the old shape would misread the new one. A field that comes with a default does not raise it.
SCHEMA_VERSION = 1
NEWER = "newer"  # the type of the error for a version beyond that

LIMIT = 2**63
Whole = Annotated[int, Field(ge=-LIMIT, lt=LIMIT)]  # what a table can hold

State = Literal["absent", "running", "done", "failed", "interrupted"]  # "absent": nothing was written yet


class RecordPart(BaseModel):
    """A part of a record. Keys that a later rsbench added are passed over."""

    model_config = ConfigDict(frozen=True, populate_by_name=True, allow_inf_nan=False)

    def document(self) -> dict[str, Any]:
        """As JSON has it."""
        return self.model_dump(mode="json", by_alias=True)


class Status(RecordPart):
    """at: when it was written, ISO 8601, UTC. epoch, epochs: of a run that trains. message: of one that failed."""

    state: State
    at: str = ""
    pid: Whole | None = None
    epoch: Whole | None = None
    epochs: Whole | None = None
    message: str | None = None

    def document(self) -> dict[str, Any]:
        """As JSON has it, without what nobody set."""
        return self.model_dump(mode="json", exclude_defaults=True)


class Environment(RecordPart):
    """Where and with what a run was made; never part of its id.

    code_version: with the commit, and + where changed. training_code: the hash of the code of training and protocol
    (`core.fingerprint.training_sha256`); "" in protocol 1. gpu: "cuda", "cudnn", "driver", "memory"; {} without one.
    """

    code_version: str
    training_code: str = ""
    python: str
    platform: str
    libraries: dict[str, str]
    device: str
    device_name: str
    threads: Whole
    gpu: dict[str, str] = {}

    @cached_property
    def made_with(self) -> str:
        """JSON: what may move a result without being part of a method, by the name that a board gives it."""
        machine: dict[str, Any] = {"device": self.device.partition(":")[0], "device_name": self.device_name}
        machine |= {"platform": self.platform, "threads": self.threads, "python": self.python}
        return json.dumps(machine | self.libraries | {"rsbench": self.code_version}, sort_keys=True)


class SplitUsed(RecordPart):
    version: Whole
    dataset: str


class LabelMapUsed(RecordPart):
    name: str
    version: Whole


class TaskUsed(RecordPart):
    """The fields of `data.tasks.Task`, but for its label maps."""

    name: str
    classes: tuple[str, ...]
    reference: str
    findings: dict[str, tuple[str, ...]] = {}
    level: Level = "clip"
    kind: Kind = "single-label"
    metrics: tuple[Metric, ...] = ()

    @model_validator(mode="after")
    def _is_a_task(self) -> TaskUsed:
        try:
            self.as_task()
        except PluginError as error:
            raise PydanticCustomError("no_task", "{why}", {"why": str(error)}) from None
        return self

    @property
    def digest(self) -> str:
        """Of its fields: two tasks of one name are one where it is equal."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:6]

    def as_task(self) -> Task:
        """The task, whose labels have all become classes."""
        own = LabelMap("classes", 1, {name: name for name in self.classes})
        return Task(self.name, self.classes, self.reference, (own,), self.findings, self.level, self.kind, self.metrics)


class Identity(RecordPart):
    """What the run id hashes beside the spec.

    labels: data set → hash of its clips and labels. weights: sha256, "" for none. plugins: `kind:name` → hash of the
    code of what a plugin brought. built_in: likewise of what rsbench brought, but for data sets (see
    `core.fingerprint`); empty in protocol 1. quality_index: sha256 of what the index was fitted to; "" where it was to
    nothing. predictions: sha256 of those that another program made, of which alone such a run consists. What is empty
    of the last three is not in the file, nor in the run id.
    """

    labels: dict[str, str]
    weights: str
    plugins: dict[str, str]
    built_in: dict[str, str] = {}
    quality_index: str = ""
    predictions: str = ""

    @property
    def code(self) -> dict[str, str]:
        """`kind:name` → hash of the code of everything registered that the run used."""
        return self.plugins | self.built_in

    @model_serializer(mode="wrap")
    def _without_nothing(self, as_usual: SerializerFunctionWrapHandler) -> dict[str, Any]:
        fields: dict[str, Any] = as_usual(self)
        later = ("built_in", "quality_index", "predictions")
        return {key: value for key, value in fields.items() if value or key not in later}


class DatasetUsed(RecordPart):
    """missing_recordings: official ones that were not there. clipped_ends: clips that ended after their recording.

    bytes_id: hash of the sound files. words: of its annotations → the class that each stands for.
    """

    recordings: Whole
    clips: Whole
    clips_per_part: dict[str, dict[str, Whole]]
    missing_recordings: Whole
    clipped_ends: Whole
    bytes_id: str
    notes: tuple[str, ...] = ()
    words: dict[str, str | None] = {}


class WeightsUsed(RecordPart):
    """What the backbone began with; the fields of `core.weights.WeightsFile`, and loaded: share of its tensors."""

    source: str
    sha256: str
    licence: str
    pretrained_on: tuple[str, ...]
    origin: str
    loaded: float


class IndexUsed(RecordPart):
    """What a quality index was fitted on. seen: data set → patients whose recordings it saw."""

    fitted_on: tuple[str, ...] = ()
    seen: dict[str, tuple[str, ...]] = {}


class PredictedElsewhere(RecordPart):
    """What was said of predictions that another program made.

    declared: how its epoch was chosen, as on boards of published results. kind: "logits", "probabilities" or "labels".
    files: their names, of the test clips and, if there was one, of validation clips; DataFrame where it was one.
    """

    declared: str
    kind: str
    files: tuple[str, ...]


class DataUsed(RecordPart):
    """What a run was made from.

    plugins: `kind:name` → the plugin that brought it, the name of a .py file or of a module; {} in records from before
    it was kept.
    backbone: its name on boards. track: "frozen" or "fine-tuned". validation_patients: `dataset:patient` where several
    data sets were trained on. folds: the patients that each fold holds out.
    fitted_id: hash of the clips to train on, with their classes; "" in protocol 1. class_counts: how many of them.
    domains: of how many patients, devices and data sets they are; {} in records from before losses were told.
    quality_normaliser: the index's own, fitted on those clips. validation_folds: of a split with folds, the patients
    that validate each; clips to train on are then those of any fold, hashed with its number, and normalisers, of which
    each fold has its own, are not kept.
    task: None of the default one, which records of before all had.
    elsewhere: of a run of predictions that another program made. Who trained, on what share of the training patients
    and how, is then not known: track, weights, and the fields of the spec beside loss, data, select and seed say
    nothing.
    """

    schema_version: int = 1  # records from before it was written are of the first
    backbone: str
    track: str
    identity: Identity
    plugins: dict[str, str] = {}
    splits: dict[str, SplitUsed]
    label_map: LabelMapUsed
    task: TaskUsed | None = None
    synthetic: bool
    partial: bool
    train_patients: Whole
    validation_patients: tuple[str, ...]
    folds: tuple[tuple[str, ...], ...]
    validation_folds: tuple[tuple[str, ...], ...] = ()
    fitted_id: str = ""
    class_counts: dict[str, Whole]
    domains: dict[str, Whole] = {}
    quality_index: IndexUsed = IndexUsed()
    quality_normaliser: dict[str, float]
    datasets: dict[str, DatasetUsed]
    weights: WeightsUsed
    elsewhere: PredictedElsewhere | None = None

    def trained_on(self, spec: RunSpec) -> tuple[str, ...]:
        """The data sets that the run of this spec was trained on, in the order of its splits."""
        return tuple(self.splits[name].dataset for name in spec.data.trains)

    @model_serializer(mode="wrap")
    def _without_nothing(self, as_usual: SerializerFunctionWrapHandler) -> dict[str, Any]:
        fields: dict[str, Any] = as_usual(self)
        return {key: value for key, value in fields.items() if value is not None or key not in ("elsewhere", "task")}

    @field_validator("schema_version")
    @classmethod
    def _is_known(cls, version: int) -> int:
        if version > SCHEMA_VERSION:
            known = (
                f"a newer rsbench wrote it (record schema {version}; this one knows {SCHEMA_VERSION}). Upgrade rsbench."
            )
            raise PydanticCustomError(NEWER, "{why}", {"why": known})
        return version


class ChosenEpoch(RecordPart):
    """The epoch of a selection, from 1, and the figure that chose it, see `Rule`; None where none did.

    Epoch 0 is that of predictions made elsewhere, which nobody knows.

    A Score is in percent, a mean AUROC in [0, 1].
    folds: of a split with folds, the epoch of each; `epoch` is then their median, `score` their mean.
    """

    epoch: Annotated[Whole, Field(ge=0)]
    score: Annotated[float, Field(allow_inf_nan=True)] | None  # in a file, NaN is null
    folds: tuple[Whole, ...] = ()

    def document(self) -> dict[str, Any]:
        """As JSON has it, without folds where there are none."""
        return self.model_dump(mode="json", exclude=set() if self.folds else {"folds"})


class Cost(RecordPart):
    """seconds: of the whole run. Clips per second are of whole epochs, validation included.

    parameters: numbers that backbone and loss consist of. learning: those of them that are trained. None where an
    earlier version counted neither.
    """

    seconds: float
    training_seconds: float
    training_clips_per_s: float
    peak_gpu_mib: float | None
    parameters: Whole | None = None
    learning: Whole | None = None


class Origin(RecordPart):
    """Where a run came from that was brought in.

    brought_by: who brought it in first ("from" in the file). via: who passed it on since then, in order. status:
    "re-run" once somebody else made the run again and came to the same. confirmed_by: who that was. merged_at: when it
    was brought in here. manifest_sha256: of the bundle it came in.

    `status` and `confirmed_by` are what the keeper of this very folder has seen: they are not taken over from a folder
    or bundle that is brought in, which anybody may have written by hand.
    """

    brought_by: str = Field(alias="from")
    via: tuple[str, ...]
    status: Literal["self-reported", "re-run"]
    confirmed_by: str | None
    merged_at: str = ""
    manifest_sha256: str | None = None

    def in_words(self) -> str:
        """ "self-reported by …" or "re-run by …"."""
        if self.status == "re-run":
            return f"re-run by {self.confirmed_by}"
        return " via ".join([f"self-reported by {self.brought_by}", *self.via])


def _holding_numbers(figures: Any) -> Any:
    """The figures, none of which is NaN, infinite, or wider than 64 bits."""
    for value in figures.values() if type(figures) is dict else figures:
        kind = type(value)  # JSON has no others, and of thousands of records isinstance takes longer than reading them
        if kind is float or kind is int:
            if not -LIMIT < value < LIMIT:
                raise PydanticCustomError("no_figure", f"{str(value)[:8]} is no figure")
        elif kind is dict or kind is list:
            _holding_numbers(value)
    return figures


Metrics = Annotated[dict[str, dict[str, dict[str, Any]]], AfterValidator(_holding_numbers)]
Selections = dict[str, ChosenEpoch]

FILES: dict[str, TypeAdapter[Any]] = {
    "status.json": TypeAdapter(Status),
    "env.json": TypeAdapter(Environment),
    "data.json": TypeAdapter(DataUsed),
    "selection.json": TypeAdapter(Selections),
    "metrics.json": TypeAdapter(Metrics),
    "cost.json": TypeAdapter(Cost),
    "origin.json": TypeAdapter(Origin),
}
