"""A small typed registry: it refuses duplicates, suggests names, and knows where each entry came from.

A hyper-parameter is a keyword-only argument with a default. Its unit is the end of its name: `_rad`, `_s`,
`_ms`, `_hz`, `_db`.
"""

from __future__ import annotations

import contextlib
import inspect
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from .errors import PluginError, RsbenchError, SpecError, did_you_mean, in_words, shown
from .installation import raise_if_library
from .text import SIGNS, is_plain_word

T = TypeVar("T")

UNITS = {"_rad": "rad", "_s": "s", "_ms": "ms", "_hz": "Hz", "_db": "dB"}


BOUNDS = {"gt": "more than", "ge": "at least", "lt": "less than", "le": "at most"}


def wanted(metadata: Iterable[Any], unit: str = "", what: str | None = None) -> str:
    """A closing sentence on what a number may be: `Wanted: more than 0 and at most 60 s, the length of clips.`

    Args:
        metadata: of an annotation, whose bounds are read (`Annotated[float, Field(gt=0)]` holds one).
        unit: of the number, "" for none.
        what: the field in words, or None.

    Returns "" where there is nothing to say.
    """
    bounds = ((word, getattr(one, name, None)) for one in metadata for name, word in BOUNDS.items())
    limits = [f"{word} {bound:,}" for word, bound in bounds if bound is not None]
    told = [" and ".join(limits) + f" {unit}" * bool(limits and unit), what]
    said = ", ".join(filter(None, told)) or (f"a number in {unit}" if unit else "")
    return f" Wanted: {said}." if said else ""


def unit_of(name: str) -> str:
    """The unit that ends the name of a number; "" where none does."""
    return next((unit for suffix, unit in UNITS.items() if name.endswith(suffix)), "")


@dataclass(frozen=True)
class Parameter:
    """A hyper-parameter as its constructor declares it."""

    name: str
    annotation: Any
    default: Any

    @property
    def unit(self) -> str:
        return unit_of(self.name)


@dataclass(frozen=True)
class Entry(Generic[T]):
    """A registered thing, what it is for, the paper it comes from, and the file that registered it.

    source: what the user wrote, where `value` is made of it (a plain function, say).
    """

    name: str
    value: T
    summary: str
    paper: str
    origin: Path
    source: object

    def parameters(self) -> dict[str, Parameter]:
        """The hyper-parameters, those of base classes reached through `**kwargs` included."""
        found: dict[str, Parameter] = {}
        for function in _signatures(self.value):
            hints = typing.get_type_hints(function, include_extras=True)
            arguments = inspect.signature(function).parameters.values()
            for argument in arguments:
                if argument.kind is argument.KEYWORD_ONLY and argument.name not in found:
                    annotation = hints.get(argument.name, Any)
                    found[argument.name] = Parameter(argument.name, annotation, argument.default)
            if not any(argument.kind is argument.VAR_KEYWORD for argument in arguments):
                break
        return found


@dataclass(frozen=True)
class Family:
    """Names that are registered when they are first asked for, as `pml:ArcFaceLoss` of the family `pml`.

    make: registers what follows the colon, or raises SpecError. example: a member that stands for all in checks.
    """

    make: Callable[[str], None]
    summary: str
    example: str


def _signatures(value: object) -> Iterable[Callable[..., Any]]:
    if isinstance(value, type):
        return [vars(base)["__init__"] for base in value.__mro__[:-1] if "__init__" in vars(base)]
    return [typing.cast(Callable[..., Any], value)]


def _origin(thing: object) -> Path:
    try:
        return Path(inspect.getsourcefile(typing.cast(Any, thing)) or "<interactive>")
    except (OSError, TypeError):  # a class typed at a prompt or in a notebook has no file
        return Path("<interactive>")


def adopt_options(init: Callable[..., Any], function: Callable[..., Any]) -> None:
    """Make the keyword-only arguments of `function` options of `init`, a constructor with `**options`.

    Options are read off a constructor's signature; this is how a plain function that is registered has some.
    """
    options = [p for p in inspect.signature(function).parameters.values() if p.kind is p.KEYWORD_ONLY]
    own = [p for p in inspect.signature(init).parameters.values() if p.kind is not p.VAR_KEYWORD]
    hints = typing.get_type_hints(function, include_extras=True)
    typing.cast(Any, init).__signature__ = inspect.Signature([*own, *options])
    init.__annotations__ = {p.name: hints[p.name] for p in options if p.name in hints}


