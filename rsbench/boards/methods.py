"""What a method is: all that tells two rows of a board apart, but for the seed; and what else differs between them."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

NAMES = ("loss", "backbone", "weights", "pretrained", "fitted_on")
# Of a spec: what has a column of its own.
APART = ("loss.name", "backbone.name", "backbone.weights", "tuning_trials")
# How runs are judged, not what is judged: it differs without telling two methods apart.
ASKED = ("data.test", "select")
INDEX = "quality.name"
OF_ANY_INDEX = (INDEX, "quality.control")
ABSENT = "–"  # a setting that a method does not have
UNSAID = (ABSENT, '"none"')  # what a label need not say
CODE_OF = "code of "  # and kind:name of what is registered
OPTIONS = "options that come with each"  # loss, backbone or index
ASKED_FOR = "asked for "  # and one of ASKED
MADE_WITH = "made with "  # and what may move a result without being part of a method
HASH = re.compile(r"[0-9a-f]{64}")
AVERAGED = ("code",)  # columns that boards keep apart, and average over where they are told to


@dataclass(frozen=True)
class Methods:
    """Rows with a column per thing that differs between them.

    names: the columns whose values together name a method. aside: those that differ and do not: options that come with
    the name of a loss, a backbone or an index, what runs were asked to be judged on, and what they were made with.
    """

    rows: pd.DataFrame
    names: list[str]
    aside: list[str]

    def in_words(self) -> list[str]:
        """A line for each kind of thing that differs aside."""
        lines = [
            self._options(part, of) for part, of in (("loss", "loss"), ("backbone", "backbone"), ("quality", INDEX))
        ]
        lines.append(self._listed("asked for beside this board", ASKED_FOR))
        lines.append(self._listed("made with different", MADE_WITH))
        return [line for line in lines if line]

    def _options(self, part: str, of: str) -> str:
        prefixes = (f"{part}.", "frontend.") if part == "backbone" else (f"{part}.",)
        keys = [name for name in self.aside if name.startswith(prefixes)]
        told = []
        for name, group in self.rows.groupby(of) if keys else ():
            own = {key: group[key].iloc[0] for key in keys if group[key].iloc[0] != ABSENT}
            if own:
                options = ", ".join(f"{key.removeprefix(f'{part}.')} {short(value)}" for key, value in own.items())
                told.append(f"{short(name)} ({options})")
        return f"{OPTIONS} {part}: {', '.join(told)}" if told else ""

    def _listed(self, what: str, prefix: str) -> str:
        told = [f"{name.removeprefix(prefix)} {self._values(name)}" for name in self.aside if name.startswith(prefix)]
        return f"{what}: {'; '.join(told)}" if told else ""

    def _values(self, name: str) -> str:
        return " and ".join(sorted({short(value) for value in self.rows[name]}))


def with_methods(rows: pd.DataFrame, mixed: Sequence[str]) -> Methods:
    """What the methods of a board are called by.

    Args:
        rows: `rows.COLUMNS`.
        mixed: columns that may differ although a board does not mix them otherwise.
    """
    elsewhere = rows["declared"] != ABSENT  # of whose settings, and machine, nothing is known
    settings = _that_differ(rows, "settings", ~elsewhere).rename(columns={name: f"{ASKED_FOR}{name}" for name in ASKED})
    code = _that_differ(rows, "sources", ~elsewhere).add_prefix(CODE_OF)
    made = _that_differ(rows, "made_with", ~elsewhere).add_prefix(MADE_WITH)
    naming = [name for name in [*settings, *code] if _tells_apart(name, settings, rows)]
    aside = [name for name in [*settings, *made] if name not in naming]
    budget = ["declared"] * bool(elsewhere.any()) + ["trials"] * bool(rows["trials"].any())
    mixed_in = [name for name in mixed if name not in AVERAGED]
    described = rows.drop(columns=["settings", "sources", "made_with"])
    return Methods(pd.concat([described, settings, code, made], axis=1), [*NAMES, *budget, *mixed_in, *naming], aside)


def _that_differ(rows: pd.DataFrame, column: str, own: pd.Series) -> pd.DataFrame:
    """Keys of a column of JSON objects, as columns of JSON text: those that differ among one's own rows.

    ABSENT where a row has no such key; code differs only among the rows that use it.
    """
    place, texts = pd.factorize(rows[column])
    flat = pd.DataFrame([json.loads(text) for text in texts])
    flat = flat.map(json.dumps, na_action="ignore").fillna(ABSENT).drop(columns=list(APART), errors="ignore")
    flat = flat.rename(columns=str).sort_index(axis=1)
    compared = flat.iloc[np.unique(place[own])]
    if column == "sources":
        compared = compared.where(compared != ABSENT)
    return flat.loc[:, compared.nunique() > 1].iloc[place].set_index(rows.index)


def _tells_apart(name: str, settings: pd.DataFrame, rows: pd.DataFrame) -> bool:
    """Whether a column that differs does so among rows of one loss, one backbone or one index, whose option it is."""
    if name.startswith(ASKED_FOR):
        return False
    part = name.partition(".")[0]
    if part == "quality" and name not in OF_ANY_INDEX and INDEX in settings:
        return bool((settings[name].groupby(settings[INDEX]).nunique() > 1).any())
    if part in ("loss", "backbone", "frontend"):
        owner = rows["loss" if part == "loss" else "backbone"]
        return bool((settings[name].groupby(owner).nunique() > 1).any())
    return True


def shown_apart(table: pd.DataFrame, names: Sequence[str]) -> tuple[list[str], dict[str, Any]]:
    """Which of a method's names differ among the rows, and what those that do not all are; a loss always stands."""
    shared = {name: table[name].iloc[0] for name in names if name != "loss" and table[name].nunique(dropna=False) == 1}
    return [name for name in names if name not in shared], shared


