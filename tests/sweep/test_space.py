"""What is searched for a cell: what all share, as far as it applies, and what its loss says itself."""

from __future__ import annotations

from typing import Any

import pytest
from studies import study
from tiny import TINY_PLUGIN

from rsbench.core.errors import SpecError
from rsbench.core.loss import LOSSES
from rsbench.core.plugins import load
from rsbench.core.spec import Range
from rsbench.sweep.space import ends, search_space
from rsbench.sweep.spec import cells

SHARED = {
    "optim.lr": {"low": 1e-5, "high": 1e-2, "log": True},
    "loss.scale": {"low": 5, "high": 40},
    "loss.class_weights": ["none", "inverse"],
    "backbone.width": [8, 16],
}


@pytest.fixture(autouse=True)
def plugin() -> None:
    load(TINY_PLUGIN)


def space_of(loss: str, base: dict[str, Any] | None = None, **search: Any) -> dict[str, Any]:
    sweep = study([loss], base=base, space=SHARED, **search)
    return search_space(cells(sweep)[0], sweep)


@pytest.mark.parametrize("loss", ["ce", "arcface", "cosface", "qlung"])
def test_the_shared_space_as_far_as_a_loss_has_the_option(loss: str) -> None:
    options = LOSSES.entry(loss).parameters()
    found = space_of(loss)
    assert list(found) == [key for key in SHARED if not key.startswith("loss.") or key.partition(".")[2] in options]
    assert found["optim.lr"] == Range(low=1e-5, high=1e-2, log=True)


@pytest.mark.parametrize("loss", ["arcface", "cosface", "fixed_margin", "qlung"])
def test_a_loss_adds_its_own_ranges(loss: str) -> None:
    own = LOSSES.entry(loss).value.search
    assert own
    added = {key: values for key, values in space_of(loss, own_ranges=True).items() if key not in SHARED}
    assert list(added) == [f"loss.{option}" for option in own]
    for option, values in own.items():
        found = added[f"loss.{option}"]
        as_said = Range(found.low, found.high, found.log) if isinstance(found, Range) else found
        assert as_said == values


def test_what_is_shared_is_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LOSSES.entry("arcface").value, "search", {"scale": Range(1, 2)})
    assert space_of("arcface", own_ranges=True)["loss.scale"] == Range(low=5, high=40)


def test_what_a_cell_fixes_is_not_searched() -> None:
    found = space_of("arcface", base={"loss.m_rad": 0.1, "optim.lr": 1e-3}, own_ranges=True)
    assert "optim.lr" not in found
    assert "loss.m_rad" not in found


def test_a_slip_of_the_pen_is_an_error() -> None:
    sweep = study(["ce"], space={"loss.scael": {"low": 1, "high": 2}})
    with pytest.raises(SpecError, match=r"loss\.scael.*Did you mean 'loss\.scale'"):
        search_space(cells(sweep)[0], sweep)


def test_nothing_to_search_is_an_error() -> None:
    sweep = study(["ce"], base={"optim.lr": 1e-3})
    with pytest.raises(SpecError, match="nothing is left to search"):
        search_space(cells(sweep)[0], sweep)


def test_ends() -> None:
    low, high = ends({"a": Range(low=1, high=3), "b": ("x", "y", "z")})
    assert (low, high) == ({"a": 1, "b": "x"}, {"a": 3, "b": "z"})
