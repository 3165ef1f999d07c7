r"""Tables for a paper: the rules of booktabs, and columns of siunitx, which align numbers at their points."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from ...core.text import in_latex

PACKAGES = r"% \usepackage{booktabs,siunitx}"
NOTHING = ("–", "")  # cells without a figure
PLUS_MINUS = r"@{\,$\pm$\,}"
_NUMBER = re.compile(r"([-+]?)(\d+)(?:\.(\d+))?")


@dataclass(frozen=True)
class LatexColumn:
    """A column: what says how it is aligned, its heading, and its cells, each of one or two parts.

    bold: cells as they are in the best row.
    """

    alignment: str
    heading: str
    cells: Sequence[str]
    bold: Sequence[str]


def latex_table(columns: Sequence[LatexColumn], caption: str, label: str = "", best: int | None = None) -> str:
    r"""A `table` of LaTeX, which takes \usepackage{booktabs,siunitx}.

    Args:
        columns: of `latex_column`.
        caption: what stands above it, as text.
        label: its name for \ref, or "".
        best: the row that is bold.
    """
    rows = [
        [(column.bold if number == best else column.cells)[number] for column in columns]
        for number in range(len(columns[0].cells))
    ]
    headings = [column.heading for column in columns]
    return "\n".join(
        [
            PACKAGES,
            r"\begin{table}[tbp]",
            r"\centering",
            *([rf"\caption{{{in_latex(caption)}}}"] if caption else []),
            *([rf"\label{{tab:{label}}}"] if label else []),
            rf"\begin{{tabular}}{{{''.join(column.alignment for column in columns)}}}",
            r"\toprule",
            *([_row(headings), r"\midrule"] if any(headings) else []),
            *map(_row, rows),
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
            "",
        ]
    )


def latex_column(heading: str, cells: Sequence[str], *, numbers: bool, bold: bool) -> LatexColumn:
    """A column of text; or, where all cells are numbers, of numbers, or of means and deviations in two parts.

    Args:
        heading: as text.
        cells: as text.
        numbers: whether it is on the right.
        bold: whether its cell in the best row is bold.
    """
    known = [cell.split(" ± ") for cell in cells if cell not in NOTHING]
    parts = max(map(len, known), default=0)
    if not (numbers and known and all(_NUMBER.fullmatch(part) for cell in known for part in cell) and parts <= 2):
        text = [in_latex(cell) for cell in cells]
        strong = [rf"\textbf{{{cell}}}" for cell in text] if bold else text
        return LatexColumn("r" if numbers else "l", in_latex(heading), text, strong)
    split = [(cell.split(" ± ") if cell not in NOTHING else []) + ["–"] * parts for cell in cells]
    columns = [[cell[part] for cell in split] for part in range(parts)]
    title = in_latex(heading)
    plain = [" & ".join(map(_figure, cell[:parts])) for cell in split]
    strong = [" & ".join(rf"{{\bfseries {in_latex(part)}}}" for part in cell[:parts]) for cell in split]
    return LatexColumn(
        PLUS_MINUS.join(f"S[table-format={_format(column)}]" for column in columns),
        f"{{{title}}}" if parts == 1 else rf"\multicolumn{{{parts}}}{{c}}{{{title}}}",
        plain,
        strong if bold else plain,
    )


def _figure(text: str) -> str:
    return text if _NUMBER.fullmatch(text) else f"{{{in_latex(text)}}}"


def _format(cells: Sequence[str]) -> str:
    """What siunitx has to reserve for the numbers of a column: a sign, digits before and behind the point."""
    found = [match.groups() for match in map(_NUMBER.fullmatch, cells) if match]
    before, behind = (max((len(one[part] or "") for one in found), default=1) for part in (1, 2))
    return ("+" if any(sign for sign, *_ in found) else "") + f"{before}" + (f".{behind}" if behind else "")


def _row(cells: Sequence[str]) -> str:
    return rf"{' & '.join(cells)} \\"
