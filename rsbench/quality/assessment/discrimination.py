"""Does an index tell poor recordings from good ones, and does it keep out of the diagnosis?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict

import numpy as np
import pandas as pd

from ...data.tasks import NORMAL
from ...evaluation.patients import Flags, Floats, area_under_curve, effective_number, patient_codes
from .data import ADVENTITIOUS, CLEAN, POOR
from .study import QualityStudy

QUALITY = "good over poor recordings"
CLASS_OF_RECORDINGS = "normal over adventitious recordings"
CLASS_OF_CLIPS = "normal over adventitious clips"


def discrimination(study: QualityStudy) -> pd.DataFrame:
    """AUC of every index for each contrast, a row each.

    QUALITY is what an index is for: 1 is best. The two of class should be near 0.5: an index that tells normal from
    adventitious sounds gives a margin by class under another name.

    Columns: dataset, index, contrast; value, low, high, the 95 % interval over new patients; first and second, how many
    stand on each side; first_patients and second_patients, the effective number (Kish). Values are NaN where one side
    is empty.
    """
    rows = []
    for contrast, frame, better, quality_of in _contrasts(study):
        patients = patient_codes(frame["patient"])
        sizes = {side: np.bincount(patients[chosen]) for side, chosen in (("first", better), ("second", ~better))}
        for index, quality in quality_of.items():
            found = area_under_curve(quality, better, patients)
            rows.append(
                {
                    "dataset": study.data.dataset,
                    "index": index,
                    "contrast": contrast,
                    **asdict(found),
                    **{side: int(counts.sum()) for side, counts in sizes.items()},
                    **{f"{side}_patients": effective_number(counts) for side, counts in sizes.items()},
                }
            )
    return pd.DataFrame(rows)


def _contrasts(study: QualityStudy) -> Iterator[tuple[str, pd.DataFrame, Flags, dict[str, Floats]]]:
    """(name, judged rows, which of them should be higher, qualities by index) of every contrast."""
    recordings, clips = study.data.recordings, study.data.clips
    judged = study.judged_recordings
    diagnosed = judged & recordings["kind"].isin([CLEAN, ADVENTITIOUS]).to_numpy()
    for name, kept, worse in ((QUALITY, judged, POOR), (CLASS_OF_RECORDINGS, diagnosed, ADVENTITIOUS)):
        frame = recordings[kept]
        yield name, frame, (frame["kind"] != worse).to_numpy(), _kept(study.recordings, kept)
    frame = clips[study.judged_clips]
    yield CLASS_OF_CLIPS, frame, (frame["class_index"] == NORMAL).to_numpy(), _kept(study.clips, study.judged_clips)


def _kept(qualities: Mapping[str, Floats], kept: Flags) -> dict[str, Floats]:
    return {index: quality[kept] for index, quality in qualities.items()}
