"""A run is its resolved spec: every field that could change the result, validated, frozen, hashable.

Settings come in layers, each over the one before: the common defaults, the backbone's published recipe and front end,
the data set's defaults, the user's own. What is left out of the spec cannot change a result: root, output folder,
display options, threads.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from .errors import SpecError, did_you_mean

DEFAULT_TRAIN = "synthetic"

# Keys that people type without the part they belong to.
SHORT_KEYS = {
    "loss": "loss.name",
    "backbone": "backbone.name",
    "frontend": "frontend.name",
    "quality": "quality.name",
    "weights": "backbone.weights",
    "train": "data.train",
    "test": "data.test",
    "epochs": "optim.epochs",
}


def _split_commas(value: Any) -> Any:
    return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


Names = Annotated[tuple[str, ...], BeforeValidator(_split_commas)]


class Part(BaseModel):
    """A frozen part of the spec; an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Choice(BaseModel):
    """A registered thing and its options, side by side: `{"name": "qlung", "kappa_rad": 0.7}`."""

    model_config = ConfigDict(frozen=True, extra="allow", allow_inf_nan=False)
    name: str

    @property
    def params(self) -> dict[str, Any]:
        """The options alone; they are checked against the registered thing's own signature."""
        return dict(self.model_extra or {})


class BackboneChoice(Choice):
    weights: str = "none"


class QualityChoice(Choice):
    name: str = "aqs"
    control: Literal["none", "constant", "shuffled", "inverted"] = "none"


class DataPart(Part):
    train: str = DEFAULT_TRAIN
    test: Names
    label_map: str = "four-class"
    clip_s: float = Field(8.0, gt=0, le=60, description="seconds; longer clips are cut, shorter ones repeated")


class ValidationPart(Part):
    fraction: float = Field(0.2, ge=0, lt=1, description="share of the training patients; 0 trains on all of them")


class AugmentPart(Part):
    """SpecAugment; widths are shares of the features' bins and frames (48 of 128 and 160 of 798 as published)."""

    freq_masks: int = Field(2, ge=0)
    freq_share: float = Field(48 / 128, ge=0, le=1)
    time_masks: int = Field(2, ge=0)
    time_share: float = Field(160 / 798, ge=0, le=1)
    quirks: Names = ()


class OptimPart(Part):
    algorithm: Literal["adam", "adamw", "sgd"] = "adam"
    lr: float = Field(1e-3, gt=0)
    weight_decay: float = Field(1e-6, ge=0)
    batch_size: int = Field(64, ge=1)
    epochs: int = Field(50, ge=1)
    final_lr_share: float = Field(1e-3, ge=0, le=1, description="the cosine ends at lr times this")
    warmup_epochs: float = Field(0.0, ge=0)
    clip_norm: float = Field(0.0, ge=0, description="largest norm of the gradient; 0 leaves it alone")
    ema_decay: float = Field(0.0, ge=0, lt=1, description="decay per step of averaged weights; 0 keeps none")
    half_step: bool = Field(
        False, description="quirk: the published 'moving average', half-way back after every update"
    )


class RunSpec(Part):
    """Everything that decides a run's result. Built by `resolve`, never by hand."""

    loss: Choice
    backbone: BackboneChoice
    frontend: Choice
    quality: QualityChoice = QualityChoice()
    data: DataPart
    validation: ValidationPart = ValidationPart()
    augment: AugmentPart = AugmentPart()
    optim: OptimPart = OptimPart()
    select: Names = ("val", "last")
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    seed: int = Field(0, ge=0)
    protocol: Literal[1] = 1

    def canonical(self) -> str:
        """Sorted, spaceless JSON: the text that the run id hashes.

        The place of the weights is left out: their hash, part of a run's identity, says what they are.
        """
        fields = self.model_dump(mode="json", exclude={"backbone": {"weights"}})
        return json.dumps(fields, sort_keys=True, separators=(",", ":"))


def run_id(spec: RunSpec, identity: Mapping[str, Any]) -> str:
    """`<loss>-<backbone>-s<seed>-<hash>`; the hash is over the spec and the identity of data, weights and plugins."""
    text = spec.canonical() + json.dumps(identity, sort_keys=True, separators=(",", ":"))
    names = f"{spec.loss.name}-{spec.backbone.name}".replace("/", "_").replace(":", "_")
    return f"{names}-s{spec.seed}-{hashlib.sha256(text.encode()).hexdigest()[:10]}"


def parse_assignment(text: str) -> tuple[str, Any]:
    """`KEY=VALUE` as typed after `--set`; the value is read as JSON where it is JSON, else as a word."""
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise SpecError(f"--set {text}: write KEY=VALUE, for example --set optim.lr=1e-4.")
    try:
        return key.strip(), json.loads(value)
    except json.JSONDecodeError:
        return key.strip(), value.strip()