class Registry(Generic[T]):
    """Names to things of one kind ("loss", "backbone", …)."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.families: dict[str, Family] = {}
        self._entries: dict[str, Entry[T]] = {}

    def register(self, name: str, value: T, *, summary: str = "", paper: str = "", source: object = None) -> None:
        """Add `value` under `name`; `source` is the object whose file is its origin (default: the value).

        Raises PluginError when the name is taken, naming both files, or when a class lacks a method of its contract.
        """
        if not (isinstance(name, str) and is_plain_word(name) and " " not in name):  # as records demand it
            raise PluginError(f"{self.kind} {shown(name)}: a name is letters, digits and {SIGNS}, without a space.")
        if inspect.isabstract(value):
            lacking = " and ".join(sorted(typing.cast(Any, value).__abstractmethods__))
            raise PluginError(f"{self.kind} '{name}' does not define {lacking}, which every {self.kind} must.")
        source = source or value
        origin = _origin(source)
        if name in self._entries:
            raise PluginError(
                f"{self.kind} '{name}' is registered twice: in {self._entries[name].origin} and in {origin}. "
                "Rename one of them, or load the file once only."
            )
        summary = summary or (inspect.getdoc(source) or "").partition("\n")[0]
        self._entries[name] = Entry(name, value, summary, paper, origin, source)

    def entry(self, name: str) -> Entry[T]:
        family, colon, member = name.partition(":")
        if name not in self._entries and colon and family in self.families:
            self.families[family].make(member)
        if name not in self._entries:
            raise SpecError(f"There is no {self.kind} {shown(name)}.{did_you_mean(name, self._entries)}")
        return self._entries[name]

    def names(self) -> list[str]:
        return sorted(self._entries)

    @contextlib.contextmanager
    def scoped(self) -> Iterator[None]:
        """What is registered within the block is forgotten at its end."""
        before = dict(self._entries)
        try:
            yield
        finally:
            self._entries = before

    def resolve(self, name: str, given: Mapping[str, Any]) -> dict[str, Any]:
        """All hyper-parameters of `name`: those given, checked against their types, and the others' defaults.

        Raises SpecError for an unknown name, an unknown key (with a suggestion) or a value of the wrong type.
        """
        from pydantic import ConfigDict, TypeAdapter, ValidationError
        from pydantic.fields import FieldInfo

        parameters = self.entry(name).parameters()
        resolved = {key: parameter.default for key, parameter in parameters.items()}
        for typed, value in given.items():
            key = next((key for key in (typed, *(typed + unit for unit in UNITS)) if key in parameters), typed)
            if key not in parameters:
                raise SpecError(f"{self.kind}.{key}: '{name}' has no such option.{did_you_mean(key, parameters)}")
            try:
                adapter = TypeAdapter(parameters[key].annotation, config=ConfigDict(allow_inf_nan=False))
                resolved[key] = adapter.validate_python(value)
            except ValidationError as error:
                reason = error.errors()[0]["msg"]
                bounds = FieldInfo.from_annotation(parameters[key].annotation).metadata
                about = wanted(bounds, parameters[key].unit)
                raise SpecError(f"{self.kind}.{key}={shown(value)} for '{name}': {reason}.{about}") from None
        return resolved

    def create(self, name: str, *args: Any, **params: Any) -> Any:
        """Build `name`: positional arguments are the contract's, keywords its hyper-parameters.

        Raises PluginError with the place where its own code fails.
        """
        entry, options = self.entry(name), self.resolve(name, params)
        try:
            return typing.cast(Callable[..., Any], entry.value)(*args, **options)
        except RsbenchError:
            raise
        except Exception as error:  # any error of the user's own code
            raise_if_library(error)
            raise PluginError(f"{self.kind} '{name}' cannot be made: {in_words(error, entry.origin)}.") from error
