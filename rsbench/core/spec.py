"""A run is its resolved spec: every field that could change the result, validated, frozen, hashable.

What is left out cannot change a result: root, output folder, display options, threads.
"""

from __future__ import annotations

import functools
import hashlib
import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from .errors import SpecError, shown
from .settings import DEEPEST, parse_settings

PROTOCOL: Literal[2] = 2  # of new runs; those of an earlier one can be read, and stand on boards of their own
DEFAULT_TRAIN = "synthetic"
DEFAULT_TASK = "icbhi-4"
DEFAULT_CLIP_S = 8.0
LONGEST_CLIP_S = 60
MOST_SEEDS = 10_000  # of a command or a study
LARGEST_SEED = 2**63 - 1  # a whole number of tables and random generators

# Keys that people type without the part they belong to.
SHORT_KEYS = {
    "loss": "loss.name",
    "backbone": "backbone.name",
    "frontend": "frontend.name",
    "quality": "quality.name",
    "task": "data.task",
    "weights": "backbone.weights",
    "train": "data.train",
    "test": "data.test",
    "epochs": "optim.epochs",
}

# Fields that came after runs were made: what these were made with is left out of the text that a run id hashes.
LATER_FIELDS: dict[tuple[str, str], Any] = {
    ("data", "task"): DEFAULT_TASK,
    ("data", "window"): "repeat",
    ("data", "adapt"): "none",
    ("augment", "mixup"): 0.0,
    ("augment", "mixstyle"): 0.0,
    ("augment", "mixstyle_p"): 0.5,
    ("optim", "compile"): "none",
    ("optim", "swa_from"): 0.0,
    ("optim", "sampling"): "shuffled",
    ("optim", "adapter"): "none",
    ("optim", "adapter_rank"): 8,
    ("optim", "adapter_targets"): [],
}

KEY = re.compile(r"[\w.:-]{1,200}")


def _split_commas(value: Any) -> Any:
    return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


Names = Annotated[tuple[str, ...], BeforeValidator(_split_commas)]


class Part(BaseModel):
    """A frozen part of the spec; an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, defer_build=True)

    @field_validator("*", mode="before")
    @classmethod
    def _true_is_no_number(cls, value: Any, info: ValidationInfo) -> Any:
        if isinstance(value, bool) and cls.model_fields[info.field_name or ""].annotation in (int, float):
            raise PydanticCustomError("number", "Input should be a number")
        return value


class Choice(BaseModel):
    """A registered thing and its options, side by side: `{"name": "qlung", "kappa_rad": 0.7}`."""

    model_config = ConfigDict(frozen=True, extra="allow", allow_inf_nan=False, defer_build=True)
    name: str

    @property
    def params(self) -> dict[str, Any]:
        """The options alone; they are checked against the registered thing's own signature."""
        return dict(self.model_extra or {})


class BackboneChoice(Choice):
    weights: str = "none"
    pretrained_on: Names = ()  # what a checkpoint nobody knows was fitted on, in its owner's words


class QualityChoice(Choice):
    name: str = "aqs"
    control: Literal["none", "constant", "shuffled", "inverted"] = "none"


@dataclass(frozen=True)
class Range:
    """What a search may try for a number: low to high, both included; log: on a logarithmic scale."""

    low: float
    high: float
    log: bool = False

    __pydantic_config__ = ConfigDict(extra="forbid", allow_inf_nan=False)

    def __post_init__(self) -> None:
        if not (0 if self.log else -math.inf) < self.low < self.high < math.inf:
            raise SpecError(f"{self}: low must be below high, both finite, and above 0 on a logarithmic scale.")


ClipSeconds = Annotated[float, Field(gt=0, le=LONGEST_CLIP_S, description="the length at which clips are shown")]
Window = Annotated[str, Field(description="how clips come to that length: repeat, zero, crop or context:SECONDS")]


class DataPart(Part):
    train: str = DEFAULT_TRAIN  # several splits, of a data set each, have commas between
    test: Names
    task: str = DEFAULT_TASK
    label_map: str = "four-class"
    clip_s: ClipSeconds = DEFAULT_CLIP_S
    window: Window = "repeat"
    adapt: Literal["none", "standardise", "adabn", "tent"] = Field(
        "none", description="transductive: how clips to test, as a whole and without labels, change what is predicted"
    )

    @property
    def trains(self) -> tuple[str, ...]:
        """The names of the splits that are trained on."""
        return tuple(self.train.split(","))


class ValidationPart(Part):
    fraction: float = Field(0.2, ge=0, lt=1, description="share of the training patients; 0 trains on all of them")
    folds: int = Field(5, ge=2, le=20, description="groups of training patients, for cv-refit")


MIXING = {"mixup", "mixstyle", "mixstyle_p"}  # fields of AugmentPart that mix the clips of a batch