def flatten(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings as dotted keys; short keys ("loss", "epochs") are written out."""
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            flat.update(flatten(value, f"{name}."))
        else:
            flat[SHORT_KEYS.get(name, name)] = value
    return flat


def _nest(flat: Mapping[str, Any]) -> dict[str, Any]:
    nested: dict[str, Any] = {}
    for key, value in flat.items():
        part, dot, field = key.partition(".")
        if not dot:
            nested[part] = value
        elif "." in field or not isinstance(nested.setdefault(part, {}), dict):
            raise SpecError(f"{key}: the spec has no such key.{did_you_mean(key, known_keys())}")
        else:
            nested[part][field] = value
    return nested


def known_keys() -> list[str]:
    """The dotted keys of the spec, apart from the options of losses, backbones, front ends and indices."""
    keys: list[str] = []
    for name, field in RunSpec.model_fields.items():
        part = field.annotation
        if isinstance(part, type) and issubclass(part, BaseModel):
            keys += [f"{name}.{inner}" for inner in part.model_fields]
        else:
            keys.append(name)
    return keys


def resolve(settings: Mapping[str, Any], own_datasets: Collection[str] = ()) -> RunSpec:
    """A full spec from what a user gave: nested or dotted keys, e.g. `{"loss": "qlung", "optim.lr": 1e-4}`.

    Losses, backbones and data sets must have been discovered; `own_datasets` names those that a clips.csv describes.
    Raises SpecError naming the key, with a suggestion.
    """
    from .backbone import BACKBONES
    from .data.clips import DATASETS, label_map
    from .data.splits import split
    from .evaluation.selection import rule
    from .loss import LOSSES
    from .signal.augment import check_quirks
    from .signal.frontends import FRONTENDS
    from .signal.quality import QUALITY

    user = flatten(settings)
    for needed in ("loss.name", "backbone.name"):
        if needed not in user:
            raise SpecError(f"{needed} is missing. Give one, for example --loss qlung --backbone cnn6.")
    backbone = BACKBONES.entry(str(user["backbone.name"])).value
    train = split(str(user.get("data.train", DEFAULT_TRAIN)), own_datasets)
    frontend = user.get("frontend.name", backbone.frontend.name)
    layered: dict[str, Any] = {"frontend.name": frontend, "data.test": (train.name,)}
    if frontend == backbone.frontend.name:
        layered |= {f"frontend.{key}": value for key, value in backbone.frontend.params.items()}
    layered |= {f"optim.{key}": value for key, value in backbone.recipe.items()}
    if train.dataset in DATASETS.names():
        layered |= DATASETS.entry(train.dataset).value.defaults
    nested = _nest(layered | user)
    for part, registry, own in (
        ("loss", LOSSES, ()),
        ("backbone", BACKBONES, ("weights",)),
        ("frontend", FRONTENDS, ()),
        ("quality", QUALITY, ("control",)),
    ):
        choice = {"name": QualityChoice().name} | nested.get(part, {})
        kept = {key: choice.pop(key) for key in ("name", *own) if key in choice}
        nested[part] = kept | registry.resolve(kept["name"], choice)
    spec = _validated(nested)
    label_map(spec.data.label_map)
    check_quirks(spec.augment.quirks)
    for name in spec.data.test:
        split(name, own_datasets)
    for name in spec.select:
        rule(name)
    _check_together(spec)
    return spec


def _validated(nested: Mapping[str, Any]) -> RunSpec:
    try:
        return RunSpec.model_validate(nested)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"] if not isinstance(part, int))
        if first["type"] == "extra_forbidden":
            raise SpecError(f"{key}: the spec has no such key.{did_you_mean(key, known_keys())}") from None
        raise SpecError(f"{key}={first['input']!r}: {first['msg']}.") from None


def _check_together(spec: RunSpec) -> None:
    """Fields that are each right and at odds together."""
    from .evaluation.selection import rule

    blind = [name for name in spec.select if rule(name).needs_validation]
    if spec.validation.fraction == 0 and blind:
        raise SpecError(
            f"select={blind[0]} needs validation patients, and validation.fraction is 0. "
            "Ask for --select last, or give validation a share."
        )
    if not spec.select or not spec.data.test:
        raise SpecError("select and data.test must each name at least one.")


def parse_seeds(text: str) -> list[int]:
    """`0`, `0-4` or `0,2,5-7` as a list of seeds, in order, without repeats."""
    seeds: list[int] = []
    try:
        for part in text.split(","):
            first, dash, last = part.strip().partition("-")
            seeds += range(int(first), int(last) + 1) if dash else [int(first)]
    except ValueError:
        raise SpecError(f"--seeds {text}: write numbers and ranges, for example 0-4 or 0,1,7.") from None
    if not seeds:
        raise SpecError(f"--seeds {text}: the range is empty; write the smaller number first, for example 0-4.")
    return list(dict.fromkeys(seeds))


def differing(specs: Iterable[Mapping[str, Any]]) -> list[str]:
    """The dotted keys on which specs (as JSON) differ, in the order of the spec."""
    flats = [flatten(spec) for spec in specs]
    keys = dict.fromkeys(key for flat in flats for key in flat)
    return [key for key in keys if len({json.dumps(flat.get(key)) for flat in flats}) > 1]
