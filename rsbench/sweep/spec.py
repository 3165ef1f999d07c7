"""A study as its YAML describes it: validated as a whole before anything starts."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AliasChoices, BeforeValidator, Field, ValidationError, ValidatorFunctionWrapHandler, WrapValidator
from pydantic_core import PydanticCustomError

from ..core.errors import SpecError, did_you_mean, shown
from ..core.settings import read_settings
from ..core.spec import (
    LARGEST_SEED,
    MOST_SEEDS,
    SHORT_KEYS,
    Names,
    Part,
    Range,
    flatten,
    parse_seeds,
)

MOST_RUNS = 100_000


def _seeds(value: Any) -> Any:
    """A range such as "0-4" as its numbers."""
    if isinstance(value, str):
        try:
            return tuple(parse_seeds(value, "the seeds"))
        except SpecError as error:
            raise _of_pydantic(error) from None
    return (value,) if isinstance(value, int) else _options(value)


def _of_pydantic(error: SpecError) -> PydanticCustomError:
    """As one of pydantic's errors, which say where in the file."""
    return PydanticCustomError("spec", "{why}", {"why": str(error).rstrip(".")})


Seed = Annotated[int, Field(ge=0, le=LARGEST_SEED)]
Seeds = Annotated[tuple[Seed, ...], BeforeValidator(_seeds), Field(min_length=1, max_length=MOST_SEEDS)]


def _range(value: Any, make: ValidatorFunctionWrapHandler) -> Range:
    try:
        made: Range = make(value)
    except SpecError as error:
        raise _of_pydantic(error) from None
    return made


