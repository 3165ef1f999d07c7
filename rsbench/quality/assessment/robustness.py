"""Does an index fall when clean clips are damaged, and stay when they are only louder?"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ...core.display import Display
from ...core.errors import PluginError
from ...core.seeds import derive
from ...data.audio import read
from ...data.tasks import NORMAL
from ...evaluation.patients import UNKNOWN, Flags, Floats, mean_over_patients, patient_codes
from .. import degradation
from ..degradation import DEGRADATIONS, degrade_by_levels
from ..index import QualityIndex
from ..measuring import Values, by_all_cores, kept_in, kept_together
from .data import POOR, QualityData
from .study import QualityStudy

NOISE_SEED = 0
NOTICED = 0.01  # a change of q that counts as one: what is less moves no margin by a degree
DAMAGES = [(name, level) for name, kind in DEGRADATIONS.items() for level in kind.levels]


def clean_clips(study: QualityStudy, count: int, seed: int = 0) -> pd.DataFrame:
    """A sample of the judged normal clips of recordings that nobody called poor, as even over patients as they allow.

    Every patient gives one clip before any gives another; who and which follows from the seed. Empty where there is no
    such clip.
    """
    clips, judged = study.data.clips, study.judged_clips
    clean = clips[judged & (clips["class_index"] == NORMAL).to_numpy() & (clips["kind"] != POOR).to_numpy()]
    generator = np.random.default_rng(derive(seed, "clean clips"))
    shuffled = clean.iloc[generator.permutation(len(clean))]
    turn = shuffled.groupby("patient").cumcount()
    return shuffled.iloc[turn.to_numpy().argsort(kind="stable")[:count]].sort_index()


def degraded_qualities(study: QualityStudy, clips: pd.DataFrame, display: Display) -> pd.DataFrame:
    """What every index says of clips under every degradation and level.

    A row per index, degradation, level and clip: columns index, degradation, level, severity (0 for the clip as it is,
    with level NaN, then 1, 2, … from mild to severe), clip_id, patient, quality.
    """
    what = f"{', '.join(study.indices)} of degraded clips of {study.data.dataset}"
    with display.track(what, clips["path"].nunique()) as advance:
        found = _measure(list(study.indices.values()), study.data, clips, lambda: advance(1, ""))
    parts = []
    for (name, index), measured in zip(study.indices.items(), found, strict=True):
        shape = measured.shape[:2]
        quality = index.score(measured.reshape(-1, measured.shape[2]), study.normalisers[name]).reshape(shape)
        parts.append(_tidy(name, clips, quality))
    return pd.concat(parts, ignore_index=True)


def robustness(qualities: pd.DataFrame) -> pd.DataFrame:
    """How each index answers to each degradation, from `degraded_qualities`, a row each.

    Columns: index, degradation, harms; clean and worst: mean q as they are and at the severest level; value, low, high:
    the mean fall from the one to the other, 95 % over new patients; monotone: share of clips that `falls_steadily`
    holds for; spearman: of q and severity, mean over clips, 0 where q does not move; largest: the largest change of q
    of any clip at any level. Where a degradation does no harm (gain), what speaks of falling is NaN.
    """
    rows = []
    for (index, name), frame in qualities.groupby(["index", "degradation"], sort=False):
        table = frame.pivot(index=["patient", "clip_id"], columns="severity", values="quality")
        by_level, patients = table.to_numpy(), table.index.get_level_values("patient").to_series()
        harms = DEGRADATIONS[str(name)].harms
        falls = mean_over_patients(by_level[:, 0] - by_level[:, -1], patient_codes(patients))
        rows.append(
            {
                "index": index,
                "degradation": name,
                "harms": harms,
                "clean": by_level[:, 0].mean(),
                "worst": by_level[:, -1].mean(),
                **asdict(falls if harms else UNKNOWN),
                "monotone": falls_steadily(by_level).mean() if harms else np.nan,
                "spearman": severity_correlation(by_level).mean() if harms else np.nan,
                "largest": np.abs(by_level - by_level[:, :1]).max(),
            }
        )
    return pd.DataFrame(rows)


def curves(qualities: pd.DataFrame) -> pd.DataFrame:
    """Mean q with its interval per index, degradation and level.

    Columns: index, degradation, severity, level, value, low, high.
    """
    rows = []
    for (index, name, severity), frame in qualities.groupby(["index", "degradation", "severity"], sort=False):
        found = mean_over_patients(frame["quality"].to_numpy(), patient_codes(frame["patient"]))
        level = frame["level"].iloc[0]
        rows.append({"index": index, "degradation": name, "severity": severity, "level": level, **asdict(found)})
    return pd.DataFrame(rows)


def falls_steadily(by_level: Floats) -> Flags:
    """(N,) whether q (N, levels) falls in all, and rises nowhere on the way, by more than NOTICED."""
    steps = np.diff(by_level, axis=1)
    falls: Flags = np.logical_and((steps <= NOTICED).all(axis=1), by_level[:, 0] - by_level[:, -1] > NOTICED)
    return falls


def severity_correlation(by_level: Floats) -> Floats:
    """(N,) Spearman's ρ of q (N, levels) with severity; 0 where q does not move."""
    ranks = pd.DataFrame(by_level).rank(axis=1).to_numpy() - (by_level.shape[1] + 1) / 2
    severity = np.arange(by_level.shape[1]) - (by_level.shape[1] - 1) / 2
    scale = np.sqrt((ranks**2).sum(axis=1) * (severity**2).sum())
    return np.divide(ranks @ severity, scale, out=np.zeros(len(ranks)), where=scale > 0)


