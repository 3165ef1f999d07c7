"""Quality indices on a data set: what each says of its recordings and clips, and on whom it may be judged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import pandas as pd

from ...core.display import Display
from ...core.errors import DataError, PluginError
from ...evaluation.patients import Flags, Floats
from ..index import Normaliser, QualityIndex
from ..measuring import measure_all
from .data import QualityData


@dataclass(frozen=True, eq=False)
class QualityStudy:
    """Indices side by side, judged on the same patients: those whom none of them was fitted on.

    indices: by name. normalisers: likewise, each fitted on `data.fit`.
    recordings: (R,) and clips: (N,) qualities in [0, 1] by index, of the rows of the data.
    """

    data: QualityData
    indices: Mapping[str, QualityIndex]
    normalisers: Mapping[str, Normaliser]
    recordings: Mapping[str, Floats]
    clips: Mapping[str, Floats]

    @cached_property
    def seen(self) -> frozenset[str]:
        """Patients of the data set whom some index was fitted on."""
        of_set = (index.seen.get(self.data.dataset, frozenset()) for index in self.indices.values())
        return frozenset().union(*of_set) & frozenset(self.data.recordings["patient"])

    @property
    def fitted(self) -> tuple[str, ...]:
        """Which indices were themselves fitted, on what, and who is left out for it: a line each."""
        lines = []
        for name, index in self.indices.items():
            if index.fitted_on:
                met = len(self.seen & index.seen.get(self.data.dataset, frozenset()))
                left_out = f"; its {met} patients here are left out, for every index" if met else ""
                lines.append(f"{name} was fitted on {', '.join(index.fitted_on)}{left_out}.")
        return tuple(lines)

    @cached_property
    def judged_recordings(self) -> Flags:
        """(R,) the recordings of patients whom no index saw."""
        return self._unseen(self.data.recordings)

    @cached_property
    def judged_clips(self) -> Flags:
        """(N,) the clips of patients whom no index saw."""
        return self._unseen(self.data.clips)

    def _unseen(self, frame: pd.DataFrame) -> Flags:
        kept: Flags = ~frame["patient"].isin(list(self.seen)).to_numpy()
        return kept


def study_indices(data: QualityData, indices: Mapping[str, QualityIndex], display: Display) -> QualityStudy:
    """Measure every recording and every clip with every index; what was measured before is in the cache.

    Raises DataError where the indices saw every patient of the data set, and PluginError where one was fitted on it and
    does not say on whom.
    """
    for name, index in indices.items():
        if data.dataset not in index.seen and any(part.startswith(data.dataset) for part in index.fitted_on):
            raise PluginError(
                f"Quality index '{name}' was fitted on {', '.join(index.fitted_on)}, and does not say on whom. Give it "
                f"`seen`, the patients, or judge it on another data set than '{data.dataset}'."
            )
    wanted = [(index, rows) for index in indices.values() for rows in (data.clips, data.recordings)]
    with display.track(f"{', '.join(indices)} of {data.dataset}", data.recordings["path"].nunique()) as advance:
        measured = measure_all(wanted, data.bytes_id, lambda done, total: advance(1, ""))
    recordings, clips, normalisers = {}, {}, {}
    for (name, index), of_clips, whole in zip(indices.items(), measured[::2], measured[1::2], strict=True):
        normalisers[name] = index.fit(of_clips[data.fit])
        clips[name] = index.score(of_clips, normalisers[name])
        recordings[name] = index.score(whole, normalisers[name])
    study = QualityStudy(data, indices, normalisers, recordings, clips)
    if not study.judged_recordings.any():
        raise DataError(
            f"Data set '{data.dataset}': {' and '.join(indices)} saw every patient of it that is here, so none is "
            "left to be judged on. Choose another index or another data set."
        )
    return study
