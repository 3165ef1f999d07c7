"""Quality for readers: a run's index on a scale that its training clips do not move."""

from __future__ import annotations

import numpy as np

from ..results.run import Run
from .index import Floats, create_quality
from .reference import quality_reference, reference_of, single_values

PROBED = 4000  # samples, a second of them: how many values an index has is known only from some


class QualityScale:
    """The index of a run, and how its values are told to readers.

    index: the run's. reference: what reference recordings are under it; None where none is shipped for it. in_words:
    the scale in a sentence.
    """

    def __init__(self, run: Run) -> None:
        choice = run.spec.quality
        self.index = create_quality(choice.name, **choice.params)
        self.reference = reference_of(choice.name, choice.params)
        self._normaliser = self.reference.normaliser if self.reference else run.data.quality_normaliser
        self.in_words = f"{choice.name}, {self._scale()}"

    def of(self, measures: Floats) -> tuple[Floats, Floats]:
        """(N,) values and (N,) percentiles of clips from their measures (N, k).

        The value is the index's own where it has one, in its unit; of several it is their score in [0, 1].
        """
        values = single_values(self.index, measures, self._normaliser)
        return values, self.reference.percentiles(values) if self.reference else np.full(len(values), np.nan)

    def _scale(self) -> str:
        if self.reference:
            return f"percentile among {quality_reference().describe()}"
        if len(self.index.measure(np.zeros(PROBED, np.float32), PROBED)) > 1:
            return "scaled by the run's training clips, since no reference recordings are shipped for it"
        return "in its own unit; no reference recordings are shipped for it"