class AugmentPart(Part):
    """SpecAugment, and what mixes the clips of a batch.

    Widths are shares of the features' bins and frames (48 of 128 and 160 of 798 as published).
    """

    freq_masks: int = Field(2, ge=0, le=1000)
    freq_share: float = Field(48 / 128, ge=0, le=1)
    time_masks: int = Field(2, ge=0, le=1000)
    time_share: float = Field(160 / 798, ge=0, le=1)
    quirks: Names = ()
    mixup: float = Field(0.0, ge=0, le=100, description="α of the Beta that clips are mixed by; 0 mixes none")
    mixstyle: float = Field(
        0.0, ge=0, le=100, description="α of the Beta that the bins' means and deviations are mixed by; 0 mixes none"
    )
    mixstyle_p: float = Field(0.5, ge=0, le=1, description="probability that they are, for a batch")

    @property
    def masks(self) -> dict[str, Any]:
        """The fields of SpecAugment alone."""
        return self.model_dump(exclude=MIXING)


class OptimPart(Part):
    algorithm: Literal["adam", "adamw", "sgd"] = "adam"
    lr: float = Field(1e-3, gt=0, description="the learning rate that the cosine starts from")
    weight_decay: float = Field(1e-6, ge=0)
    batch_size: int = Field(64, ge=1, le=1_000_000, description="clips of a step")
    epochs: int = Field(50, ge=1, le=1_000_000, description="passes over the fitting clips")
    final_lr_share: float = Field(1e-3, ge=0, le=1, description="the cosine ends at lr times this")
    warmup_epochs: float = Field(0.0, ge=0, description="epochs in which the learning rate rises from 0")
    clip_norm: float = Field(0.0, ge=0, description="largest norm of the gradient; 0 leaves it alone")
    ema_decay: float = Field(0.0, ge=0, lt=1, description="decay per step of averaged weights; 0 keeps none")
    swa_from: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="share of the epochs after which the weights at the end of every epoch are averaged evenly; 0 "
        "averages none",
    )
    half_step: bool = Field(
        False, description="quirk: the published 'moving average', half-way back after every update"
    )
    sampling: Literal["shuffled", "balanced"] = Field(
        "shuffled",
        description="every clip once an epoch; or as many clips, drawn with replacement, all classes alike",
    )
    freeze: Names = Field(
        (), description="modules and parameters of the backbone that do not learn, 'blocks.0' say; 'all' is the whole"
    )
    adapter: Literal["none", "lora"] = Field(
        "none",
        description="lora: the backbone stays as it is and learns by low-rank matrices beside its linear layers",
    )
    adapter_rank: int = Field(8, ge=1, le=1024, description="of these matrices")
    adapter_targets: Names = Field(
        (), description="modules that get them, by the ends of their names, 'qkv' say; by default all linear layers"
    )
    backbone_lr_scale: float = Field(1.0, gt=0, description="the backbone learns at lr times this, the loss at lr")
    layer_decay: float = Field(
        1.0, gt=0, le=1, description="every stage of the backbone learns at this share of the rate of the one after it"
    )
    accumulate: int = Field(
        1,
        ge=1,
        description="micro-batches that a batch is split into to save memory; batch norm, and a loss that compares or "
        "mixes the clips of a batch, see a micro-batch",
    )
    checkpoint_activations: bool = Field(
        False, description="compute activations again in the backward pass: less memory, more time, the same result"
    )
    compile: Literal["none", "inductor", "aot_eager"] = Field(
        "none", description="compile the backbone's training; inductor is the fast one, and rounds in other places"
    )

    @field_validator("swa_from")
    @classmethod
    def _is_the_only_average(cls, value: float, info: ValidationInfo) -> float:
        if value and info.data.get("ema_decay"):
            raise PydanticCustomError("average", "ema_decay averages the weights already; choose one of the two")
        return value

    @field_validator("adapter")
    @classmethod
    def _is_of_a_frozen_backbone(cls, value: str, info: ValidationInfo) -> str:
        if value != "none" and info.data.get("freeze"):
            raise PydanticCustomError("adapter", "beside adapters the whole backbone is frozen; leave out optim.freeze")
        return value

    @field_validator("adapter_rank", "adapter_targets")
    @classmethod
    def _has_an_adapter(cls, value: Any, info: ValidationInfo) -> Any:
        if value != cls.model_fields[info.field_name or ""].default and info.data.get("adapter") == "none":
            raise PydanticCustomError("adapter", "there are no adapters; say optim.adapter=lora")
        return value

    @field_validator("accumulate")
    @classmethod
    def _fits_the_batch(cls, value: int, info: ValidationInfo) -> int:
        batch_size = info.data.get("batch_size", value)
        if value > batch_size:
            raise PydanticCustomError("accumulate", f"a batch of {batch_size} has no more micro-batches than clips")
        return value


