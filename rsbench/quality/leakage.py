"""A quality index that was fitted on recordings may be judged only on patients it has not seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..core.errors import DataError
from ..data.clips import ClipTable
from ..data.datasets import home
from ..data.splits import Split, named_splits
from ..results.schema import IndexUsed
from .index import QUALITY, QualityIndex, create_quality


def refuse_seen_patients(
    name: str, index: QualityIndex, tests: Sequence[Split], tables: Mapping[str, ClipTable]
) -> None:
    """Raise DataError where a test split holds a patient whom the index saw.

    Args:
        name: of the index.
        index: as the run uses it.
        tests: the splits that the run is to be judged on.
        tables: the clip table of each of their data sets.
    """
    for split in tests:
        seen = _seen_patients(index, split, tables[split.dataset])
        if not seen:
            continue
        blind_splits = [
            f"--test {other.name}"
            for other in named_splits().values()
            if other.dataset == split.dataset
            and other.test_rows(tables[split.dataset].clips).any()
            and not _seen_patients(index, other, tables[split.dataset])
        ]
        blind_indices = [
            f"--set quality={other}"
            for other in QUALITY.names()
            if (fitted := create_quality(other)).fitted_on and not _seen_patients(fitted, split, tables[split.dataset])
        ]
        remedies = [*blind_splits, *blind_indices, "an index that is fitted on nothing"]
        raise DataError(
            f"quality.name={name}: this index was fitted on recordings of {len(seen)} patients of the split "
            f"'{split.name}' (data.test). What depends on it may be judged only on patients it has not seen. "
            f"Use {' or '.join(remedies)}."
        )


def index_used(index: QualityIndex) -> IndexUsed:
    """What data.json says of an index: what it was fitted on, and whom it saw there, by data set."""
    seen = {dataset: tuple(sorted(patients)) for dataset, patients in index.seen.items()}
    return IndexUsed(fitted_on=tuple(index.fitted_on), seen=seen)


def _seen_patients(index: QualityIndex, split: Split, table: ClipTable) -> set[str]:
    seen = (patients for dataset, patients in index.seen.items() if home(dataset) == home(split.dataset))
    return set(table.clips["patient"][split.test_rows(table.clips)]) & frozenset().union(*seen)
