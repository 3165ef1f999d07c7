"""Clips within their recordings: a late end is clipped and counted, a later one is an error."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from ..core.errors import DataError

TOLERANCE_S = 0.1


def clip_bounds(clips: pd.DataFrame, durations_s: pd.Series | Mapping[str, float]) -> tuple[pd.DataFrame, int]:
    """Clips with no end past the end of the recording, and how many were clipped to it.

    An infinite end is the end of the recording, and not counted.

    Args:
        clips: a clip table; columns clip_id, recording, start_s, end_s.
        durations_s: length of each recording, by its name.

    Raises:
        DataError: a clip starts past the end of its recording, or ends more than 0.1 s past it.
    """
    duration = clips["recording"].map(durations_s)
    clips = clips.assign(end_s=clips["end_s"].where(np.isfinite(clips["end_s"]), duration))
    beyond = (clips["end_s"] > duration + TOLERANCE_S) | (clips["start_s"] >= duration)
    if beyond.any():
        first = clips[beyond].iloc[0]
        others = f" So do {beyond.sum() - 1} more clips." if beyond.sum() > 1 else ""
        raise DataError(
            f"Recording {first['recording']} is {duration[beyond].iloc[0]:.3f} s long, but its clip "
            f"{first['clip_id']} runs from {first['start_s']:.3f} to {first['end_s']:.3f} s.{others} Mend the "
            "annotation, or fetch the recording again: it may be cut off."
        )
    late = clips["end_s"] > duration
    return clips.assign(end_s=clips["end_s"].where(~late, duration)), int(late.sum())
