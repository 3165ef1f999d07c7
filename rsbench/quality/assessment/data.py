"""A data set as quality indices are examined on it: its recordings whole, and its clips."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ...core.display import Display
from ...data.audio import probe
from ...data.clips import ClipTable, clip_bounds
from ...data.hashing import content_hashes
from ...data.identity import bytes_id
from ...data.sources import Roots, load_table
from ...data.splits import named_splits, own_split
from ...data.sprsound import POOR_QUALITY
from ...data.tasks import ICBHI_4, NORMAL

POOR, CLEAN, ADVENTITIOUS = "poor", "normal", "adventitious"  # kinds of recordings


@dataclass(frozen=True, eq=False)
class QualityData:
    """A data set, read.

    recordings: R rows; RECORDING_COLUMNS, start_s and end_s of the whole of it, rate (Hz), and kind: POOR where
        annotators called it Poor Quality, CLEAN where all of its clips are normal, ADVENTITIOUS where some are not,
        "" where it has no clip.
    clips: N rows, those that a run on the data set has, in their order; CLIP_COLUMNS, path, class_index, rate (Hz),
        duration_s, and kind, that of their recording.
    fit: (N,) the clips that normalisers are fitted on. fitted_on: what these are, in words.
    bytes_id: identity of the files. missing: official recordings that are not there.
    """

    dataset: str
    recordings: pd.DataFrame
    clips: pd.DataFrame
    fit: NDArray[np.bool_]
    fitted_on: str
    bytes_id: str
    missing: int

    @property
    def title(self) -> str:
        """The data set's name, marked where it is not whole."""
        return f"{self.dataset} (PARTIAL: {self.missing} recordings missing)" if self.missing else self.dataset


def load_quality_data(dataset: str, roots: Roots, display: Display, *, partial: bool = False) -> QualityData:
    """Read a data set, and the headers of its recordings.

    Raises DataError where it is not there, broken, or incomplete without `partial`.
    """
    table = load_table(dataset, roots, partial=partial)
    recordings = table.recordings.reset_index(drop=True)
    headers = []
    with display.track(f"reading {dataset}", len(recordings)) as advance:
        for path in recordings["path"]:
            headers.append(probe(Path(path)))
            advance(1, "")
    lengths_s = [header.frames / header.rate for header in headers]
    recordings = recordings.assign(start_s=0.0, end_s=lengths_s, rate=[header.rate for header in headers])
    clips = _clips(table, recordings)
    recordings["kind"] = _kinds(recordings, clips)
    clips["kind"] = clips["recording"].map(recordings.set_index("recording")["kind"])
    fit, fitted_on = _to_fit(dataset, clips)
    hashes = content_hashes(dataset, (Path(path) for path in recordings["path"]))
    contents = dict(zip(recordings["recording"], hashes, strict=True))
    return QualityData(dataset, recordings, clips, fit, fitted_on, bytes_id(contents), len(table.missing))


def _clips(table: ClipTable, recordings: pd.DataFrame) -> pd.DataFrame:
    """The clips as a run prepares them, so that what it measured is found in the cache."""
    about = recordings.set_index("recording")
    clips, _ = clip_bounds(table.clips, about["end_s"], table.places)
    clips = clips.assign(class_index=ICBHI_4.indices(table)).dropna(subset="class_index")
    clips = clips.astype({"class_index": int}).reset_index(drop=True)
    known = {column: clips["recording"].map(about[column]) for column in ("path", "rate")}
    return clips.assign(**known, duration_s=clips["end_s"] - clips["start_s"])


def _kinds(recordings: pd.DataFrame, clips: pd.DataFrame) -> pd.Series:
    abnormal = clips["class_index"].ne(NORMAL).groupby(clips["recording"]).any()
    by_clips = recordings["recording"].map(abnormal.map({True: ADVENTITIOUS, False: CLEAN})).fillna("")
    return by_clips.mask(recordings["record_label"] == POOR_QUALITY, POOR)


def _to_fit(dataset: str, clips: pd.DataFrame) -> tuple[NDArray[np.bool_], str]:
    """The training clips of the data set's first split that trains and tests on different ones; else all clips."""
    own = [item for item in named_splits().values() if item.dataset == dataset] or [own_split(dataset)]
    for item in own:
        train = item.train_rows(clips).to_numpy()
        if train.any() and not (train & item.test_rows(clips).to_numpy()).any():
            return train, f"the training clips of {item.name}"
    return np.ones(len(clips), dtype=bool), "all of its clips: it has no training part"