def _measure(
    indices: Sequence[QualityIndex], data: QualityData, clips: pd.DataFrame, advance: Callable[[], None]
) -> list[Floats]:
    """Of each index (N, 1 + len(DAMAGES), k) raw values of clips as they are and with each damage; kept in the cache.

    Each clip is damaged once for all that is not kept yet.
    """

    def measured(missing: Sequence[int]) -> list[Floats]:
        wanted = [indices[number] for number in missing]
        count = len(wanted) * len(clips) * (1 + len(DAMAGES))
        recordings = list(clips.groupby(clips["path"].astype(str), sort=False))
        values: dict[str, list[list[Values]]] = {}
        for of_recording in by_all_cores(partial(_of_recording, wanted), recordings, wanted, count):
            values |= of_recording
            advance()
        return [np.array([values[clip][place] for clip in clips["clip_id"]]) for place in range(len(wanted))]

    source = hashlib.sha256(Path(degradation.__file__).read_bytes()).hexdigest()
    windows = clips[["clip_id", "start_s", "end_s"]].to_json(orient="values")
    return kept_together([kept_in("degraded", index, data.bytes_id, windows, source) for index in indices], measured)


def _of_recording(
    indices: Sequence[QualityIndex], recording: tuple[str, pd.DataFrame]
) -> dict[str, list[list[Values]]]:
    """Clip → what each index says of it as it is, then with each of DAMAGES."""
    path, clips = recording
    samples, rate = read(Path(path))
    return {
        clip["clip_id"]: _of_clip(
            indices, clip["clip_id"], samples[int(clip["start_s"] * rate) : int(clip["end_s"] * rate)], rate
        )
        for clip in clips.to_dict("records")
    }


def _of_clip(
    indices: Sequence[QualityIndex], clip_id: str, samples: NDArray[np.float32], rate: int
) -> list[list[Values]]:
    """The raw values as it is, then with each of DAMAGES, per index; noise and gaps are the same at every level.

    Raises PluginError when a value is not finite.
    """
    values = [[index.measure(samples, rate)] for index in indices]
    for name, kind in DEGRADATIONS.items():
        copies = degrade_by_levels(samples, rate, name, kind.levels, np.random.default_rng(NOISE_SEED))
        for level, damaged in zip(kind.levels, copies, strict=True):
            for index, of_index in zip(indices, values, strict=True):
                of_index.append(index.measure(damaged, rate))
                if not all(map(math.isfinite, of_index[-1])):
                    raise PluginError(
                        f"Quality index {type(index).__name__} gives {of_index[-1]} for {clip_id} with {name} at "
                        f"{level:g} {kind.unit}. Every value must be finite: mend the index."
                    )
    return values


def _tidy(index: str, clips: pd.DataFrame, quality: Floats) -> pd.DataFrame:
    """`degraded_qualities` of one index, from q (N, 1 + len(DAMAGES))."""
    parts = []
    for name, kind in DEGRADATIONS.items():
        columns = [0, *(1 + place for place, (damage, _) in enumerate(DAMAGES) if damage == name)]
        for severity, (column, level) in enumerate(zip(columns, (np.nan, *kind.levels), strict=True)):
            made = clips[["clip_id", "patient"]].assign(index=index, degradation=name, level=level, severity=severity)
            parts.append(made.assign(quality=quality[:, column]))
    return pd.concat(parts, ignore_index=True)
