"""Tables as text for elsewhere: Markdown for a page, csv and JSON for a program."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console
from rich.errors import MarkupError
from rich.markup import render
from rich.table import Table

from ...core.errors import SpecError, did_you_mean
from ...core.text import csv_cell, in_markdown

FORMATS = ("table", "md", "csv", "json")
PICTURES = (".png", ".svg", ".pdf")


@dataclass(frozen=True)
class Sheet:
    """Something to print: as people read it, and with all its figures.

    about: what the rows have in common; stands in JSON beside them.
    """

    table: Table
    frame: pd.DataFrame
    about: Mapping[str, Any] = field(default_factory=dict)


def known_format(name: str) -> None:
    """Raise SpecError for a format that is none."""
    if name not in FORMATS:
        raise SpecError(f"--format {name}: there is no such format.{did_you_mean(name, FORMATS)}")


def known_picture(path: Path | None) -> None:
    """Raise SpecError for a picture of an unknown kind."""
    if path and path.suffix.lower() not in PICTURES:
        raise SpecError(f"--figure {path}: its name must end in one of {', '.join(PICTURES)}.")


def print_sheets(sheets: Sequence[Sheet], form: str, console: Console) -> None:
    """Print sheets in one of FORMATS. The csv of several is one, with the columns of all."""
    if form == "table":
        for sheet in sheets:
            print_table(sheet.table, console)
    elif form == "md":
        console.out("\n".join(_markdown(sheet.table) for sheet in sheets), end="", highlight=False)
    elif form == "csv":
        whole = pd.concat([sheet.frame for sheet in sheets], ignore_index=True)
        plain = whole.map(csv_cell).rename(columns=csv_cell)
        console.out(plain.to_csv(index=False, lineterminator="\n"), end="", highlight=False)
    else:
        content = [{**sheet.about, "rows": _rows(sheet.frame)} for sheet in sheets]
        ascii_only = not console.encoding.startswith("utf")
        console.out(json.dumps(content, indent=1, ensure_ascii=ascii_only, default=_plain), highlight=False)


def print_table(table: Table, console: Console) -> None:
    """A table between its title and its caption, which may be wider than it is."""
    title, caption, table.title, table.caption = table.title, table.caption, None, None
    if title:
        console.print(title, markup=False)
    console.print(table)
    if caption:
        console.print(f"{caption}\n", markup=False)


def _markdown(table: Table) -> str:
    headings = [_cell(column.header) for column in table.columns]
    aligned = ["---:" if column.justify == "right" else "---" for column in table.columns]
    cells = zip(*(column.cells for column in table.columns), strict=True)
    lines = [headings, aligned, *([_cell(cell) for cell in row] for row in cells)]
    rows = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    above, below = (_paragraph(text) for text in (table.title, table.caption))
    return f"{above}{rows}\n\n{below}"


def _cell(content: Any) -> str:
    """What a cell says, without the markup of terminals."""
    try:
        return in_markdown(render(str(content)).plain)
    except MarkupError:
        return in_markdown(str(content))


def _paragraph(text: Any) -> str:
    """Lines that stay lines."""
    return "  \n".join(map(in_markdown, str(text).splitlines())) + "\n\n" if text else ""


def _rows(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows with None for what is not there, which JSON can say."""
    rows: list[dict[str, Any]] = json.loads(frame.to_json(orient="records"))
    return rows


def _plain(value: Any) -> Any:
    """A NumPy number as Python's."""
    return value.item()