def label_names(table: pd.DataFrame, names: Sequence[str]) -> list[str]:
    """Of the names shown apart those that labels need: what differs among one's own rows, or among the others.

    So methods are called alike on boards with and without predictions made elsewhere.
    """
    if "declared" not in names:
        return list(names)
    parts = [part for _, part in table.groupby(table["declared"] == ABSENT)]
    alike = [all(part[name].nunique(dropna=False) == 1 for part in parts) for name in names]
    return [name for name, same in zip(names, alike, strict=True) if name in ("loss", "declared") or not same]


def label(row: Mapping[Any, Any], names: Iterable[str]) -> str:
    """A method in words: its loss, its backbone, and the rest where it differs, `qlung · cnn6 (loss.gamma 0.25)`."""
    named = [str(row[name]) for name in names if name in ("loss", "backbone")]
    told = [name for name in names if name not in ("loss", "backbone") and row[name] not in UNSAID]
    rest = [f"{name} {short(row[name])}" for name in told]
    return " · ".join(named) + (f" ({', '.join(rest)})" if rest else "")


def labels(rows: pd.DataFrame, names: Sequence[str]) -> list[str]:
    """The label of each row; of thousands of runs many are of one method."""
    names, known = list(names), {}
    values = list(zip(*(rows[name] for name in names), strict=True))
    for row in values:
        if row not in known:
            known[row] = label(dict(zip(names, row, strict=True)), names)
    return [known[row] for row in values]


def short(value: Any) -> str:
    """A setting as people read it: three digits of a number, eight of a hash, and a document by its hash."""
    text = f"{value:.3g}" if isinstance(value, float) else str(value)
    try:
        parsed = json.loads(text)
    except ValueError:
        parsed = text
    if isinstance(parsed, list):
        return ", ".join(map(str, parsed))
    if isinstance(parsed, dict):
        return hashlib.sha256(text.encode()).hexdigest()[:8]
    word = parsed if isinstance(parsed, str) else f"{parsed:.3g}" if isinstance(parsed, float) else text
    parts = word.split(",")  # of runs that were trained on several data sets
    return ",".join(part[:8] for part in parts) if all(map(HASH.fullmatch, parts)) else word
