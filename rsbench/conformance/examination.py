"""Which checks everything registered goes through, and what came of them."""

from __future__ import annotations

import contextlib
import inspect
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from ..core.backbone import BACKBONES
from ..core.display import Advance
from ..core.errors import DataError, SpecError, did_you_mean
from ..core.plugins import discover, is_built_in
from ..data.sources import Roots
from . import backbones, datasets, indices, losses
from .checks import REGISTRIES, BrokenContract, Case, Check, Kind

CHECKS: dict[Kind, tuple[Check, ...]] = {
    "loss": losses.CHECKS,
    "backbone": backbones.CHECKS,
    "index": indices.CHECKS,
    "dataset": datasets.CHECKS,
}

NO_RECORDINGS = "not checked: no root holds recordings of it"


@dataclass(frozen=True)
class Examination:
    """One thing, its checks, and, where these are not all of its kind, why."""

    case: Case
    checks: tuple[Check, ...]
    note: str = ""


@dataclass(frozen=True)
class Finding:
    """What came of an examination, in seconds."""

    examination: Examination
    passed: int
    broken: tuple[BrokenContract, ...]
    seconds: float


def plan(names: Sequence[str] = (), kind: Kind | None = None, roots: Roots | None = None) -> list[Examination]:
    """All that is registered, of one kind or of every, or what is named: "qlung", "timm:convnext_tiny".

    Built-in backbones of one file differ in width and depth: the first of them goes through the slow checks for all.
    What is named, and what a plugin brings, goes through every check. Data sets are looked for in `roots`.

    Raises SpecError for a name that nothing has, DataError for a data set that is named and has no folder.
    """
    discover()
    roots = roots or Roots()
    kinds = [kind] if kind else list(REGISTRIES)
    if names:
        return [Examination(case, CHECKS[case.kind]) for name in names for case in _named(name, kinds, roots)]
    return [_examination(kind, name, roots) for kind in kinds for name in _everything(kind)]


def examine(examination: Examination, advance: Advance) -> Finding:
    """Run the checks on one thing; where the first fails, which makes it, the others would only say the same."""
    started = time.perf_counter()
    passed, broken = 0, list[BrokenContract]()
    for number, check in enumerate(examination.checks):
        try:
            with undisturbed():
                check(examination.case)
            passed += 1
        except BrokenContract as error:
            broken.append(error)
        advance(1, str(examination.case))
        if broken and number == 0:
            advance(len(examination.checks) - 1, str(examination.case))
            break
    return Finding(examination, passed, tuple(broken), time.perf_counter() - started)


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """One thread, and torch as it was before: a verdict depends neither on the load nor on what was checked earlier.

    What is checked is small: on a busy machine, threads would take ten times as long by waiting for each other.
    """
    threads, dtype = torch.get_num_threads(), torch.get_default_dtype()
    torch.set_num_threads(1)
    try:
        with torch.enable_grad():  # and afterwards as it was, whatever a plugin has set
            yield
    finally:
        torch.set_default_dtype(dtype)
        torch.set_num_threads(threads)


def _everything(kind: Kind) -> list[str]:
    """All names of a kind, with an example of each family of names."""
    registry = REGISTRIES[kind]
    examples = [f"{name}:{family.example}" for name, family in registry.families.items()]
    return sorted({*registry.names(), *examples})


def _case(kind: Kind, name: str, roots: Roots) -> Case:
    if kind == "dataset":
        return datasets.located(name, roots)
    return backbones.smallest(name) if kind == "backbone" else Case(kind, name)


def _named(name: str, kinds: Sequence[Kind], roots: Roots) -> list[Case]:
    """Whatever has this name, in any of the kinds; what follows a colon is an option, or a member of a family."""
    registered, colon, value = name.partition(":")
    known = {kind: {*REGISTRIES[kind].names(), *REGISTRIES[kind].families} for kind in kinds}
    found = [kind for kind in kinds if registered in known[kind]]
    if not found:
        suggestion = did_you_mean(registered, set().union(*known.values()))
        raise SpecError(f"There is no {' or '.join(kinds)} '{registered}'.{suggestion}")
    return [_with_value(kind, registered, value) if colon else _alone(kind, registered, roots) for kind in found]


def _alone(kind: Kind, name: str, roots: Roots) -> Case:
    family = REGISTRIES[kind].families.get(name)
    return _with_value(kind, name, family.example) if family else _case(kind, name, roots)


def _with_value(kind: Kind, name: str, value: str) -> Case:
    registry = REGISTRIES[kind]
    if name in registry.families:
        return Case(kind, registry.entry(f"{name}:{value}").name)
    option = getattr(registry.entry(name).value, "after_colon", "")
    if not (option and value):
        raise SpecError(f"{kind} '{name}' takes no name after a colon. Say {name}.")
    return Case(kind, name, ((option, value),))


def _first_of_its_file(case: Case) -> Case:
    """The backbone that a built-in file defines first; anything else stands for itself."""
    if case.kind != "backbone" or not is_built_in(case.entry):
        return case
    alike = [other for other in map(BACKBONES.entry, BACKBONES.names()) if other.origin == case.entry.origin]
    first = min(alike, key=lambda entry: inspect.getsourcelines(entry.value)[1])
    return backbones.smallest(first.name)


def _why_not(kind: Kind, name: str) -> str:
    """Why a thing cannot be checked here: its package, or a model to give it, is missing; "" where it can be."""
    try:
        REGISTRIES[kind].entry(name)
        if kind == "backbone":
            backbones.hears(backbones.smallest(name))
    except SpecError as error:
        return f"not checked: {error}"
    except Exception:  # of a plugin's own code: the checks say where
        return ""
    return ""


def _examination(kind: Kind, name: str, roots: Roots) -> Examination:
    """With every check, or those that suffice; with none and the reason where it cannot be checked."""
    if reason := _why_not(kind, name):
        return Examination(Case(kind, name), (), reason)
    try:
        case, checks = _case(kind, name, roots), CHECKS[kind]
    except DataError:
        return Examination(Case(kind, name), (), NO_RECORDINGS)
    if kind == "dataset" and not datasets.is_here(case):
        return Examination(Case(kind, name), (), NO_RECORDINGS)
    stands_in = _first_of_its_file(case)
    if stands_in == case:
        return Examination(case, checks)
    quick = tuple(check for check in checks if not check.slow)
    return Examination(case, quick, f"the slow {len(checks) - len(quick)} on {stands_in}, of the same family")
