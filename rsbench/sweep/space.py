"""What a search may try for a cell: the space that all losses share, and what this loss says of its own options."""

from __future__ import annotations

from typing import Any

from ..core.backbone import BACKBONES
from ..core.errors import SpecError, did_you_mean
from ..core.loss import LOSSES
from ..core.registry import Registry
from ..core.spec import Range
from .spec import Cell, SweepSpec

Space = dict[str, Range | tuple[Any, ...]]


def search_space(cell: Cell, sweep: SweepSpec) -> Space:
    """Spec key → range or choices, in the order of the file, the loss's own options last.

    Left out are options that this cell's loss or backbone has not, and keys that the cell itself fixes. Losses and
    backbones must have been discovered. Raises SpecError for an option that none of them has, and when nothing is left.
    """
    assert sweep.search is not None
    loss, backbone = cell.settings["loss.name"], cell.settings["backbone.name"].partition(":")[0]
    options = _options("loss", LOSSES, loss) | _options("backbone", BACKBONES, backbone)
    shared: Space = dict(sweep.search.space)
    _check_known(shared)
    own: Space = _own_ranges(loss) if sweep.search.own_ranges else {}
    found = {
        key: values
        for key, values in {**shared, **own, **shared}.items()  # in this order, and what is shared is shared
        if key not in cell.settings and (key in options or not _is_option(key))
    }
    if not found:
        raise SpecError(f"search.space: nothing is left to search for '{cell.name}'. Give it a range, optim.lr say.")
    return found


def ends(space: Space) -> tuple[dict[str, Any], dict[str, Any]]:
    """The lowest and the highest of every range, the first and the last of every list."""
    pairs = {
        key: (values.low, values.high) if isinstance(values, Range) else (values[0], values[-1])
        for key, values in space.items()
    }
    return {key: pair[0] for key, pair in pairs.items()}, {key: pair[1] for key, pair in pairs.items()}


def _own_ranges(loss: str) -> Space:
    return {f"loss.{option}": values for option, values in LOSSES.entry(loss).value.search.items()}


def _check_known(space: Space) -> None:
    """An option that one loss has not is left out for it; one that no loss has is a slip of the pen."""
    known = {option for name in LOSSES.names() for option in _options("loss", LOSSES, name)}
    known |= {option for name in BACKBONES.names() for option in _options("backbone", BACKBONES, name)}
    for key in space:
        if _is_option(key) and key not in known:
            near = {option for option in known if option.partition(".")[0] == key.partition(".")[0]}
            raise SpecError(f"search.space.{key}: nothing that is registered has this option.{did_you_mean(key, near)}")


def _is_option(key: str) -> bool:
    return key.startswith(("loss.", "backbone."))


def _options(part: str, registry: Registry[Any], name: str) -> set[str]:
    return {f"{part}.{option}" for option in registry.entry(name).parameters()}
