"""Tables as text, read back by the programs that it is for."""

from __future__ import annotations

import html
import io
import json
import re
import string
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from rich.table import Table

from rsbench.core.errors import SpecError
from rsbench.core.text import csv_cell
from rsbench.report.tables.formats import (
    FORMATS,
    PICTURES,
    Sheet,
    html_of,
    known_format,
    known_picture,
    latex,
    print_sheets,
    text,
)
from rsbench.report.tables.latex import PLUS_MINUS


def sheet(rows: list[tuple[str, float]], title: str = "what it is\nof whom", caption: str = "how\nto read") -> Sheet:
    table = Table(title=title, caption=caption)
    table.add_column("the\nmethod")
    table.add_column("Score", justify="right")
    for name, score in rows:
        table.add_row(name, "–" if np.isnan(score) else f"{score:.1f}")
    return Sheet(table, pd.DataFrame(rows, columns=["method", "score"]), {"split": "tiny", "clips": np.int64(3)})


def printed(sheets: list[Sheet], form: str, width: int = 80) -> str:
    console = Console(file=io.StringIO(), width=width)
    print_sheets(sheets, form, console)
    return console.file.getvalue()


words = st.text(st.characters(codec="utf-8", categories=("L", "N", "P", "S")), min_size=1)


@given(rows=st.lists(st.tuples(words, st.floats(0, 100) | st.just(np.nan))))
def test_csv_and_json_give_back_every_figure(rows: list[tuple[str, float]]) -> None:
    known = sheet(rows)
    frame = pd.read_csv(
        io.StringIO(printed([known], "csv")), dtype={"method": str}, keep_default_na=False, na_values=""
    )
    assert list(frame["method"]) == [csv_cell(name) for name, _ in rows]
    np.testing.assert_array_equal(frame["score"].astype(float), known.frame["score"])
    (content,) = json.loads(printed([known], "json"))
    assert (content["split"], content["clips"]) == ("tiny", 3)
    assert [row["method"] for row in content["rows"]] == [name for name, _ in rows]
    found = [np.nan if row["score"] is None else row["score"] for row in content["rows"]]
    np.testing.assert_allclose(found, [score for _, score in rows], atol=1e-9)


def test_markdown_is_a_table_between_its_title_and_its_caption() -> None:
    lines = printed([sheet([("ce", 50.0), ("a|b", np.nan)])], "md").splitlines()
    assert lines == [
        "what it is  ",
        "of whom",
        "",
        "| the method | Score |",
        "| --- | ---: |",
        "| ce | 50.0 |",
        r"| a\|b | – |",
        "",
        "how  ",
        "to read",
        "",
    ]


def test_several_sheets_are_one_csv_and_a_list_in_json() -> None:
    one, other = sheet([("ce", 50.0)]), Sheet(Table(), pd.DataFrame({"loss": ["ce"], "mean": [1.5]}))
    frame = pd.read_csv(io.StringIO(printed([one, other], "csv")))
    assert list(frame) == ["method", "score", "loss", "mean"]
    assert frame.isna().sum().to_list() == [1, 1, 1, 1]
    assert [len(content["rows"]) for content in json.loads(printed([one, other], "json"))] == [1, 1]


@pytest.mark.parametrize("form", ["md", "csv", "json"])
def test_no_line_is_folded_for_a_narrow_terminal(form: str) -> None:
    name = "a name that is longer than any terminal would be " * 4
    assert name in printed([sheet([(name, 1.0)])], form, width=40)


def test_a_terminal_shows_title_table_and_caption() -> None:
    said = printed([sheet([("ce", 50.0)], title="[bold] is no markup here")], "table")
    assert said.index("[bold] is no markup here") < said.index("ce") < said.index("to read")


def test_unknown_formats_and_pictures_are_explained() -> None:
    for name in FORMATS:
        known_format(name)
    with pytest.raises(SpecError, match="--format jsn: there is no such format. Did you mean 'json'"):
        known_format("jsn")
    for ending in PICTURES:
        known_picture(Path(f"board{ending}"))
    known_picture(None)
    with pytest.raises(SpecError, match=r"--figure board\.xls: its name must end in one of \.png, \.svg, \.pdf"):
        known_picture(Path("board.xls"))


