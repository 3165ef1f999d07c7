"""Does an index fall when clean clips are damaged, and stay when they are only louder?"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd
import scipy
from numpy.typing import NDArray

from ...core.cache import build_once, cache_dir
from ...core.display import Display
from ...core.errors import PluginError
from ...core.seeds import derive
from ...data.audio import read
from ...data.tasks import NORMAL
from ...evaluation.patients import UNKNOWN, Flags, Floats, mean_over_patients, patient_codes
from .. import degradation
from ..degradation import DEGRADATIONS, degrade
from ..index import MEASURES, QualityIndex
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
    parts = []
    for name, index in study.indices.items():
        what = f"{name}, degraded clips of {study.data.dataset}"
        with display.track(what, clips["path"].nunique()) as advance:
            measured = _measure(index, study.data, clips, lambda: advance(1, ""))
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
    ranks = scipy.stats.rankdata(by_level, axis=1) - (by_level.shape[1] + 1) / 2
    severity = np.arange(by_level.shape[1]) - (by_level.shape[1] - 1) / 2
    scale = np.sqrt((ranks**2).sum(axis=1) * (severity**2).sum())
    return np.divide(ranks @ severity, scale, out=np.zeros(len(ranks)), where=scale > 0)


def _measure(index: QualityIndex, data: QualityData, clips: pd.DataFrame, advance: Callable[[], None]) -> Floats:
    """(N, 1 + len(DAMAGES), k) raw values of clips as they are and with each damage; kept in the cache."""

    def measured() -> Floats:
        values: dict[str, list[tuple[float, ...]]] = {}

        def measure(recording: tuple[str, pd.DataFrame]) -> None:
            path, of_recording = recording
            samples, rate = read(Path(path))
            for clip in of_recording.to_dict("records"):
                heard = samples[int(clip["start_s"] * rate) : int(clip["end_s"] * rate)]
                values[clip["clip_id"]] = _of_clip(index, str(clip["clip_id"]), heard, rate)

        with ThreadPoolExecutor(os.cpu_count()) as pool:
            for _ in pool.map(measure, clips.groupby(clips["path"].astype(str), sort=False)):
                advance()
        return np.array([values[clip_id] for clip_id in clips["clip_id"]], dtype=np.float64)

    if not index.identity:
        return measured()
    source = Path(degradation.__file__).read_bytes()
    windows = clips[["clip_id", "start_s", "end_s"]].to_json(orient="values")
    key = json.dumps([index.identity, data.bytes_id, windows, hashlib.sha256(source).hexdigest()])
    kept = build_once(
        cache_dir() / "degraded" / hashlib.sha256(key.encode()).hexdigest(),
        lambda folder: np.save(folder / MEASURES, measured()),
    )
    found: Floats = np.load(kept / MEASURES)
    return found


def _of_clip(index: QualityIndex, clip_id: str, samples: NDArray[np.float32], rate: int) -> list[tuple[float, ...]]:
    """The raw values of a clip as it is, then with each of DAMAGES; noise and gaps are the same at every level.

    Raises PluginError when a value is not finite.
    """
    values = [index.measure(samples, rate)]
    for name, level in DAMAGES:
        damaged = degrade(samples, rate, name, level, np.random.default_rng(NOISE_SEED))
        values.append(index.measure(damaged, rate))
        if not np.isfinite(values[-1]).all():
            raise PluginError(
                f"Quality index {type(index).__name__} gives {values[-1]} for {clip_id} with {name} at {level:g} "
                f"{DEGRADATIONS[name].unit}. Every value must be finite: mend the index."
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
