"""From what a user gave to a full spec: layers of settings, one over the other, checked against what is registered.

The layers: the common defaults, the backbone's published recipe and front end, the data set's defaults, the user's own.
"""

from __future__ import annotations

import difflib
import typing
from collections.abc import Collection, Mapping, Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from ..core.backbone import BACKBONES, Backbone, Frontend
from ..core.errors import SpecError, did_you_mean, shown
from ..core.loss import LOSSES
from ..core.plugins import is_built_in
from ..core.registry import Entry, Registry, unit_of, wanted
from ..core.spec import (
    DEFAULT_TASK,
    DEFAULT_TRAIN,
    SHORT_KEYS,
    EmbedSpec,
    Part,
    QualityChoice,
    RunSpec,
    flatten,
)
from ..data.datasets import DATASETS
from ..data.splits import Split, known_split, split
from ..data.tasks import TASKS, task
from ..data.windows import clip_window
from ..features.augment import check_quirks
from ..features.frontends import FRONTENDS
from ..quality.index import QUALITY
from .contradictions import check_masks, refuse_contradictions

OWN_KEYS = {"backbone": ("weights", "pretrained_on"), "quality": ("control",)}  # of a choice, beside its options

NAMES = {name for name in SHORT_KEYS.values() if name.endswith((".name", ".train"))}  # a word each

_Spec = TypeVar("_Spec", bound=Part)


def resolve(settings: Mapping[str, Any], own_datasets: Collection[str] = ()) -> RunSpec:
    """A full spec from what a user gave: nested or dotted keys, e.g. `{"loss": "qlung", "optim.lr": 1e-4}`.

    Losses, backbones and data sets must have been discovered; `own_datasets` names those that a clips.csv describes.
    Raises SpecError naming the key, with a suggestion.
    """
    user = _given(settings, needed=("loss.name", "backbone.name"))
    backbone = BACKBONES.entry(user["backbone.name"]).value
    trains = _training_splits(user, own_datasets)
    trained_on = tuple(train.name for train in trains)
    layered: dict[str, Any] = {"data.test": trained_on, "quality.name": QualityChoice().name}
    layered["data.label_map"] = task(str(user.get("data.task", DEFAULT_TASK))).label_map().name
    layered |= _frontend_settings(backbone, user)
    layered |= {f"optim.{key}": value for key, value in backbone.recipe.items()}
    for train in reversed(trains):  # the first one has the last word
        layered |= _data_settings(train.dataset, layered.get("frontend.name"))
    if any(train.folds for train in trains):  # whatever the data set would be tested on by itself
        layered["data.test"] = trained_on
    if "cv-refit" in str(user.get("select", "")):
        layered["validation.fraction"] = 0.0  # its last training is on all patients
    layered |= _mask_settings(layered.get("frontend.name"))
    if LOSSES.entry(user["loss.name"]).value.solved:
        layered |= {f"backbone.{key}": value for key, value in (backbone.nothing_to_learn or {}).items()}
        user["optim.epochs"] = 1  # whatever losses beside it are trained for
    nested = _nest(layered | user | _window_settings(user, "data."), RunSpec)
    _resolve_choices(nested, {"loss": LOSSES, "backbone": BACKBONES, "frontend": FRONTENDS, "quality": QUALITY})
    spec = _validated(nested, RunSpec)
    task(spec.data.task).label_map(spec.data.label_map)
    check_quirks(spec.augment.quirks)
    refuse_contradictions(spec, [split(name, own_datasets) for name in (*spec.data.trains, *spec.data.test)])
    return spec


def resolve_embedding(settings: Mapping[str, Any], datasets: Sequence[str]) -> EmbedSpec:
    """What `rsbench embed` does, in full, from e.g. `{"backbone": "mn04", "weights": PATH, "views": 4}`.

    Clips and features are by default those that runs on the first data set have. Raises SpecError naming the key, with
    a suggestion.
    """
    user = _given(settings, needed=("backbone.name",))
    backbone = BACKBONES.entry(user["backbone.name"]).value
    if backbone.frontend is None:
        raise SpecError(f"backbone '{user['backbone.name']}' hears no sound; it makes no embeddings of recordings.")
    layered = _frontend_settings(backbone, user)
    for name in reversed(datasets):  # the first one, which runs train on, has the last word
        defaults = _data_settings(name, layered["frontend.name"])
        layered |= {key: value for key, value in defaults.items() if key.startswith(("frontend.", "augment."))}
        if "data.clip_s" in defaults:
            layered["clip_s"] = defaults["data.clip_s"]
    layered |= _mask_settings(layered["frontend.name"])
    nested = _nest(layered | user | _window_settings(user, ""), EmbedSpec)
    _resolve_choices(nested, {"backbone": BACKBONES, "frontend": FRONTENDS})
    spec = _validated(nested, EmbedSpec)
    check_quirks(spec.augment.quirks)
    check_masks(spec.frontend, spec.augment)
    if spec.augment.mixup or spec.augment.mixstyle:
        raise SpecError(
            "augment: rsbench embed mixes no clips, each has its own embedding. Mix in training: rsbench run."
        )
    return spec