def test_latex_is_a_booktabs_table_with_the_best_row_bold_and_equals_marked() -> None:
    known = sheet([("ce", 50.0), ("a_b", -1.0), ("odd & 5 %", np.nan)], title="{50 %}\nΔ ± τ.", caption="")
    marked = replace(known, best=0, alike=[1])
    assert printed([marked], "latex").splitlines() == [
        r"% \usepackage{booktabs,siunitx}",
        r"\begin{table}[tbp]",
        r"\centering",
        r"\caption{\{50 \%\}; $\Delta$ $\pm$ $\tau$}",
        r"\label{tab:tiny}",
        r"\begin{tabular}{lS[table-format=+2.1]}",
        r"\toprule",
        r"the method & {Score} \\",
        r"\midrule",
        r"\textbf{ce} & {\bfseries 50.0} \\",
        r"a\_b $\approx$ & -1.0 \\",
        r"odd \& 5 \% & {--} \\",
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table}",
    ]
    assert r"\caption{said in a paper}" in latex(replace(known, caption=["said in a paper."]))


CELLS = st.sampled_from(
    ["71.3 ± 0.4", "100.0 ± 21.5", "+0.1", "-10.72", "7", "–", "", "9/10", "-1.0 … +2.0†", "45 %", "a_b"]
)


@given(columns=st.lists(st.tuples(st.booleans(), st.lists(CELLS, min_size=3, max_size=3)), min_size=1, max_size=5))
def test_columns_of_siunitx_get_numbers_or_text_in_braces(columns: list[tuple[bool, list[str]]]) -> None:
    table = Table()
    for number, (right, _) in enumerate(columns):
        table.add_column(f"c_{number}", justify="right" if right else "left")
    for row in zip(*(cells for _, cells in columns), strict=True):
        table.add_row(*row)
    said = latex(Sheet(table, pd.DataFrame(), best=1))
    assert said.count("{") == said.count("}")
    for name in ("table", "tabular"):
        assert said.count(rf"\begin{{{name}}}") == said.count(rf"\end{{{name}}}") == 1
    (alignment,) = re.findall(r"\\begin\{tabular\}\{(.*)\}", said)
    kinds = re.findall(r"S\[table-format=\+?\d+(?:\.\d+)?\]|[lr]", alignment.replace(PLUS_MINUS, ""))
    heading, *rows = [line.removesuffix(r" \\").split(" & ") for line in said.splitlines() if line.endswith(r" \\")]
    wide = sum(cell.startswith(r"\multicolumn{2}") for cell in heading)
    assert len(heading) + wide == len(kinds)
    for row in rows:
        assert len(row) == len(kinds)
        for cell, kind in zip(row, kinds, strict=True):
            if kind[0] == "S":
                assert cell[:1] + cell[-1:] == "{}" or fits(cell, kind), (cell, kind)


def fits(cell: str, kind: str) -> bool:
    """Whether a number has the digits, and the sign, that a column of siunitx keeps room for."""
    digits = re.fullmatch(r"([-+]?)(\d+)\.?(\d*)", cell)
    before, _, behind = kind[:-1].partition("=")[2].lstrip("+").partition(".")
    return bool(
        digits
        and len(digits[2]) <= int(before)
        and len(digits[3]) <= int(behind or 0)
        and (not digits[1] or "+" in kind)
    )


def test_no_word_of_a_stranger_is_a_command_of_latex_or_html() -> None:
    word = string.punctuation + "±·–…−†Δ $x$ <script>"
    (row,) = [line for line in latex(sheet([(word, 1.0)])).splitlines() if line.endswith(r" & 1.0 \\")]
    known = r"\\text\w+\{\}|\\dots\{\}|\\dag\{\}|\$(\\\w+|-)\$|\\[{}$&%#_]"
    assert not set(re.sub(known, "", row.removesuffix(r" & 1.0 \\"))) & set("\\{}$&%#_~^")
    (cell,) = re.findall(r"<td>(.*)</td>\n\s*<td>1.0</td>", html_of(sheet([(word, 1.0)])))
    assert html.unescape(cell) == word
    assert not set(cell) & set("<>")


def test_a_sheet_can_be_shown_twice() -> None:
    known = sheet([("ce", 50.0)])
    assert text([known], 80) == text([known], 80)
    assert "<p>what it is<br>of whom</p>" in html_of(known)
