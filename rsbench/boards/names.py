"""Methods as a paper calls them: other names for losses, backbones and whole rows, from a small file."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from ..core.errors import SpecError, did_you_mean
from ..core.settings import read_settings
from .leaderboard import Board

NAMED = ("loss", "backbone", "method")  # columns whose values may have another name
HEADER = ["method", "name"]  # of a csv, which may do without it


def read_names(path: Path) -> dict[str, str]:
    """What a YAML file `method: name`, or a csv of two such columns, calls methods. Raises SpecError."""
    told = f"--names {path}"
    names = _of_csv(path, told) if path.suffix.lower() == ".csv" else read_settings(path, told)
    for method, name in names.items():
        if not (isinstance(name, str) and name.strip()):
            raise SpecError(f"{told}: {method}: its name is no text. Write {method}: NAME.")
    twice = sorted(name for name in set(names.values()) if list(names.values()).count(name) > 1)
    if twice:
        raise SpecError(f"{told}: two methods are called {twice[0]}, and could not be told apart. Name one otherwise.")
    return {str(method): name.strip() for method, name in names.items()}


def _of_csv(path: Path, told: str) -> dict[str, str]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = [[cell.strip() for cell in row] for row in csv.reader(file) if row]
    except FileNotFoundError:
        raise SpecError(f"{told}: there is no such file.") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise SpecError(f"{told}: cannot be read ({error}).") from None
    names: dict[str, str] = {}
    for number, row in enumerate(rows, start=1):
        if len(row) != len(HEADER) or row[0] in names:
            problem = f"has {len(row)} cells" if len(row) != len(HEADER) else f"names {row[0]} once more"
            raise SpecError(f"{told}: row {number} {problem}. Write a row METHOD,NAME for each method.")
        if row != HEADER:
            names[row[0]] = row[1]
    return names


def unknown_names(boards: Sequence[Board], names: Mapping[str, str]) -> list[str]:
    """A note on each name of a method that no board has."""
    known = {str(value) for board in boards for column in NAMED for value in board.table[column]}
    return [
        f"--names: no method is called '{method}', so {name} stands nowhere.{did_you_mean(method, known)}"
        for method, name in names.items()
        if method not in known
    ]


def renamed(board: Board, names: Mapping[str, str]) -> Board:
    """The board with other names: of a row as a whole, in its `method`, or of its loss and its backbone."""
    if not names:
        return board
    field, equals, value = (board.baseline or "").rpartition("=")
    baseline = f"{field}{equals}{names.get(value, value)}" if board.baseline else None
    return replace(
        board,
        table=_renamed(board.table, names),
        runs=_renamed(board.runs, names),
        question=replace(board.question, baseline=baseline),
    )


def _renamed(rows: pd.DataFrame, names: Mapping[str, str]) -> pd.DataFrame:
    said = [tuple(map(str, row)) for row in zip(*(rows[column] for column in NAMED), strict=True)]
    return rows.assign(
        loss=[names.get(method) or names.get(loss, loss) for loss, _, method in said],
        backbone=[names.get(backbone, backbone) for _, backbone, _ in said],
        method=[names.get(method) or _composed(method, loss, backbone, names) for loss, backbone, method in said],
    )


def _composed(method: str, loss: str, backbone: str, names: Mapping[str, str]) -> str:
    """A label, `qlung · cnn6 (loss.gamma 0.25)`, with the names of its loss and its backbone."""
    rest = method.removeprefix(loss)
    if rest.startswith(f" · {backbone}"):
        rest = f" · {names.get(backbone, backbone)}{rest.removeprefix(f' · {backbone}')}"
    return f"{names.get(loss, loss)}{rest}"
