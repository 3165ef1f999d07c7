"""What a contract is, and how a check of it is written and run.

A check is a function of a `Case` that looks at one registered thing and says with `expect` what must hold. It needs
neither pytest nor assert, so that it holds wherever rsbench is installed, under `python -O` too.
"""

from __future__ import annotations

import contextlib
import inspect
import traceback
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from ..core.backbone import BACKBONES
from ..core.errors import InstallationError, PluginError, RsbenchError, in_words
from ..core.installation import raise_if_library
from ..core.loss import LOSSES
from ..core.registry import Entry, Registry
from ..core.text import visible
from ..data.datasets import DATASETS
from ..quality.index import QUALITY

Kind = Literal["loss", "backbone", "index", "dataset"]

REGISTRIES: dict[Kind, Registry[Any]] = {"loss": LOSSES, "backbone": BACKBONES, "index": QUALITY, "dataset": DATASETS}


class BrokenContract(PluginError):
    """A loss, backbone, index or data set does not do what every one of its kind must.

    contract: what must hold. seen: what was there instead. remedy: what to change.
    """

    exit_code = 1

    def __init__(self, case: Case, check: str, contract: str, seen: str, remedy: str) -> None:
        super().__init__(f"{case.kind} '{case}' fails {check}. {contract} Seen: {seen}. {remedy}")
        self.case, self.check = case, check
        self.contract, self.seen, self.remedy = contract, seen, remedy


class _Unmet(Exception):
    """What `expect` saw instead; a check turns it into a BrokenContract."""


@dataclass(frozen=True)
class Case:
    """A registered thing and the options it is checked with; those left out have their defaults."""

    kind: Kind
    name: str
    options: tuple[tuple[str, Any], ...] = ()

    @property
    def entry(self) -> Entry[Any]:
        return REGISTRIES[self.kind].entry(self.name)

    def __str__(self) -> str:
        options = ", ".join(f"{key}={value}" for key, value in self.options)
        return f"{self.name} ({options})" if options else self.name


@dataclass(frozen=True)
class Check:
    """A contract in words, the remedy for whoever breaks it, and the function that looks.

    slow: trains or compiles, so that one of a family of alike backbones does.
    """

    name: str
    contract: str
    remedy: str
    look: Callable[[Case], None]
    slow: bool = False

    def __call__(self, case: Case) -> None:
        """Look at one thing. Raises BrokenContract, also for whatever its code raises, sys.exit too, with its place."""
        try:
            self.look(case)
        except (KeyboardInterrupt, InstallationError):  # of whoever waits; of what no plugin is to blame for
            raise
        except BaseException as error:  # anything else that a plugin's own code raises breaks the contract
            raise_if_library(error)
            own_words = isinstance(error, _Unmet | RsbenchError)
            seen = str(error).rstrip(".") if own_words else _in_words(error, case.entry.origin)
            seen = visible(" ".join(seen.split()))
            raise BrokenContract(case, self.name, self.contract, seen, self.remedy) from error


def _in_words(error: BaseException, origin: Path) -> str:
    """An error with its place, unless that is in rsbench, which only met what a plugin returned."""
    files = [Path(frame.filename).resolve() for frame in traceback.extract_tb(error.__traceback__)]
    if origin.resolve() not in files and Path(__file__).resolve().parent.parent in files[-1].parents:
        return f"what it returns or declares is of another type than it must be ({type(error).__name__}: {error})"
    return in_words(error, origin)


def contract(words: str, remedy: str, *, slow: bool = False) -> Callable[[Callable[[Case], None]], Check]:
    """Make a check of the function below: what must hold in one sentence, and what to change where it does not."""
    return lambda look: Check(look.__name__, words, remedy, look, slow)


def expect(held: bool, seen: str) -> None:
    """Go on if it held; else end the check with what was seen instead."""
    if not held:
        raise _Unmet(seen)


@contextlib.contextmanager
def quiet_compiler() -> Iterator[None]:
    """A fresh torch.compile, without its warnings: a graph that breaks is slower, not wrong.

    Fresh, because it counts how often it has compiled a method that several classes share, and gives up.
    """
    torch.compiler.reset()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@contextlib.contextmanager
def bfloat16() -> Iterator[None]:
    """Autocast on the CPU to bfloat16 as torch itself computes it, without oneDNN, so that what is judged is the case.

    On processors with AMX, oneDNN's convolutions of stride 2 and more give what memory held before, NaN among it, where
    their output is one column wide (oneDNN 3.12, in torch 2.14.1). `bfloat16_faults` in machine.py tells of them.
    """
    onednn: Any = torch.backends.mkldnn  # whose types say that it cannot be set
    enabled = onednn.enabled
    onednn.enabled = False
    try:
        with torch.autocast("cpu", torch.bfloat16):
            yield
    finally:
        onednn.enabled = enabled


def expect_defaults(case: Case) -> None:
    """Every option has a default, so that a name alone is enough to run it."""
    lacking = [key for key, option in case.entry.parameters().items() if option.default is inspect.Parameter.empty]
    expect(not lacking, f"no default for {', '.join(lacking)}")


def expect_finite(values: Tensor, what: str) -> None:
    """Every value is a finite number. what: a noun in the singular, with where it was seen."""
    wrong = int((~values.isfinite()).sum())
    expect(wrong == 0, f"{what} has {wrong} of {values.numel()} values NaN or infinite")


def expect_close(seen: Tensor, wanted: Tensor, what: str, rtol: float = 1.3e-6, atol: float = 1e-5) -> None:
    """Two tensors agree within rounding, by default float32's. what: a noun in the plural."""
    expect(seen.shape == wanted.shape, f"{what} have the shapes {tuple(seen.shape)} and {tuple(wanted.shape)}")
    close = torch.allclose(seen.double(), wanted.double(), rtol, atol)
    # The maximum only where they differ: an empty tensor has none.
    expect(close, "" if close else f"{what} differ by up to {(seen.double() - wanted.double()).abs().max():.2g}")


def expect_same(seen: Tensor, wanted: Tensor, what: str) -> None:
    """Two tensors agree to the bit. what: a noun in the plural."""
    expect_close(seen, wanted, what, rtol=0, atol=0)
