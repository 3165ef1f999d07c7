"""A fixed scale of quality: how a recording compares with reference recordings, whatever a model was trained on.

The reference recordings are those of ICBHI and SPRSound, each measured whole. `reference.json` holds what came out;
`python -m rsbench.quality.fitting reference` writes it again. No training, no score and no board reads it.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..core.plugins import is_built_in
from .index import QUALITY, Floats, Normaliser, QualityIndex

FILE = Path(__file__).with_name("reference.json")
VERSION = 1  # raised when reference recordings or the way of measuring change
PERCENTS = np.arange(101)


@dataclass(frozen=True)
class IndexReference:
    """What the reference recordings are under one index with its default options.

    normaliser: fitted on all of them, of an index of several raw values; {} of one with a single value.
    quantiles: data set → (101,) its values at PERCENTS, ascending.
    """

    normaliser: Normaliser
    quantiles: Mapping[str, Floats]

    def values(self, index: QualityIndex, measures: Floats) -> Floats:
        """(N,) the raw value of each clip, or the index's score of several, from its measures (N, k)."""
        return single_values(index, measures, self.normaliser)

    def percentiles(self, values: Floats) -> Floats:
        """(N,) the percentage of reference recordings that are no better, each data set counting alike; in halves."""
        below = [np.searchsorted(levels, values, side="right") - 1 for levels in self.quantiles.values()]
        found: Floats = np.mean(np.clip(below, 0, 100), axis=0)
        return found

    def value_at(self, percent: int) -> float:
        """The value below which this percentage of the reference recordings lies, each data set counting alike."""
        pooled = np.sort(np.concatenate(list(self.quantiles.values())))
        return float(np.percentile(pooled, percent, method="lower"))


@dataclass(frozen=True)
class QualityReference:
    """Reference recordings under every index that ships.

    indices: name → what they are under it. provenance: of what they were made, for people.
    """

    indices: Mapping[str, IndexReference]
    provenance: Mapping[str, Any]

    def describe(self) -> str:
        """ "reference recordings, version 1: icbhi 188 (PARTIAL), sprsound 2683"."""
        sets = [
            f"{name} {of['recordings']}{' (PARTIAL)' if of['missing'] else ''}"
            for name, of in self.provenance["datasets"].items()
        ]
        return f"reference recordings, version {self.provenance['version']}: {', '.join(sets)}"

    def as_json(self) -> str:
        """The file: a line per index."""
        lines = []
        for name, of in self.indices.items():
            quantiles = {
                dataset: [float(f"{level:.5g}") for level in levels] for dataset, levels in of.quantiles.items()
            }
            lines.append(f'"{name}": {json.dumps({"normaliser": of.normaliser, "quantiles": quantiles})}')
        indices = ",\n".join(lines)
        return f'{{\n"provenance": {json.dumps(self.provenance)},\n"indices": {{\n{indices}\n}}\n}}\n'

    @classmethod
    def from_json(cls, text: str) -> QualityReference:
        fields = json.loads(text)
        indices = {
            name: IndexReference(
                of["normaliser"], {dataset: np.array(levels) for dataset, levels in of["quantiles"].items()}
            )
            for name, of in fields["indices"].items()
        }
        return cls(indices, fields["provenance"])


def single_values(index: QualityIndex, measures: Floats, normaliser: Normaliser) -> Floats:
    """(N,) one value per clip from its measures (N, k): the only one as it is, or the index's score of several."""
    return measures[:, 0] if measures.shape[1] == 1 else index.score(measures, normaliser)


@functools.cache
def quality_reference() -> QualityReference:
    """The table that is shipped."""
    return QualityReference.from_json(FILE.read_text(encoding="utf-8"))


def reference_of(name: str, options: Mapping[str, Any]) -> IndexReference | None:
    """What the reference recordings are under an index; None of a plugin's, and under other options than its own."""
    entry = QUALITY.entry(name)
    known = is_built_in(entry) and QUALITY.resolve(name, options) == QUALITY.resolve(name, {})
    return quality_reference().indices.get(name) if known else None


def made_reference(
    indices: Mapping[str, QualityIndex], measures: Mapping[str, Sequence[Floats]], provenance: Mapping[str, Any]
) -> QualityReference:
    """The table, from the measures (N, k) of each index, data set by data set. measures: data set → one per index."""
    made = {}
    for number, (name, index) in enumerate(indices.items()):
        of_sets = {dataset: of[number] for dataset, of in measures.items()}
        pooled = np.concatenate(list(of_sets.values()))
        normaliser = index.fit(pooled) if pooled.shape[1] > 1 else {}
        values = {dataset: single_values(index, of, normaliser) for dataset, of in of_sets.items()}
        made[name] = IndexReference(
            normaliser, {dataset: np.percentile(of, PERCENTS, method="lower") for dataset, of in values.items()}
        )
    return QualityReference(made, provenance)