class RunSpec(Part):
    """Everything that decides a run's result. Built by `resolve`, never by hand."""

    loss: Choice
    backbone: BackboneChoice
    frontend: Choice | None  # None: the backbone is given embeddings, and hears nothing
    quality: QualityChoice = QualityChoice()
    data: DataPart
    validation: ValidationPart = ValidationPart()
    augment: AugmentPart = AugmentPart()
    optim: OptimPart = OptimPart()
    select: Names = ("val", "last")
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    seed: int = Field(0, ge=0, le=LARGEST_SEED)
    tuning_trials: int = Field(0, ge=0, description="trials that these settings were chosen from; 0: as published")
    protocol: Literal[1, 2] = PROTOCOL

    def canonical(self) -> str:
        """Sorted, spaceless JSON: the text that the run id hashes.

        The place of the weights is left out: their hash, part of a run's identity, says what they are.
        """
        fields = self.model_dump(mode="json", exclude={"backbone": {"weights"}})
        for (part, name), before in LATER_FIELDS.items():
            if fields[part][name] == before:
                del fields[part][name]
        return json.dumps(fields, sort_keys=True, separators=(",", ":"))


class EmbedSpec(Part):
    """Everything that decides the embeddings of a clip. Built by `resolve_embedding`."""

    backbone: BackboneChoice
    frontend: Choice
    augment: AugmentPart = AugmentPart()
    clip_s: ClipSeconds = DEFAULT_CLIP_S
    window: Window = "repeat"
    views: int = Field(0, ge=0, le=100, description="augmented views of each clip, beside the clip as it is")
    layers: bool = Field(False, description="the embeddings after each layer, one after the other, not the last alone")
    seed: int = Field(0, ge=0, le=LARGEST_SEED)


def run_id(spec: RunSpec, identity: Mapping[str, Any], backbone: str) -> str:
    """`<loss>-<backbone>-s<seed>-<hash>`; the hash is over the spec and the identity of data, weights and plugins."""
    text = spec.canonical() + json.dumps(identity, sort_keys=True, separators=(",", ":"))
    names = re.sub(r"[^\w.-]+", "_", f"{spec.loss.name}-{backbone}")
    return f"{names}-s{spec.seed}-{hashlib.sha256(text.encode()).hexdigest()[:10]}"


def parse_assignment(text: str) -> tuple[str, Any]:
    """`KEY=VALUE` as typed after `--set`; the value is JSON, a list or mapping as YAML writes them, or else a word."""
    key, equals, value = text.partition("=")
    key, value = key.strip(), value.strip()
    if not equals or not KEY.fullmatch(key):
        raise SpecError(f"--set {shown(text)}: write KEY=VALUE, for example --set optim.lr=1e-4.")
    try:
        return key, json.loads(value)
    except (ValueError, RecursionError):  # no JSON, thousands of digits, or thousands of brackets
        return key, _yaml(key, value) if value.startswith(("[", "{")) else value


def _yaml(key: str, text: str) -> Any:
    try:
        return parse_settings(text, f"--set {key}={shown(text)}")
    except SpecError as error:
        raise SpecError(f"{error} A list is written [a, b], a mapping {{name: a, weights: b}}.") from None


def flatten(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings as dotted keys; short keys ("loss", "epochs") are written out.

    Raises SpecError for what can be no key, and for settings that are nested without end.
    """
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        name = f"{prefix}{key}"
        if not _is_key(name):
            raise SpecError(
                f"{shown(name)}: the spec has no such key. Keys are words with a dot, for example optim.lr."
            )
        if isinstance(value, Mapping):
            flat.update(flatten(value, f"{name}."))
        else:
            flat[SHORT_KEYS.get(name, name)] = value
    return flat


@functools.lru_cache(maxsize=1024)  # the settings of thousands of runs have the same keys
def _is_key(name: str) -> bool:
    return KEY.fullmatch(name) is not None and name.count(".") <= DEEPEST


def parse_seeds(text: str, given_as: str = "--seeds") -> list[int]:
    """`0`, `0-4` or `0,2,5-7` as a list of seeds, in order, without repeats. Raises SpecError for anything else."""
    found = f"{given_as} {shown(text)}"
    try:
        ranges = [_seed_range(part) for part in text.split(",")]
    except ValueError:
        raise SpecError(f"{found}: write numbers and ranges, for example 0-4 or 0,1,7.") from None
    if any(last > LARGEST_SEED for _, last in ranges):
        raise SpecError(f"{found}: the largest seed is {LARGEST_SEED}.")
    if sum(last - first + 1 for first, last in ranges) > MOST_SEEDS:
        raise SpecError(f"{found}: these are more than {MOST_SEEDS:,} seeds. Ask for fewer at a time.")
    if any(last < first for first, last in ranges):
        raise SpecError(f"{found}: the range is empty; write the smaller number first, for example 0-4.")
    return list(dict.fromkeys(seed for first, last in ranges for seed in range(first, last + 1)))


def _seed_range(text: str) -> tuple[int, int]:
    """The first and the last seed of `4` or `0-4`. Raises ValueError for anything else."""
    first, dash, last = text.strip().partition("-")
    return int(first), int(last if dash else first)


def differing(specs: Iterable[Mapping[str, Any]]) -> list[str]:
    """The dotted keys on which specs (as JSON) differ, in the order of the spec."""
    flats = [flatten(spec) for spec in specs]
    keys = dict.fromkeys(key for flat in flats for key in flat)
    return [key for key in keys if len({json.dumps(flat.get(key)) for flat in flats}) > 1]