def _options(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


Options = Annotated[tuple[str | int | float | bool, ...], BeforeValidator(_options), Field(min_length=1)]


class Search(Part):
    """How each cell's settings are chosen, on validation patients alone.

    space: spec key → range or list, shared by all losses; keys that a loss has no option for are left out for it.
    trials: per cell, equal for all. folds: 1 takes the run's own validation patients, more are patient-grouped folds.
    seed: of all trials; none of `confirm`'s.
    """

    trials: int = Field(ge=1, le=10_000)
    space: Mapping[str, Annotated[Range, WrapValidator(_range)] | Options] = {}
    own_ranges: bool = Field(True, description="also search the ranges that each loss registers")
    folds: int = Field(1, ge=1, le=20)
    sampler: Literal["tpe", "random"] = "tpe"
    scheduler: Literal["asha", "none"] = "none"
    seed: Seed = 1000


class Confirm(Part):
    """The best settings of each cell once more, on seeds that chose nothing."""

    seeds: Seeds


class Resources(Part):
    """What one run takes; as many run at once as fit."""

    cpus: float = Field(1, gt=0)
    threads: int = Field(1, ge=1, description="CPU threads of a run; its last bits depend on it")
    gpus: float = Field(0, ge=0, description="share of a GPU where there are any; .25 packs four runs on one")
    save_every_s: float = Field(60, ge=0, description="seconds between two states on disk to go on from")


class Limits(Part):
    hours: float = Field(0, ge=0, description="no run is started after this long; 0: no limit")
    failures: int = Field(0, ge=0, description="stop after this many failures; 0: go on")


class SweepSpec(Part):
    """A study. `base` holds settings of every run, `grid` lists of them; a row of the grid may be a mapping."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]*$", max_length=100)
    purpose: str
    base: Mapping[str, Any] = {}
    grid: Mapping[str, list[Any]]
    seeds: Seeds = Field((0,), validation_alias=AliasChoices("seeds", "seed"))
    track: Literal["as-published", "tuned"] = "as-published"
    search: Search | None = None
    confirm: Confirm | None = None
    resources: Resources = Resources()
    limits: Limits = Limits()
    partial: bool = False
    plugins: Names = ()


@dataclass(frozen=True)
class Cell:
    """A point of the grid, apart from the seed: its name, and its settings by dotted key."""

    name: str
    settings: dict[str, Any]


def load_sweep(path: Path, changes: Mapping[str, Any] | None = None) -> SweepSpec:
    """Read and check a study. Raises SpecError naming the file, the key and the remedy.

    Args:
        path: the YAML file.
        changes: dotted key of the study → value that takes the place of the file's, e.g. `{"seeds": "0-2"}` or
            `{"base.optim.epochs": 3}`.
    """
    content = read_settings(path, str(path))
    for key, value in (changes or {}).items():
        _change(content, key, value)
    return parse_sweep(content, str(path))


def parse_sweep(content: Mapping[str, Any], where: str) -> SweepSpec:
    """A study from what its file holds. Raises SpecError, whose message begins with `where`."""
    try:
        spec = SweepSpec.model_validate(content)
    except ValidationError as error:
        raise SpecError(f"{where}: {_in_words(error)}") from None
    _check_together(spec, where)
    try:
        names = Counter(cell.name for cell in cells(spec))
    except SpecError as error:
        raise SpecError(f"{where}: {error}") from None
    twice = [name for name, count in names.items() if count > 1]
    if twice:
        raise SpecError(f"{where}: grid: two rows are called {shown(twice[0])}. Leave out one, or give it a label.")
    return spec


def _change(content: dict[str, Any], key: str, value: Any) -> None:
    """Set one key of the file's content. What follows `base.`, `grid.` or `space.` is one key, whatever dots it has."""
    first, dot, rest = key.partition(".")
    if not dot:
        content[first] = value
        return
    inner = content.get(first) or {}
    if not isinstance(inner, dict):
        raise SpecError(f"--set {key}: '{first}' has no keys of its own: in the file it is {shown(inner)}.")
    inner = content[first] = dict(inner)
    if first in ("base", "grid", "space"):
        inner[rest] = value
    else:
        _change(inner, rest, value)


def _in_words(error: ValidationError) -> str:
    # A key that is not known explains a key that is missing.
    first = min(error.errors(), key=lambda found: found["type"] != "extra_forbidden")
    key = ".".join(str(part) for part in first["loc"] if isinstance(part, int) or part.islower())
    if first["type"] == "extra_forbidden":
        model: Any = SweepSpec
        for part in first["loc"][:-1]:
            model = {"search": Search, "confirm": Confirm, "resources": Resources, "limits": Limits}.get(
                str(part), model
            )
        return f"{key}: a study has no such key.{did_you_mean(str(first['loc'][-1]), model.model_fields)}"
    return f"{key}: {first['msg']}."


def _check_together(spec: SweepSpec, where: str) -> None:
    if not spec.grid or not all(spec.grid.values()):
        raise SpecError(f"{where}: grid: every key needs at least one value.")
    count = math.prod(map(len, spec.grid.values())) * len(spec.seeds)
    if count > MOST_RUNS:
        raise SpecError(f"{where}: grid: these are {count:,} runs, and a study has at most {MOST_RUNS:,}. Split it.")
    if "seed" in spec.grid:
        raise SpecError(f"{where}: grid.seed: seeds stand beside the grid: seeds: 0-4.")
    if (spec.track == "tuned") != (spec.search is not None) or (spec.search is None) != (spec.confirm is None):
        raise SpecError(f"{where}: track: tuned needs search and confirm; as-published has neither.")
    if spec.search and spec.search.scheduler == "asha" and spec.search.folds > 1:
        raise SpecError(f"{where}: search.scheduler: asha stops by epochs, and folds give one figure at their end.")
    if spec.search and spec.confirm and spec.search.seed in spec.confirm.seeds:
        raise SpecError(f"{where}: confirm.seeds: {spec.search.seed} is the seed that the search chooses on.")


def cells(spec: SweepSpec) -> list[Cell]:
    """The grid, expanded: every combination, in the order of the file."""
    found, base = [], flatten(spec.base)
    for values in itertools.product(*spec.grid.values()):
        settings, words = dict(base), []
        for key, value in zip(spec.grid, values, strict=True):
            settings |= _row(key, value)
            words.append(_word(key, value))
        found.append(Cell(" · ".join(words), settings))
    return found


def _row(key: str, value: Any) -> dict[str, Any]:
    """What a value of the grid sets: itself under its key, or what a mapping says."""
    if not isinstance(value, Mapping):
        return flatten({key: value})
    own = {name: inner for name, inner in value.items() if name != "label"}
    return flatten({key: own} if key in SHORT_KEYS and "name" in own else own)


def _word(key: str, value: Any) -> str:
    """What a cell is called after: the value, or a mapping's label, or the mapping in words."""
    if not isinstance(value, Mapping):
        return str(value) if key in SHORT_KEYS else f"{key} {value}"
    named = value.get("label") or value.get("name")
    return str(named or ", ".join(f"{name} {inner}" for name, inner in flatten(value).items()))
