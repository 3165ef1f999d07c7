"""Text of strangers: shown without power; plain words; file names that lead nowhere; cells that compute nothing."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.table import Table

from rsbench.core.display import PlainConsole
from rsbench.core.errors import ResultsError
from rsbench.core.text import csv_cell, file_name, in_markdown, is_plain_word, visible

FEW = settings(max_examples=50)
ANYTHING = st.text(st.characters(codec=None), max_size=40)


@FEW
@given(ANYTHING)
def test_what_is_shown_is_printable_and_stays_so(text: str) -> None:
    written = visible(text)
    unseen = [letter for letter in written if not letter.isprintable() and letter not in "\n\t"]
    assert all(unicodedata.category(letter) in ("Zs", "Co") for letter in unseen)  # spaces; of private use
    assert visible(written) == written
    written.encode()


@FEW
@given(ANYTHING)
def test_json_that_is_shown_says_the_same(text: str) -> None:
    assert json.loads(visible(json.dumps([text], ensure_ascii=False))) == [text]


def test_letters_of_every_language_are_shown_as_they_are() -> None:
    assert visible("Škoda 肺 ‹é› – … ± Δ") == "Škoda 肺 ‹é› – … ± Δ"
    assert visible("\x1b[2J\x9b\u202e\ud800\U000e0001") == "\\u001b[2J\\u009b\\u202e\\ud800\\udb40\\udc01"


@pytest.mark.parametrize(
    "name", ["icbhi-official", "timm:resnet18", "my set", "Škoda", "肺", "e\u0301te", "_x", "a.b+c@2~1"]
)
def test_plain_words(name: str) -> None:
    assert is_plain_word(name)


@pytest.mark.parametrize(
    "name", ["", ".", "..", ".x", "x.", "x ", "a/b", "a\\b", "a\0", "a\nb", "-rf", "=cmd", "<b>", "[/b]", "a" * 201]
)
def test_no_plain_words(name: str) -> None:
    assert not is_plain_word(name)


@FEW
@given(ANYTHING)
def test_any_text_makes_a_file_name_that_leads_nowhere(text: str) -> None:
    name = file_name(text)
    assert Path("x", name).parent == Path("x")
    assert name not in ("", ".", "..")
    assert not name.startswith((".", "-"))
    assert name.isprintable()
    assert len(name.encode()) <= 900


def test_two_texts_share_no_file() -> None:
    assert file_name("icbhi-official") == "icbhi-official"
    assert len({file_name(text) for text in ("a/b", "a_b", "a:b", "a b", "/a_b")}) == 5


@pytest.mark.parametrize("cell", [-1.5, 3, None, "-1.5", "+2", "-1e-3", "ce", "– 3", ""])
def test_numbers_and_words_stay_in_a_csv(cell: object) -> None:
    assert csv_cell(cell) == cell


@pytest.mark.parametrize("cell", ["=cmd|' /C calc'!A0", "+SUM(1)", "-x", "@x", "\t=1", "\r=1"])
def test_formulas_become_text_in_a_csv(cell: str) -> None:
    assert csv_cell(cell) == f"'{cell}"


def test_markdown_shows_a_cell_as_it_is() -> None:
    assert in_markdown("a|b\n<script>[x](y)`") == "a\\|b &lt;script>\\[x\\](y)\\`"


def test_a_message_and_a_console_give_strangers_no_power(capsys: pytest.CaptureFixture[str]) -> None:
    assert str(ResultsError("run \x1b[2J: bad")) == "run \\u001b[2J: bad"
    table = Table("\x1b[1m", title="[/b]")
    table.add_row("a\x1b[2Jb[/nothing]")
    console = PlainConsole(width=60)
    console.print(table)
    console.print("\x9b2J [/b]")
    console.out("\u202e")
    out = capsys.readouterr().out
    assert not set(out) & set("\x1b\x9b\u202e")
    assert "a\\u001b[2Jb[/nothing]" in out
