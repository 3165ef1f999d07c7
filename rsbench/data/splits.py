"""Named, versioned splits: filters over a data set's subsets, and patient-grouped validation in the training part.

Prediction is made once per data set; the splits of one data set are filters over the stored predictions. But for
`<data set>-cvK`: there each of K folds of patients is predicted by a model that was trained without it.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ..core.errors import DataError, PluginError, SpecError, did_you_mean, shown
from ..core.plugins import discover_datasets
from ..core.registry import Registry
from ..core.seeds import derive
from .tasks import ICBHI_4, NORMAL, Task

VALIDATION_DRAWS = 1000
CLAIMS_FROM = 15  # effective patients below which nothing is claimed on a class

FOLDED = re.compile(r"(?P<dataset>.+)-cv(?P<folds>[2-9]|1[0-9]|20)")
FOLDED_VERSION = 1  # raise it when the same clips would be given other folds


@dataclass(frozen=True)
class Split:
    """A rule over a frame with the columns subset, patient and recording: a clip table or stored predictions.

    Attributes:
        name: its name, one for all data sets.
        version: to raise when it means other clips than before; boards keep versions apart.
        dataset: the data set that it is a split of.
        summary: one sentence on it, for lists.
        train: the subsets of the training side; without any, it cannot be trained on.
        test: the subsets of the test side; without any, it cannot be tested on.
        train_without_patients: patients kept out of the training side.
        test_without_patients: patients kept out of the test side.
        test_without_recordings: recordings kept out of the test side.
        folds: where there are any, both sides are the same clips, each tested by a model that was trained on the
            patients of the other folds.
        shares_patients: published with patients on both sides.

    Raises PluginError where a side is a word instead of a tuple of words.
    """

    name: str
    version: int
    dataset: str
    summary: str
    train: tuple[str, ...]
    test: tuple[str, ...]
    train_without_patients: tuple[str, ...] = ()
    test_without_patients: tuple[str, ...] = ()
    test_without_recordings: tuple[str, ...] = ()
    folds: int = 0
    shares_patients: bool = False

    def __post_init__(self) -> None:
        without = (self.train_without_patients, self.test_without_patients, self.test_without_recordings)
        for side in (self.train, self.test, *without):
            if isinstance(side, str):
                raise PluginError(f"Split '{self.name}': {side!r} is a word; write a tuple of words, ({side!r},).")

    def train_rows(self, frame: pd.DataFrame) -> pd.Series:
        """Which rows are for training, a boolean per row."""
        return frame["subset"].isin(self.train) & ~frame["patient"].isin(self.train_without_patients)

    def test_rows(self, frame: pd.DataFrame) -> pd.Series:
        """Which rows are for testing, a boolean per row."""
        rows = frame["subset"].isin(self.test)
        if self.test_without_patients:
            rows &= ~frame["patient"].isin(self.test_without_patients)
        if self.test_without_recordings:
            rows &= ~frame["recording"].isin(self.test_without_recordings)
        return rows

    @property
    def tests_by_name(self) -> bool:
        """Whether the test side leaves somebody or something out by name, which pseudonyms take away."""
        return bool(self.test_without_patients or self.test_without_recordings)


# Every split there is, whoever brings it; data sets register theirs.
SPLITS: Registry[Split] = Registry("split")


def own_split(dataset: str) -> Split:
    """The split of a data set that brings none."""
    return Split(dataset, 1, dataset, "The subsets named train and test.", ("train",), ("test",))


def named_splits() -> dict[str, Split]:
    """The splits of all registered data sets, by name: built-in, installed and loaded from plugins."""
    discover_datasets()
    return {name: SPLITS.entry(name).value for name in SPLITS.names()}


def known_split(name: str, own: Collection[str] = ()) -> Split | None:
    """A split by name, `<data set>-cvK` among them; None where there is none. See `split`."""
    known = named_splits()
    if name in known:
        return known[name]
    if name in own:
        return own_split(name)
    folded = FOLDED.fullmatch(name)
    return _folded_split(name, folded["dataset"], int(folded["folds"]), own) if folded else None


def _folded_split(name: str, dataset: str, folds: int, own: Collection[str]) -> Split | None:
    """All clips on any side of the data set's own splits, which is all that is annotated; None for an unknown one."""
    of_dataset = [item for item in named_splits().values() if item.dataset == dataset]
    if not of_dataset and dataset in own:
        of_dataset = [own_split(dataset)]
    subsets = tuple(dict.fromkeys(subset for item in of_dataset for subset in (*item.train, *item.test)))
    summary = f"Every patient tested once, in {folds} folds."
    return Split(name, FOLDED_VERSION, dataset, summary, subsets, subsets, folds=folds) if subsets else None


def split(name: str, own: Collection[str] = ()) -> Split:
    """A split by name. A data set that a clips.csv describes has one of its own name; each has `<name>-cvK` too.

    Args:
        name: the split's name.
        own: names of the user's own data sets (`Roots.own_datasets`).

    Raises:
        SpecError: no such split; with a suggestion.
    """
    found = known_split(name, own)
    if found is None:
        raise SpecError(
            f"There is no split {shown(name)}.{did_you_mean(name, {*named_splits(), *own})} <data set>-cvK, K from 2 "
            "to 20, tests every patient. One that a plugin brings needs its --plugin."
        )
    return found


