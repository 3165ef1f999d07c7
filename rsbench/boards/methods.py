"""What a method is: all that tells two rows of a board apart, but for the seed."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

NAMES = ("loss", "backbone", "weights", "pretrained", "fitted_on")
# Parts of a spec that a board names otherwise, or that say how runs are judged, not what is judged.
APART = ("loss.name", "backbone.name", "backbone.weights", "data.test", "select", "tuning_trials")
INDEX = "quality.name"
OF_ANY_INDEX = (INDEX, "quality.control")
ABSENT = "–"  # a setting that a method does not have
UNSAID = (ABSENT, '"none"')  # what a label need not say


def with_methods(rows: pd.DataFrame, mixed: Sequence[str]) -> tuple[pd.DataFrame, list[str]]:
    """The rows with a column per setting that differs, and the columns whose values together name a method.

    Args:
        rows: `schema.COLUMNS`.
        mixed: columns that may differ although a board does not mix them otherwise.
    """
    settings = _that_differ(rows)
    budget = ["trials"] if rows["trials"].any() else []
    rows = pd.concat([rows.drop(columns=["settings", "plugins"]), settings], axis=1)
    return rows, [*NAMES, *budget, *mixed, *settings.columns]


def _that_differ(rows: pd.DataFrame) -> pd.DataFrame:
    """A column per setting, as JSON text, that tells methods apart beyond loss and backbone."""
    texts = rows["settings"].unique()
    flat = pd.DataFrame([json.loads(text) for text in texts], index=pd.Index(texts))
    flat = flat.map(json.dumps, na_action="ignore").fillna(ABSENT).drop(columns=list(APART), errors="ignore")
    flat = flat.loc[:, flat.nunique() > 1].loc[rows["settings"]].set_index(rows.index)
    flat["plugins"] = rows["plugins"]
    # An option that only some losses, backbones or indices have does not tell two runs of one of them apart.
    of_method = [rows["loss"], rows["backbone"]]
    of_part = dict.fromkeys(("loss", "backbone", "frontend", "plugins"), of_method)
    options = [name for name in flat if str(name).startswith("quality.") and name not in OF_ANY_INDEX]
    of_option = {name: [flat[INDEX]] for name in options} if INDEX in flat else {}
    kept = []
    for name in flat:
        among = of_option.get(name, of_part.get(str(name).partition(".")[0], []))
        if (flat[name].groupby(among).nunique() > 1).any() if among else flat[name].nunique() > 1:
            kept.append(name)
    return flat[kept].rename(columns=str)


def shown_apart(table: pd.DataFrame, names: Sequence[str]) -> tuple[list[str], dict[str, Any]]:
    """Which of a method's names differ among the rows, and what those that do not all are; a loss always stands."""
    shared = {name: table[name].iloc[0] for name in names if name != "loss" and table[name].nunique(dropna=False) == 1}
    return [name for name in names if name not in shared], shared


def label(row: Mapping[Any, Any], names: Iterable[str]) -> str:
    """A method in words: its loss, its backbone, and the rest where it differs, `qlung · cnn6 (loss.gamma 0.25)`."""
    named = [str(row[name]) for name in names if name in ("loss", "backbone")]
    told = [name for name in names if name not in ("loss", "backbone") and row[name] not in UNSAID]
    rest = [f"{name} {short(row[name])}" for name in told]
    return " · ".join(named) + (f" ({', '.join(rest)})" if rest else "")


def labels(rows: pd.DataFrame, names: Sequence[str]) -> list[str]:
    """The label of each row."""
    return [label(row, names) for row in rows[list(names)].to_dict("records")]


def short(value: Any) -> str:
    """A setting as people read it: three digits of a number, eight of a hash."""
    text = f"{value:.3g}" if isinstance(value, float) else str(value)
    if len(text) == 64 and all(letter in "0123456789abcdef" for letter in text):
        return text[:8]
    try:
        parsed = json.loads(text)
    except ValueError:
        return text
    return f"{parsed:.3g}" if isinstance(parsed, float) else parsed if isinstance(parsed, str) else text
