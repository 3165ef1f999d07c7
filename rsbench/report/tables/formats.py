"""Tables as text for elsewhere: Markdown and HTML for a page, LaTeX for a paper, csv and JSON for a program."""

from __future__ import annotations

import html
import io
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console
from rich.table import Table

from ...core.display import PlainConsole
from ...core.errors import SpecError, did_you_mean
from ...core.text import csv_cell, in_markdown, visible
from .latex import latex_column, latex_table
from .terminal import plain, print_table

FORMATS = ("table", "md", "csv", "json", "latex")
PICTURES = (".png", ".svg", ".pdf")


@dataclass(frozen=True)
class Sheet:
    """Something to print: as people read it, and with all its figures.

    about: what the rows have in common; stands in JSON beside them.
    fit: makes the table for a terminal of so many letters; where None, `fitted` does what it can.
    caption: what stands above the table in a paper, in lines; where empty, its title and its caption.
    best: the row that is bold in a paper; best_in: the heading of its figure that is, "" for all of them.
    alike: rows that are not distinguishable from what they are compared with.
    """

    table: Table
    frame: pd.DataFrame
    about: Mapping[str, Any] = field(default_factory=dict)
    fit: Callable[..., Table] | None = None
    caption: Sequence[str] = ()
    best: int | None = None
    best_in: str = ""
    alike: Sequence[int] = ()


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
            print_table(sheet.fit(width=console.width) if sheet.fit else sheet.table, console)
    elif form == "md":
        console.out("\n".join(_markdown(sheet.table) for sheet in sheets), end="", highlight=False)
    elif form == "csv":
        plain = joined(sheets).map(csv_cell).rename(columns=csv_cell)
        console.out(plain.to_csv(index=False, lineterminator="\n"), end="", highlight=False)
    elif form == "latex":
        console.out("\n".join(map(latex, sheets)), end="", highlight=False)
    else:
        content = [{**sheet.about, "rows": _rows(sheet.frame)} for sheet in sheets]
        ascii_only = not console.encoding.startswith("utf")
        console.out(json.dumps(content, indent=1, ensure_ascii=ascii_only, default=_plain), highlight=False)


def joined(sheets: Sequence[Sheet]) -> pd.DataFrame:
    """The figures of all sheets, one below the other, with the columns of all."""
    return pd.concat([sheet.frame for sheet in sheets], ignore_index=True)


def text(sheets: Sequence[Sheet], width: int) -> str:
    """The tables as people read them, in lines of so many letters at most."""
    written = io.StringIO()
    print_sheets(sheets, "table", PlainConsole(file=written, highlight=False, width=width))
    return written.getvalue()


def written(sheets: Sequence[Sheet], form: str) -> str:
    """What `print_sheets` prints in one of FORMATS but "table", as text."""
    out = io.StringIO()
    print_sheets(sheets, form, PlainConsole(file=out, highlight=False))
    return out.getvalue()


def html_of(sheet: Sheet) -> str:
    """The table between its title and its caption, for a notebook."""
    headings, rows = _plain_cells(sheet.table)
    with pd.option_context("display.max_colwidth", None):  # else long cells end in dots
        table = pd.DataFrame(rows, columns=headings).to_html(index=False, header=sheet.table.show_header)
    return _html_lines(sheet.table.title) + table + _html_lines(sheet.table.caption)


def _html_lines(words: Any) -> str:
    return f"<p>{'<br>'.join(html.escape(visible(str(words))).splitlines())}</p>" if words else ""


def latex(sheet: Sheet) -> str:
    r"""The table for a paper, which takes \usepackage{booktabs,siunitx}."""
    headings, rows = _plain_cells(sheet.table)
    for number in sheet.alike:
        rows[number][0] += " ≈"
    numbers = [column.justify == "right" for column in sheet.table.columns]
    shown = headings if sheet.table.show_header else [""] * len(headings)
    cells = list(zip(*rows, strict=True)) or [()] * len(headings)
    told = sheet.caption or [*str(sheet.table.title or "").splitlines(), *str(sheet.table.caption or "").splitlines()]
    columns = [
        latex_column(
            heading, cells[place], numbers=numbers[place], bold=sheet.best_in in ("", heading) or not numbers[place]
        )
        for place, heading in enumerate(shown)
    ]
    caption = "; ".join(part.rstrip(".") for part in told if part)
    return latex_table(columns, caption, re.sub(r"[^\w-]+", "-", str(sheet.about.get("split", ""))), sheet.best)


def _markdown(table: Table) -> str:
    headings, rows = _plain_cells(table)
    aligned = ["---:" if column.justify == "right" else "---" for column in table.columns]
    lines = [list(map(in_markdown, headings)), aligned, *(list(map(in_markdown, row)) for row in rows)]
    written = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    above, below = (_paragraph(text) for text in (table.title, table.caption))
    return f"{above}{written}\n\n{below}"


def _plain_cells(table: Table) -> tuple[list[str], list[list[str]]]:
    """What headings and cells say, in one line each."""
    columns = [[_plain_cell(cell) for cell in (column.header, *column.cells)] for column in table.columns]
    headings, *rows = map(list, zip(*columns, strict=True))
    return headings, rows


def _plain_cell(content: Any) -> str:
    """What a cell says, in one line."""
    return " ".join(plain(content).split())


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
