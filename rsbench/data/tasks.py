"""Tasks: what clips are told apart into, and how data sets' own words become these classes.

A task is a declaration; whatever trains, counts, ranks or draws asks it for its classes. Its reference class comes
first (NORMAL), so that "normal" and "abnormal" mean the same place in labels and logits whatever the task.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeVar, get_args

import pandas as pd

from ..core.errors import DataError, PluginError, SpecError, did_you_mean, shown
from ..core.plugins import discover_datasets
from ..core.registry import Registry
from ..core.spec import DEFAULT_TASK
from ..core.text import is_plain_word
from .clips import FOUR_WORDS, ClipTable

NORMAL = 0  # the place of the reference class
MOST_CLASSES = 100
RESERVED = ("abnormal", "within_length")  # AUROCs that all tasks have

Level = Literal["clip", "recording", "patient"]
Kind = Literal["single-label", "multi-label"]
Metric = Literal["sprsound_score"]  # what a task may ask for beside what all have, see `evaluation.metrics`


@dataclass(frozen=True)
class LabelMap:
    """A versioned map from labels to the classes of a task; None leaves the clip out.

    Attributes:
        name: its name within the task.
        version: to raise when a word becomes another class than before; boards keep versions apart.
        classes: word → class. A map that knows the four words of a data set of one's own (normal, crackle, wheeze,
            both) knows the data set's own words too, by the one of the four that each stands for.
        without: words left out whatever any data set says of them.
    """

    name: str
    version: int
    classes: Mapping[str, str | None]
    without: tuple[str, ...] = ()

    @property
    def knows_own_words(self) -> bool:
        """Whether a data set may say of a word of its own which of the four it stands for."""
        return all(word in self.classes for word in FOUR_WORDS)

    def words(self, table: ClipTable) -> dict[str, str | None]:
        """The class of every word that may label a clip of the table."""
        own = table.words if self.knows_own_words else {}
        known = {word: None if stands_for is None else self.classes[stands_for] for word, stands_for in own.items()}
        return {**self.classes, **known, **dict.fromkeys(self.without)}


@dataclass(frozen=True)
class Task:
    """What clips are told apart into.

    Attributes:
        name: letters, digits and a few signs.
        classes: their names, at least two, in the order of labels and logits; the reference class first.
        reference: the class that Sp is of; Se is of all others, and the Score the mean of both.
        label_maps: at least one; the first is the default.
        findings: what several classes have in common → these classes; each has an AUROC of its own against the rest.
        level: what has a class: an annotated clip, a whole recording by its record label, or a patient by the
            diagnosis, whose recordings are heard one by one and judged together.
        kind: of a multi-label task the findings are the labels, of which a clip has any number, and its classes are
            their combinations, the reference that of none.
        metrics: figures of its own.

    Raises PluginError for a declaration that contradicts itself.
    """

    name: str
    classes: tuple[str, ...]
    reference: str
    label_maps: tuple[LabelMap, ...]
    findings: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    level: Level = "clip"
    kind: Kind = "single-label"
    metrics: tuple[Metric, ...] = ()

    def __post_init__(self) -> None:
        for fault in self._faults():
            raise PluginError(f"task '{self.name}': {fault}")

    def _faults(self) -> list[str]:
        """What contradicts itself, in words, the first first."""
        if isinstance(self.classes, str) or not 2 <= len(set(self.classes)) == len(self.classes) <= MOST_CLASSES:
            return [f"classes must be a tuple of 2 to {MOST_CLASSES} different names."]
        faults = [
            f"{shown(name)} is no name of a class or finding, which are letters, digits and a few signs."
            for name in (*self.classes, *self.findings)
            if not is_plain_word(name)
        ]
        faults += [
            f"a finding is called '{name}', which is another figure's name. Rename it."
            for name in self.findings
            if name in RESERVED
        ]
        if self.classes[NORMAL] != self.reference:
            faults.append(f"the reference class {shown(self.reference)} must be the first of its classes.")
        faults += [
            f"{shown(word)} is no {what} of a task.{did_you_mean(word, known)}"
            for what, words, known in (
                ("level", (self.level,), get_args(Level)),
                ("kind", (self.kind,), get_args(Kind)),
                ("metric", self.metrics, get_args(Metric)),
            )
            for word in words
            if word not in known
        ]
        if self.kind == "multi-label":
            held = [tuple(name in classes for classes in self.findings.values()) for name in self.classes]
            if not self.findings or any(held[NORMAL]) or len(set(held)) < len(held):
                faults.append("of a multi-label task every class must be another combination of findings, none first.")
        if not self.label_maps:
            faults.append("it needs a label map, which says what class each word is.")
        named = [*self.findings.items(), *((one.name, tuple(one.classes.values())) for one in self.label_maps)]
        faults += [
            f"'{name}' names {shown(one)}, which is none of its classes.{did_you_mean(one, self.classes)}"
            for name, classes in named
            for one in classes
            if one is not None and one not in self.classes
        ]
        return faults

    def label_map(self, name: str | None = None) -> LabelMap:
        """A label map by name, the default one for None. Raises SpecError with a suggestion."""
        known = {one.name: one for one in self.label_maps}
        if name is None:
            return self.label_maps[0]
        if name not in known:
            raise SpecError(
                f"data.label_map: there is no label map {shown(name)} of task '{self.name}'.{did_you_mean(name, known)}"
            )
        return known[name]

    def indices(self, table: ClipTable, map_name: str | None = None) -> pd.Series:
        """Class index per clip of the table, <NA> for those left out. Raises DataError for a word without a class."""
        used = self.label_map(map_name)
        words = used.words(table)
        unknown = table.clips[~table.clips["label"].isin(words)]
        if len(unknown):
            first = unknown.iloc[0]
            remedy = "Say which it is in the words of the data set's clip table"
            remedy = remedy if used.knows_own_words else "Choose a task that knows the words of this data set"
            raise DataError(
                f"Data set '{table.dataset}', clip {first['clip_id']}, label: '{first['label']}' has no class under "
                f"'{used.name}'. {remedy}.{did_you_mean(first['label'], words)}"
            )
        index = {word: None if name is None else self.classes.index(name) for word, name in words.items()}
        return table.clips["label"].map(index).astype("Int64")

    @property
    def abnormal(self) -> tuple[int, ...]:
        """The indices of all classes but the reference."""
        return tuple(range(1, len(self.classes)))

    @property
    def label_figures(self) -> tuple[str, ...]:
        """The names of the figures that each label has at an operating point; of a multi-label task alone."""
        kinds = ("sensitivity", "specificity", "f1") if self.kind == "multi-label" else ()
        return tuple(f"{kind}_{name}" for name in self.findings for kind in kinds)

    @property
    def logit_columns(self) -> tuple[str, ...]:
        """The columns of stored predictions that hold the logits, in the order of the classes."""
        return tuple(f"logit_{name}" for name in self.classes)

    def places(self, finding: str) -> tuple[int, ...]:
        """The class indices that have a finding."""
        return tuple(self.classes.index(name) for name in self.findings[finding])


TASKS: Registry[Task] = Registry("task")

_T = TypeVar("_T", bound=Callable[[], Task])


def register_task(declare: _T) -> _T:
    """Register the task that a function without arguments returns; its docstring says what the task is.

    Raises PluginError: the function returns something else, or the task's name is taken.
    """
    declared: object = declare()
    if not isinstance(declared, Task):
        raise PluginError(f"@register_task: the function must return its Task, and returns {type(declared).__name__}.")
    TASKS.register(declared.name, declared, source=declare)
    return declare


def task(name: str) -> Task:
    """A task by name, built-in, installed or loaded from a plugin. Raises SpecError with a suggestion."""
    discover_datasets()
    if name not in TASKS.names():
        raise SpecError(
            f"data.task: there is no task {shown(name)}.{did_you_mean(name, TASKS.names())} One that a plugin brings "
            "needs its --plugin."
        )
    return TASKS.entry(name).value


_FOUR_CLASSES: dict[str, str | None] = {
    **{name: name for name in FOUR_WORDS},
    "Normal": "normal",
    "Fine Crackle": "crackle",
    "Coarse Crackle": "crackle",
    "Wheeze": "wheeze",
    "Rhonchi": "wheeze",
    "Stridor": "wheeze",
    "Wheeze+Crackle": "both",
}

ICBHI_4 = Task(
    name=DEFAULT_TASK,
    classes=FOUR_WORDS,
    reference="normal",
    label_maps=(
        LabelMap("four-class", 1, _FOUR_CLASSES),
        LabelMap("four-class-strict", 1, _FOUR_CLASSES, without=("Rhonchi", "Stridor", "I C B")),
    ),
    findings={"crackle": ("crackle", "both"), "wheeze": ("wheeze", "both")},
)


@register_task
def icbhi_4() -> Task:
    """The four classes of the ICBHI challenge: normal, crackle, wheeze, both."""
    return ICBHI_4
