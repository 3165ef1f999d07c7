"""The studies that ship with rsbench: each by its name, with what the head of its file says."""

from __future__ import annotations

import importlib.resources
import re
from dataclasses import dataclass
from pathlib import Path

from ..core.errors import SpecError, did_you_mean

HEAD = re.compile(r"^(Asks|Costs|Expect): (.*?)(?=^\w+: |\Z)", flags=re.DOTALL | re.MULTILINE)
FROM_COMMAND = re.compile(r":?\n *rsbench .*", flags=re.DOTALL)


@dataclass(frozen=True)
class ShippedStudy:
    """A study of the package. asks, costs, expect: what its head says, up to the first command in it."""

    name: str
    path: Path
    asks: str
    costs: str
    expect: str


def shipped_studies() -> dict[str, ShippedStudy]:
    """Name → study, in alphabetical order."""
    folder = Path(str(importlib.resources.files("rsbench.sweeps")))
    return {path.stem: _study(path) for path in sorted(folder.glob("*.yaml"))}


def study_file(given: str) -> Path:
    """The file of a study that was named by its path, or by the name of one that ships.

    Raises SpecError where there is neither.
    """
    path = Path(given)
    if path.is_file():
        return path
    studies = shipped_studies()
    if given in studies:
        return studies[given].path
    guess = did_you_mean(path.stem, studies)
    raise SpecError(f"{given}: there is no such file, and no such study ships (rsbench list sweeps).{guess}")


def _study(path: Path) -> ShippedStudy:
    lines = path.read_text(encoding="utf-8").splitlines()
    comment = "\n".join(line.removeprefix("#").removeprefix(" ") for line in lines if line.startswith("#"))
    parts = {key: _in_one_line(FROM_COMMAND.sub(".", text)) for key, text in HEAD.findall(comment)}
    return ShippedStudy(path.stem, path, parts["Asks"], parts["Costs"], parts["Expect"])


def _in_one_line(text: str) -> str:
    return " ".join(text.replace("..", ".").split())