def choose_validation(clips: pd.DataFrame, fraction: float, seed: int, never: Collection[str] = ()) -> tuple[str, ...]:
    """Patients of the training part to keep for validation, sorted.

    About `fraction` of the patients, drawn from `seed`. Every class stays in the fitting part; of all draws
    that leave it there the one is taken that has most classes in validation and, among those, the share of
    each class nearest to `fraction`.

    Args:
        clips: the training clips; columns patient and class_index.
        fraction: share of patients, in [0, 1); 0 gives ().
        seed: the same seed and clips give the same patients, whatever the order of rows.
        never: patients who must stay out, as those of a test split.

    Raises:
        DataError: no draw keeps every class in the fitting part and has normal and abnormal clips in validation.
    """
    if fraction == 0:
        return ()
    counts = pd.crosstab(clips["patient"], clips["class_index"]).sort_index()
    held = counts.to_numpy()
    sole_holder = (held[:, (held > 0).sum(axis=0) == 1] > 0).any(axis=1)
    free = np.flatnonzero(~sole_holder & ~counts.index.isin(list(never)))
    wanted = max(1, round(fraction * len(counts)))
    if wanted > len(free):
        raise _too_few_patients(len(free), wanted)

    generator = np.random.default_rng(derive(seed, "validation"))
    ranks = generator.random((VALIDATION_DRAWS, len(free))).argsort(axis=1)[:, :wanted]
    drawn = free[ranks]  # (draws, wanted) rows of `counts`
    kept = held[drawn].sum(axis=1)  # (draws, classes) clips in validation
    whole = held.sum(axis=0)
    normal = counts.columns == NORMAL
    usable = (kept < whole).all(axis=1) & (kept[:, normal] > 0).any(axis=1) & (kept[:, ~normal] > 0).any(axis=1)
    if not usable.any():
        raise _too_few_patients(len(free), wanted)
    uneven = np.abs(kept / whole - fraction).sum(axis=1)
    best = np.lexsort((uneven, -(kept > 0).sum(axis=1), ~usable))[0]
    return tuple(sorted(counts.index[drawn[best]]))


def _too_few_patients(free: int, wanted: int) -> DataError:
    return DataError(
        f"validation.fraction: {wanted} patients are wanted for validation, with normal and abnormal clips, while "
        f"every class stays in the fitting part; the {free} patients who are free for it do not allow that. Train "
        "on a larger split, or set validation.fraction=0 (train on everything; selection by `last` or `oracle` only)."
    )


def choose_folds(
    clips: pd.DataFrame, folds: int, seed: int, never: Collection[str] = (), task: Task = ICBHI_4
) -> list[tuple[str, ...]]:
    """The patients that each fold holds out, sorted; classes are spread as evenly as patients allow.

    Args:
        clips: columns patient and class_index, a row per clip of the training part.
        folds: how many, at least 2.
        seed: decides who is with whom.
        never: patients who are held out of no fold, because a test split has them too.
        task: whose classes these are.

    Raises DataError when there are fewer patients than folds, or a class would be missing from a fitting part.
    """
    from sklearn.model_selection import StratifiedGroupKFold  # half a second, which boards can do without

    asked = f"validation.folds={folds}"
    free = clips[~clips["patient"].isin(list(never))]
    _refuse_few(free, folds, asked)
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=derive(seed, "folds") % 2**32)
    return [_held_out(clips, free.iloc[rows], asked, task) for _, rows in splitter.split(*_to_part(free))]


def fixed_folds(clips: pd.DataFrame, folds: int, task: Task = ICBHI_4) -> list[tuple[str, ...]]:
    """The patients of each fold of `<data set>-cvK`, sorted; classes are spread as evenly as patients allow.

    They follow from the clips alone, in whatever order these come. Nothing is drawn: how scikit-learn shuffles groups
    differs between its versions.

    Args:
        clips: columns patient and class_index, a row per clip.
        folds: how many, at least 2.
        task: whose classes these are.

    Raises as `choose_folds` does.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    asked = f"cv{folds}"
    _refuse_few(clips, folds, asked)
    parted = StratifiedGroupKFold(folds).split(*_to_part(clips))
    return [_held_out(clips, clips.iloc[rows], asked, task) for _, rows in parted]


def _to_part(clips: pd.DataFrame) -> tuple[pd.DataFrame, pd.Series, pd.Series]:
    return clips, clips["class_index"], clips["patient"]


def _refuse_few(clips: pd.DataFrame, folds: int, asked: str) -> None:
    patients, rarest = clips["patient"].nunique(), clips["class_index"].value_counts().min()
    if patients < folds or rarest < folds:
        raise DataError(
            f"{asked}: the training part has {patients} patients to hold out, and {rarest} clips of its rarest class. "
            "Ask for fewer folds."
        )


def _held_out(clips: pd.DataFrame, held_out: pd.DataFrame, asked: str, task: Task) -> tuple[str, ...]:
    """The patients of a fold. Raises DataError where nothing of a class is left to fit."""
    held = held_out["patient"].unique()
    fitted = clips["class_index"][~clips["patient"].isin(held)]
    absent = np.setdiff1d(np.arange(len(task.classes)), fitted)
    if len(absent):
        raise DataError(
            f"{asked}: all patients with class '{task.classes[absent[0]]}' fall into one fold, so that nothing of it "
            "is left to fit. Train on a larger split, or ask for another number of folds."
        )
    return tuple(sorted(held))
