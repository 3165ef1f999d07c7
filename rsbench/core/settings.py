"""Settings as people write them, in YAML or JSON: plain values, every key once, no larger than a person writes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from .errors import SpecError, shown

LARGEST_FILE = 256 * 1024  # bytes; a spec has two thousand
MOST_VALUES = 100_000  # with every alias written out
DEEPEST = 16  # levels of lists and mappings; a study has five

_TOO_DEEP = f"lists and mappings are nested more than {DEEPEST} deep, or a part holds itself by an alias"
_TAG = "tag:yaml.org,2002:"
_PLAIN = {"str", "int", "float", "bool", "null", "seq", "map", "merge"}
# YAML 1.1 reads 010 as eight and 1:30 as ninety.
_NUMBER = re.compile(r"[-+]?(0|[1-9][\d_]*)?(\.[\d_]*)?([eE][-+]?\d+)?|[-+]?\.(inf|nan)", flags=re.IGNORECASE)


class _TooDeep(yaml.YAMLError):
    """Lists and mappings within one another without end."""


class _Loader(yaml.SafeLoader):
    """YAML's plain values alone, a date being a word, and so deep at most."""

    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        self.depth += 1
        if self.depth > DEEPEST:
            raise _TooDeep(_TOO_DEEP)
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != f"{_TAG}timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def read_settings(path: Path, given_as: str) -> dict[str, Any]:
    """The mapping that a YAML or JSON file holds. Raises SpecError, whose message begins with `given_as`."""
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST_FILE + 1)
    except FileNotFoundError:
        raise SpecError(f"{given_as}: there is no such file.") from None
    except (OSError, ValueError) as error:  # ValueError: a name with a zero byte in it
        raise SpecError(f"{given_as}: cannot be read ({getattr(error, 'strerror', error)}).") from None
    if len(content) > LARGEST_FILE:
        raise SpecError(f"{given_as}: is larger than {LARGEST_FILE // 1024} kB, so it is no spec and no study.")
    found = parse_settings(content, given_as)
    if not isinstance(found, dict):
        raise SpecError(f"{given_as}: holds no mapping of keys to values, but {shown(found)}.")
    return found


def parse_settings(content: str | bytes, given_as: str) -> Any:
    """A value as YAML writes it: of words, numbers, booleans and null, in lists and mappings of words.

    Raises SpecError, whose message begins with `given_as`, for broken YAML, a key that stands there twice, a number in
    a notation that YAML reads as another one than it looks, and for what is nested too deeply or grows too large once
    its aliases are written out.
    """
    try:
        loader = _Loader(content)
        try:
            node = loader.get_single_node()
            if node is None:
                return None
            for values, problem in enumerate(_problems(node, 1)):
                if problem or values > MOST_VALUES:
                    raise SpecError(f"{given_as}: {problem or f'holds more than {MOST_VALUES:,} values.'}")
            return loader.construct_document(node)
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        line = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        raise SpecError(f"{given_as}: cannot be read as YAML ({line}{error.problem}).") from None
    except (yaml.YAMLError, ValueError, KeyError) as error:  # a number of thousands of digits; !!bool before a word
        raise SpecError(f"{given_as}: cannot be read as YAML ({' '.join(str(error).split())}).") from None


def _problems(node: yaml.Node, depth: int) -> Iterator[str]:
    """What is wrong with every value of a document in turn, aliases written out; "" where nothing is."""
    line = f"line {node.start_mark.line + 1}: "
    if depth > DEEPEST:
        yield f"{line}{_TOO_DEEP}."
    elif node.tag.removeprefix(_TAG) not in _PLAIN:
        yield f"{line}write a plain value instead of {node.tag.replace(_TAG, '!!')}."
    elif isinstance(node, yaml.ScalarNode):
        number = node.tag in (f"{_TAG}int", f"{_TAG}float") and not _NUMBER.fullmatch(node.value)
        yield f"{line}write {shown(node.value)} as a decimal number, or in quotes if it is a word." if number else ""
    elif isinstance(node, yaml.SequenceNode):
        yield ""
        for item in node.value:
            yield from _problems(item, depth + 1)
    else:
        yield _key_problem(node)
        for _, value in node.value:
            yield from _problems(value, depth + 1)


def _key_problem(mapping: yaml.Node) -> str:
    lines: dict[str, int] = {}
    for key, _ in mapping.value:
        line = key.start_mark.line + 1
        if key.tag not in (f"{_TAG}str", f"{_TAG}merge"):
            return f"line {line}: a key must be a word; put it in quotes."
        if key.value in lines:
            return f"line {line}: {shown(key.value)} stands there twice, first in line {lines[key.value]}. Keep one."
        lines[key.value] = line
    return ""
