"""Everything that is asked of quality indices on a data set, answered."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from ...core.display import Display
from ...data.sprsound import POOR_QUALITY
from ...data.tasks import ICBHI_4
from .association import associations
from .data import POOR
from .discrimination import discrimination
from .robustness import clean_clips, curves, degraded_qualities, robustness
from .selective import errors_of, ordering, risk_curves
from .study import QualityStudy


@dataclass(frozen=True)
class Questions:
    """What is asked beside the indices themselves.

    loss: whose margins are shown. options: of the loss. clips: how many clean ones are degraded.
    """

    loss: str
    options: Mapping[str, Any]
    clips: int

    def check(self) -> None:
        """Raise SpecError for a loss that does not exist, has no margins, or has other options."""
        from .margins import angular_loss  # torch takes two seconds to import

        angular_loss(self.loss, [1] * len(ICBHI_4.classes), self.options)


@dataclass(frozen=True, eq=False)
class Findings:
    """The answers on a data set: question → table; see the functions of this room for the columns.

    answers: a table for each question that could be asked. notes: what a reader must know, first why a question has no
    answer.
    """

    study: QualityStudy
    answers: Mapping[str, pd.DataFrame]
    notes: tuple[str, ...]


def examine(study: QualityStudy, questions: Questions, calls: pd.DataFrame | None, display: Display) -> Findings:
    """Ask all questions of the indices of a study.

    Args:
        study: the indices on a data set.
        questions: what is asked.
        calls: of runs on this data set, from `selective.calls_of`; None where no run was named.
        display: shows how far a long answer has come.
    """
    from .margins import margins

    answers = {"contrasts": discrimination(study), "association": associations(study)}
    notes = [*_unlabelled(study), *study.fitted]
    sample = clean_clips(study, questions.clips)
    if len(sample):
        qualities = degraded_qualities(study, sample, display)
        dataset = study.data.dataset
        answers["degradation"] = robustness(qualities).assign(dataset=dataset, clips=len(sample))
        answers["degradation_levels"] = curves(qualities).assign(dataset=dataset)
    else:
        notes.append("Nothing was degraded: no clip that is judged is normal and of a recording that is not poor.")
    lacking = set(ICBHI_4.classes) - {
        ICBHI_4.classes[index] for index in study.data.clips["class_index"][study.data.fit]
    }
    if lacking:
        notes.append(f"No loss gives margins here: {study.data.fitted_on} hold no {' and no '.join(sorted(lacking))}.")
    else:
        answers["margins"] = margins(study, questions.loss, questions.options)
    if calls is not None:
        errors = errors_of(calls, study)
        answers["ordering"] = ordering(errors, study)
        answers["risk_coverage"] = risk_curves(errors, study)
    answers["recordings"] = _recordings(study)
    return Findings(study, answers, tuple(notes))


def by_index(frame: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """The rows of each index of an answer, in its order."""
    return ((str(index), rows) for index, rows in frame.groupby("index", sort=False))


def _unlabelled(study: QualityStudy) -> list[str]:
    judged = study.data.recordings["kind"][study.judged_recordings]
    if (judged == POOR).any():
        return []
    return [
        f"No judged recording of {study.data.dataset} has the record_label '{POOR_QUALITY}', so nothing says here "
        "whether an index tells poor recordings."
    ]


def _recordings(study: QualityStudy) -> pd.DataFrame:
    """The quality of every recording, a row per index and recording."""
    known = study.data.recordings[["recording", "patient", "device", "location", "rate", "kind"]]
    known = known.assign(dataset=study.data.dataset, judged=study.judged_recordings)
    return pd.concat([known.assign(index=name, quality=q) for name, q in study.recordings.items()], ignore_index=True)
