"""The registry refuses, suggests, resolves options and knows origins."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, Literal

import pytest

from rsbench.core.errors import PluginError, SpecError
from rsbench.core.registry import Registry


class Base:
    def __init__(self, size: int, *, scale: float = 2.0) -> None:
        self.size, self.scale = size, scale


class Derived(Base):
    """A derived thing.

    Not in the summary.
    """

    def __init__(self, *args: int, m_rad: float = 0.3, mode: Literal["a", "b"] = "a", **base: float) -> None:
        super().__init__(*args, **base)
        self.m_rad, self.mode = m_rad, mode


@pytest.fixture
def registry() -> Registry[type[Base]]:
    things: Registry[type[Base]] = Registry("thing")
    things.register("derived", Derived)
    return things


def test_creates_with_options_of_every_base(registry: Registry[type[Base]]) -> None:
    made = registry.create("derived", 4, scale=8, m_rad=0.1)
    assert (made.size, made.scale, made.m_rad, made.mode) == (4, 8.0, 0.1, "a")


def test_parameters_carry_units_and_defaults(registry: Registry[type[Base]]) -> None:
    parameters = registry.entry("derived").parameters()
    assert list(parameters) == ["m_rad", "mode", "scale"]
    assert (parameters["m_rad"].unit, parameters["m_rad"].default, parameters["scale"].unit) == ("rad", 0.3, "")


def test_entry_knows_summary_and_origin(registry: Registry[type[Base]]) -> None:
    entry = registry.entry("derived")
    assert entry.summary == "A derived thing."
    assert entry.origin == Path(__file__)


def test_unit_may_be_left_out(registry: Registry[type[Base]]) -> None:
    assert registry.resolve("derived", {"m": 0.5})["m_rad"] == 0.5


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"scail": 1}, "Did you mean 'scale'"),
        ({"mode": "c"}, "'a' or 'b'"),
        ({"m_rad": "wide"}, "valid number"),
        ({"m_rad": float("nan")}, "finite"),
    ],
)
def test_wrong_options_are_named(registry: Registry[type[Base]], given: dict[str, object], said: str) -> None:
    with pytest.raises(SpecError, match=said) as caught:
        registry.resolve("derived", given)
    assert next(iter(given)) in str(caught.value)


def test_unknown_name_gets_a_suggestion(registry: Registry[type[Base]]) -> None:
    with pytest.raises(SpecError, match="no thing 'derivd'.*Did you mean 'derived'"):
        registry.create("derivd", 1)


class Unfinished(ABC):
    @abstractmethod
    def forward(self) -> None: ...


def test_a_class_that_lacks_a_method_is_refused(registry: Registry[Any]) -> None:
    with pytest.raises(PluginError, match="thing 'unfinished' does not define forward"):
        registry.register("unfinished", Unfinished)


def test_a_name_is_given_once_and_both_files_are_named(registry: Registry[type[Base]]) -> None:
    with pytest.raises(PluginError) as caught:
        registry.register("derived", Base)
    assert str(caught.value).count(__file__) == 2