def _training_splits(user: dict[str, Any], own_datasets: Collection[str]) -> list[Split]:
    """The splits to train on, one or several; their names are written without spaces into the settings.

    Raises SpecError where two are of one data set: one split says which of its clips are for training.
    """
    asked = user.get("data.train", _default_train(user, own_datasets))
    names = [name.strip() for name in str(asked).split(",")]
    trains = [split(name, own_datasets) for name in names]
    for train in trains:
        also = [other.name for other in trains if other.dataset == train.dataset]
        if len(also) > 1:
            raise SpecError(
                f"data.train={shown(','.join(names))}: {' and '.join(also)} are splits of one data set, "
                f"'{train.dataset}'. Give one split of each data set."
            )
    user["data.train"] = ",".join(names)
    return trains


def _data_settings(dataset: str, frontend: str | None) -> dict[str, Any]:
    """Fields of a run's spec that a data set sets, but for those that mean nothing to the front end, or without one."""
    defaults = DATASETS.entry(dataset).value.defaults if dataset in DATASETS.names() else {}
    if frontend is None:
        return {key: value for key, value in defaults.items() if not key.startswith(("frontend.", "augment."))}
    known = {f"frontend.{option}" for option in FRONTENDS.entry(frontend).parameters()}
    return {key: value for key, value in defaults.items() if key in known or not key.startswith("frontend.")}


def _window_settings(user: Mapping[str, Any], part: str) -> dict[str, Any]:
    """The window by the name that ids know it by, and the length of clips where the window sets it."""
    key, length = f"{part}window", f"{part}clip_s"
    if key not in user:
        return {}
    window = clip_window(user[key], key)
    if window.context_s is None:
        return {key: window.name}
    if user.get(length, window.context_s) != window.context_s:
        raise SpecError(
            f"{length}={shown(user[length])}: {key}={window.name} shows clips of {window.context_s:g} s. Leave out "
            f"{length}, or say other seconds there."
        )
    return {key: window.name, length: window.context_s}


def _given(settings: Mapping[str, Any], needed: tuple[str, ...]) -> dict[str, Any]:
    """The user's settings as dotted keys; a backbone's NAME:VALUE is taken apart."""
    user = {key: value for key, value in flatten(settings).items() if value is not None}
    for key in needed:
        if key not in user:
            raise SpecError(f"{key} is missing. Give one, for example --loss qlung --backbone cnn6.")
    for key, value in user.items():
        if key in NAMES and not isinstance(value, str):
            raise SpecError(
                f"{key}={shown(value)}: one name is wanted. Several are a grid: list them under grid: in a study, or "
                "losses after --loss, with commas between."
            )
    name, colon, value = str(user["backbone.name"]).partition(":")
    user["backbone.name"] = name
    backbone = BACKBONES.entry(name).value
    option = backbone.after_colon
    if colon and not (option and value):
        raise SpecError(f"backbone.name={name}:{value}: '{name}' takes no name after a colon. Say --backbone {name}.")
    asked = {key.removeprefix("backbone."): user[key] for key in user if key.startswith("backbone.")}
    asked |= {option: value} if colon else {}
    del asked["name"]
    return user | {f"backbone.{key}": value for key, value in backbone.settled(asked).items()}


def _frontend_settings(backbone: type[Backbone], user: Mapping[str, Any]) -> dict[str, Any]:
    """The front end that the backbone, or the public weights asked for, were trained with."""
    published = _published_frontend(backbone, user)
    if published is None:
        given = [key for key in user if key.startswith("frontend.")]
        if given:
            raise SpecError(f"{given[0]}: '{user['backbone.name']}' hears no sound, so it has no front end.")
        return {}
    name = user.get("frontend.name", published.name)
    params = published.params if name == published.name else {}
    return {"frontend.name": name} | {f"frontend.{key}": value for key, value in params.items()}


def _mask_settings(frontend: str | None) -> dict[str, Any]:
    """No masks where there is nothing to mask: embeddings have neither bins nor frames, a waveform has no bins."""
    if frontend is None:
        return {"augment.freq_masks": 0, "augment.time_masks": 0}
    return {} if FRONTENDS.entry(frontend).value.spectral else {"augment.freq_masks": 0}


def _published_frontend(backbone: type[Backbone], user: Mapping[str, Any]) -> Frontend | None:
    own = {f"backbone.{key}" for key in ("name", *OWN_KEYS["backbone"])}
    given = {key.removeprefix("backbone."): user[key] for key in user if key.startswith("backbone.") and key not in own}
    options = BACKBONES.resolve(user["backbone.name"], given)
    weights = user.get("backbone.weights")
    of_weights = (entry.frontend for entry in backbone.published_weights(**options) if entry.name == weights)
    return next(filter(None, of_weights), backbone.frontend_for(**options))


