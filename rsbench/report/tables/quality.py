"""What a terminal shows of the findings, a table per question: indices down, what they are asked across."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
from rich.markup import escape
from rich.table import Table

from ...data.tasks import ICBHI_4
from ...quality.assessment.association import AUC, ETA, RARE, RHO
from ...quality.assessment.discrimination import CLASS_OF_CLIPS, CLASS_OF_RECORDINGS, QUALITY
from ...quality.assessment.questions import Findings, by_index
from ...quality.assessment.selective import MEAN
from ...quality.degradation import DEGRADATIONS
from .formats import Sheet
from .terminal import narrow_table

SYMBOLS = {"class": ETA, "device": ETA, "site": ETA, "rate": ETA, "duration": "ρ"}

Row = dict[str, Any]


def sheets(findings: Findings) -> Iterator[Sheet]:
    """A sheet or two for each question that was answered; below the last stands what a reader must know."""
    shown = list(_shown(findings))
    for number, (name, frame, make) in enumerate(shown, start=1):
        table = make(frame, findings)
        if number == len(shown) and findings.notes:
            table.caption = "\n".join([str(table.caption), "", *findings.notes])
        about = {"question": name, "dataset": findings.study.data.dataset, "notes": findings.notes}
        yield Sheet(table, frame.assign(question=name), about)


def _shown(findings: Findings) -> Iterator[tuple[str, pd.DataFrame, Callable[[pd.DataFrame, Findings], Table]]]:
    """(question, answer, how it is shown) in the order of reading."""
    answers = findings.answers
    by_class = answers["association"]["effect"] == AUC
    yield "contrasts", answers["contrasts"], _contrasts
    yield "association", answers["association"][~by_class], _association
    yield "classes", answers["association"][by_class], _classes
    for name, make in (("degradation", _degradation), ("ordering", _ordering), ("margins", _margins)):
        if name in answers:
            yield name, answers[name], make


def _contrasts(frame: pd.DataFrame, findings: Findings) -> Table:
    data = findings.study.data
    title = (
        f"{data.title}: {len(data.recordings)} recordings and {len(data.clips)} clips of "
        f"{data.recordings['patient'].nunique()} patients; what maps to [0, 1] is fitted on {data.fitted_on}"
    )
    names = (QUALITY, CLASS_OF_RECORDINGS, CLASS_OF_CLIPS)
    sizes = frame.drop_duplicates("contrast").set_index("contrast").to_dict("index")
    headings = [
        f"{'poor?' if name == QUALITY else name.removeprefix('normal over ')}\n"
        f"{sizes[name]['first']} : {sizes[name]['second']}\n"
        f"({sizes[name]['first_patients']:.0f} : {sizes[name]['second_patients']:.0f})"
        for name in names
    ]
    table = _table(title, headings)
    for index, rows in by_index(frame):
        table.add_row(escape(index), *_of(rows, "contrast", names, _with_interval))
    table.caption = (
        "AUC, 95 % over new patients; in brackets the effective number of patients (Kish) on each side\n"
        "poor?: how often a recording not labelled poor has the higher q; 1 is best\n"
        "adventitious: how often normal recordings, or clips, have the higher q; .5: q does not tell the class"
    )
    return table


def _association(frame: pd.DataFrame, findings: Findings) -> Table:
    title = f"what else goes with q, clips of {findings.study.data.dataset}"
    table = _table(title, [f"{name}\n{symbol}" for name, symbol in SYMBOLS.items()])
    for index, rows in by_index(frame):
        table.add_row(escape(index), *_of(rows, "with", list(SYMBOLS), _with_star))
    table.caption = (
        f"{ETA}: share of the variance of q between classes, devices, …; ρ: {RHO} of q and a clip's length\n"
        f"* p < {RARE}, by patient; –: one value alone, or q is the same for all"
    )
    return table


def _classes(frame: pd.DataFrame, findings: Findings) -> Table:
    names = list(dict.fromkeys(frame["with"]))
    table = _table(f"normal over other clips of {findings.study.data.dataset}", names)
    for index, rows in by_index(frame):
        table.add_row(escape(index), *_of(rows, "with", names, _with_interval))
    table.caption = f"{AUC}: how often a normal clip has a higher q than one of the class; 95 % over new patients"
    return table


def _degradation(frame: pd.DataFrame, findings: Findings) -> Table:
    clips = int(frame["clips"].iloc[0])
    title = f"{clips} normal clips of {findings.study.data.dataset} under damage, as they are to the worst level"
    harms = [name for name, kind in DEGRADATIONS.items() if kind.harms]
    others = [name for name in DEGRADATIONS if name not in harms]
    table = _table(title, [*(_spaced(name) for name in harms), *(f"{name},\nlargest" for name in others)])
    for index, rows in by_index(frame):
        falls = _of(rows, "degradation", harms, _fall)
        table.add_row(escape(index), *falls, *_of(rows, "degradation", others, lambda row: f"{row['largest']:.2f}"))
    worst = ", ".join(f"{_spaced(name)} {DEGRADATIONS[name].levels[-1]:g} {DEGRADATIONS[name].unit}" for name in harms)
    table.caption = (
        f"mean q of the clips as they are → at the worst level; share of clips whose q only falls\nworst: {worst}\n"
        f"{' and '.join(others)}: the largest change of any clip's q, at {' and '.join(_span(name) for name in others)}"
    )
    return table


def _span(name: str) -> str:
    kind = DEGRADATIONS[name]
    return f"{min(kind.levels):+g} to {max(kind.levels):+g} {kind.unit}"


def _fall(row: Row) -> str:
    return f"{row['clean']:.2f} → {row['worst']:.2f}\n{100 * row['monotone']:.0f} %"


def _ordering(frame: pd.DataFrame, findings: Findings) -> Table:
    runs = list(dict.fromkeys(frame["run"]))
    shown = frame[frame["run"] == (MEAN if MEAN in runs else runs[0])]
    whose = f"mean of {len(runs) - 1} runs" if MEAN in runs else runs[0]
    classes = list(dict.fromkeys(shown["class"]))
    risks = shown.drop_duplicates("class").set_index("class")["risk"]
    headings = [f"{name.removesuffix(' class')}\n{100 * risks[name]:.1f} %" for name in classes]
    table = _table(f"errors on {findings.study.data.dataset} ordered by q, {whose}", headings)
    for index, rows in by_index(shown):
        table.add_row(escape(index), *_of(rows, "class", classes, _points))
    table.caption = (
        "points of risk won by keeping the best clips first (risk − AURC), over random order; 95 % over new patients\n"
        "below a class: its wrong calls; within: each class on its own, weighted as in the Score"
    )
    return table


def _points(row: Row) -> str:
    low, high = 100 * row["low"], 100 * row["high"]
    return f"{100 * row['value']:+.1f}" + ("" if np.isnan(low) else f"\n{low:+.1f}…{high:+.1f}")


def _margins(frame: pd.DataFrame, findings: Findings) -> Table:
    title = f"margin in rad that {frame['loss'].iloc[0]} gives {findings.study.data.fitted_on}"
    table = _table(title, list(ICBHI_4.classes))
    for index, rows in by_index(frame):
        table.add_row(escape(index), *_of(rows, "class", ICBHI_4.classes, _spread))
    table.caption = "median, and from the 5th to the 95th percentile"
    return table


def _spread(row: Row) -> str:
    return f"{row['median']:.3f}\n{row['p5']:.2f}…{row['p95']:.2f}"


def _with_interval(row: Row) -> str:
    if np.isnan(row["value"]):
        return "–"
    return f"{row['value']:.3f}" + ("" if np.isnan(row["low"]) else f"\n{row['low']:.2f}…{row['high']:.2f}")


def _with_star(row: Row) -> str:
    return "–" if np.isnan(row["value"]) else f"{row['value']:.2f}{'*' if row['p'] < RARE else ''}"


def _of(rows: pd.DataFrame, column: str, names: Sequence[str], cell: Callable[[Row], str]) -> list[str]:
    """A cell for each name, from the row that has it in the column."""
    by_name = {row[column]: row for row in rows.to_dict("records")}
    return [cell({str(key): value for key, value in by_name[name].items()}) for name in names]


def _table(title: str, headings: Sequence[str]) -> Table:
    return narrow_table(title, ["index", *headings], words=1)


def _spaced(name: str) -> str:
    return name.replace("_", " ")
