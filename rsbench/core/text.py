"""Text of strangers: names in records, annotations and file names, shown and used without harm."""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata

LONGEST_NAME = 200  # letters

# Control and format characters (escapes of terminals, directions of writing), halves of surrogate pairs, what is no
# character, separators of lines and paragraphs. XML forbids none but some of these.
_UNSEEN = ("Cc", "Cf", "Cs", "Cn", "Zl", "Zp")
_LAYOUT = "\n\t"
_BEYOND_ASCII = re.compile(r"[^\n\t -~]")
SIGNS = "_ . : + @ ~ -"  # of plain words
_IN_WORDS = frozenset(SIGNS)
_PLAIN_ASCII = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:+@~ -]*")  # as most are, found much sooner
_FORMULA = re.compile(r"[=+\-@\t\r]")
# What LaTeX takes for a command, and what its fonts have in formulas alone.
_IN_LATEX = {letter: f"\\{letter}" for letter in "{}$&%#_"} | {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': "''",
    "±": r"$\pm$",
    "·": r"$\cdot$",
    "×": r"$\times$",
    "≈": r"$\approx$",
    "≤": r"$\leq$",
    "≥": r"$\geq$",
    "→": r"$\rightarrow$",
    "−": "$-$",
    "–": "--",
    "…": r"\dots{}",
    "†": r"\dag{}",
    "▶": r"$\triangleright$",
    "Δ": r"$\Delta$",
    "τ": r"$\tau$",
}
_LATEX_SIGNS = str.maketrans(_IN_LATEX)
_MINUS = re.compile(r"(?<![\w.-])-(?=[\d.])")


def visible(text: str) -> str:
    r"""The text with characters that cannot be seen written out as JSON has them, `\u001b`; lines and tabs stay.

    What is visible so has no power over a terminal, and JSON that goes through it says the same.
    """
    return _BEYOND_ASCII.sub(lambda found: _written_out(found[0]), text)


def _written_out(letter: str) -> str:
    return json.dumps(letter)[1:-1] if unicodedata.category(letter) in _UNSEEN else letter


def is_plain_word(name: str) -> bool:
    """Whether runs, splits, data sets and losses may be called so: letters, digits, and a few signs between them."""
    if not 0 < len(name) <= LONGEST_NAME or name.endswith((" ", ".")):
        return False
    return _PLAIN_ASCII.fullmatch(name) is not None or (
        (name[0].isalnum() or name[0] == "_")
        and all(letter.isalnum() or letter in _IN_WORDS or unicodedata.category(letter)[0] == "M" for letter in name)
    )


def file_name(text: str) -> str:
    """A name for a file that tells of the text: itself where it is a plain word, else its words and a hash of it."""
    words = re.sub(r"[^\w.-]+", "_", text)
    if words == text and is_plain_word(text):
        return text
    digest = hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()
    return f"{words.strip('._-')[:LONGEST_NAME]}-{digest[:8]}".lstrip("-")


def csv_cell(value: object) -> object:
    """What a spreadsheet shows as it is: text that it would take for a formula has a quote before it; numbers stay."""
    if not isinstance(value, str) or not _FORMULA.match(value) or _is_number(value):
        return value
    return f"'{value}"


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def in_markdown(text: str) -> str:
    """Text of one line that Markdown shows as it is, in a cell of a table too: no HTML, link, code or column."""
    return re.sub(r"([\\`|\[\]])", r"\\\1", " ".join(text.split())).replace("<", "&lt;")


def in_latex(text: str) -> str:
    """Text that LaTeX sets as it is; a hyphen before a number becomes a minus."""
    return _MINUS.sub("−", visible(text)).translate(_LATEX_SIGNS)