def _resolve_choices(nested: dict[str, Any], registries: Mapping[str, Registry[Any]]) -> None:
    """Every choice with all of its options: those given, checked, and the others' defaults."""
    for part, registry in registries.items():
        choice = nested.get(part)
        if choice is None:
            nested[part] = None  # a backbone that hears nothing has no front end
            continue
        own = ("name", *OWN_KEYS.get(part, ()))
        options = {key: value for key, value in choice.items() if key not in own}
        kept = {key: choice[key] for key in own if key in choice}
        nested[part] = kept | registry.resolve(kept["name"], options)


def _nest(flat: Mapping[str, Any], model: type[BaseModel]) -> dict[str, Any]:
    nested: dict[str, Any] = {}
    for key, value in flat.items():
        part, dot, field = key.partition(".")
        if not dot:
            nested[part] = value
        elif "." in field or part not in model.model_fields or not isinstance(nested.setdefault(part, {}), dict):
            raise SpecError(f"{key}: the spec has no such key.{_meant(key, known_keys(model))}")
        else:
            nested[part][field] = value
    return nested


def known_keys(model: type[BaseModel]) -> list[str]:
    """The dotted keys of a spec, apart from the options of losses, backbones, front ends and indices."""
    keys: list[str] = []
    for name, field in model.model_fields.items():
        kinds = typing.get_args(field.annotation) or (field.annotation,)
        part = next((kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)), None)
        keys += [f"{name}.{inner}" for inner in part.model_fields] if part else [name]
    return keys


def _validated(nested: Mapping[str, Any], model: type[_Spec]) -> _Spec:
    try:
        return model.model_validate(nested)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"] if not isinstance(part, int))
        if first["type"] == "extra_forbidden":
            keys = dict.fromkeys([*known_keys(model), *_options(nested)])
            raise SpecError(f"{key}: the spec has no such key.{_meant(key, keys)}") from None
        field = _field(model, key)
        about = wanted(field.metadata, unit_of(key), field.description) if field else ""
        raise SpecError(f"{key}={shown(first['input'])}: {first['msg']}.{about}") from None


def _options(nested: Mapping[str, Any]) -> list[str]:
    """The dotted keys of the loss, backbone, front end and index that are named, whose options are all known by now."""
    chosen = {part: nested.get(part) or {} for part in ("loss", "backbone", "frontend", "quality")}
    return [f"{part}.{option}" for part, options in chosen.items() for option in options]


def _meant(key: str, known: Collection[str]) -> str:
    """A closing sentence: the keys that end as the unknown one does, or nearly so, whatever part it was said of."""
    ends: dict[str, list[str]] = {}
    for name in known:
        ends.setdefault(name.rpartition(".")[2], []).append(name)
    end = key.rpartition(".")[2]
    near = [end] if end in ends else difflib.get_close_matches(end, ends, n=1)
    return f" Did you mean {' or '.join(map(repr, ends[near[0]]))}?" if near else did_you_mean(key, known)


def _field(model: type[BaseModel], key: str) -> FieldInfo | None:
    """The field of a dotted key; None for an option of what is registered."""
    part, _, inner = key.partition(".")
    found = model.model_fields.get(part)
    if not inner or found is None:
        return found
    kinds = typing.get_args(found.annotation) or (found.annotation,)
    fields = next((kind.model_fields for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)), {})
    return fields.get(inner)


def _default_train(user: Mapping[str, Any], own_datasets: Collection[str]) -> str:
    """What is trained on where nobody says: a split with folds that is tested, which is trained on too."""
    asked = user.get("data.test", ())
    names = asked.split(",") if isinstance(asked, str) else asked if isinstance(asked, Sequence) else ()
    found = (known_split(str(name).strip(), own_datasets) for name in names)
    return next((item.name for item in found if item and item.folds), DEFAULT_TRAIN)


def registered(spec: RunSpec) -> dict[str, Entry[Any]]:
    """`kind:name` → everything registered that a spec names, but for its data sets."""
    parts: tuple[tuple[Registry[Any], str], ...] = (
        (LOSSES, spec.loss.name),
        (BACKBONES, spec.backbone.name),
        *((FRONTENDS, choice.name) for choice in (spec.frontend,) if choice),
        (QUALITY, spec.quality.name),
        # What ships here is no code but a declaration, which the label map's version and the classes stand for.
        *((TASKS, name) for name in (task(spec.data.task).name,) if not is_built_in(TASKS.entry(name))),
    )
    return {f"{registry.kind}:{name}": registry.entry(name) for registry, name in parts}
