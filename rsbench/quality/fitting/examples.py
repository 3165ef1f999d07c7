"""What a learned index is fitted on: features of recordings, of windows of them, and of damaged copies."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ...core.display import Display
from ...core.seeds import derive
from ...data.audio import read
from ...data.clips import ClipTable
from ...data.sprsound import POOR_QUALITY
from ..degradation import DEGRADATIONS, degrade
from ..index import Floats
from ..indices._description import describe
from .imitations import IMITATIONS

WINDOWS = {0.5: 3, 1.0: 3, 2.0: 3, 4.0: 2, 8.0: 1}  # seconds → how many of a recording, at random places
STRETCH_S = (0.5, 10.0)  # shortest and longest of what is damaged
ADJOINING_S = 0.01  # between clips of one stretch
WHOLE = 0.0  # in the column `window_s`
SEVERE_FROM = 1  # of a degradation's levels: the mildest is hardly heard
HARMFUL = tuple(name for name, degradation in DEGRADATIONS.items() if degradation.harms)

Samples = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Examples:
    """N pieces of sound.

    about: a row each: recording, patient, subset; contrast, "normal" or "adventitious", "" where neither is known;
        damage, the degradation or imitation, "" as recorded; window_s, WHOLE for whole recordings; seconds; good.
    features: (N, K), see `indices._description.FEATURES`.
    """

    about: pd.DataFrame
    features: Floats

    def rows(self, chosen: pd.Series) -> Examples:
        """Those for which a boolean per row is true."""
        return self.at(np.flatnonzero(chosen))

    def at(self, positions: NDArray[np.int64]) -> Examples:
        """Those at these positions."""
        return Examples(self.about.iloc[positions].reset_index(drop=True), self.features[positions])


def labelled_examples(table: ClipTable, display: Display) -> Examples:
    """SPRSound's recordings, whole and in windows, good unless annotators called them Poor Quality.

    Of each that is good, copies of a window stand beside it, one under each harmful degradation, and count as poor.
    """
    made = []
    recordings = table.recordings.to_dict("records")
    with display.track("features of recordings", len(recordings)) as advance:
        for recording in recordings:
            samples, rate = read(Path(recording["path"]))
            generator = np.random.default_rng(derive(0, "examples", recording["recording"]))
            good = recording["record_label"] != POOR_QUALITY
            contrast = {"Normal": "normal", POOR_QUALITY: ""}.get(recording["record_label"], "adventitious")
            known = {key: recording[key] for key in ("recording", "patient", "subset")} | {"contrast": contrast}
            for window_s, piece in _windows(samples, rate, generator):
                made.append(_example(piece, rate, known, good=good, window_s=window_s))
            if good:
                length = min(len(samples), round(_log_uniform(STRETCH_S, generator) * rate))
                start = generator.integers(0, len(samples) - length + 1)
                made += _degraded(samples[start : start + length], rate, known, generator)
            advance(1, "")
    return _together(made)


def imitated_examples(table: ClipTable, chosen: pd.Series, display: Display) -> Examples:
    """A stretch of sound from the start of each chosen clip as recorded, good, and its damaged copies, poor.

    A stretch is of a random length of STRETCH_S, over clips that adjoin, and ends with the last of them. It is a whole
    of its own, and named by its first clip. The copies are one under each harmful degradation and each imitation.
    """
    made = []
    clips = table.clips[chosen].merge(table.recordings[["recording", "path"]], on="recording")
    with display.track("features of clips", len(clips)) as advance:
        for path, of_recording in clips.groupby("path", sort=False):
            samples, rate = read(Path(str(path)))
            ordered = of_recording.sort_values("start_s", ignore_index=True)
            for position in ordered.index:
                generator = np.random.default_rng(derive(0, "examples", ordered["clip_id"][position]))
                stretch, end_s = _stretch(ordered, position, _log_uniform(STRETCH_S, generator))
                first = stretch.iloc[0]
                piece = samples[int(first["start_s"] * rate) : int(end_s * rate)]
                known = {"recording": first["clip_id"], "patient": first["patient"], "subset": first["subset"]}
                known["contrast"] = "normal" if (stretch["label"] == "normal").all() else "adventitious"
                made.append(_example(piece, rate, known, good=True, window_s=WHOLE))
                made += _degraded(piece, rate, known, generator)
                made += _imitated(piece, rate, known, generator)
                advance(1, "")
    return _together(made)


def _stretch(clips: pd.DataFrame, position: int, seconds: float) -> tuple[pd.DataFrame, float]:
    """The clips from a position on that adjoin, as far as they begin within so many s; and where the stretch ends."""
    last, wanted_s = position, clips["start_s"][position] + seconds
    while (
        last + 1 < len(clips)
        and clips["end_s"][last] < wanted_s
        and clips["start_s"][last + 1] - clips["end_s"][last] < ADJOINING_S
    ):
        last += 1
    return clips.iloc[position : last + 1], min(clips["end_s"][last], wanted_s)


def _windows(samples: Samples, rate: int, generator: np.random.Generator) -> Iterator[tuple[float, Samples]]:
    yield WHOLE, samples
    for window_s, number in WINDOWS.items():
        length = round(window_s * rate)
        for start in generator.integers(0, len(samples) - length + 1, number) if length < len(samples) else ():
            yield window_s, samples[start : start + length]


def _degraded(
    samples: Samples, rate: int, known: dict[str, Any], generator: np.random.Generator
) -> Iterator[tuple[dict[str, Any], Floats]]:
    for name in HARMFUL:
        level = generator.choice(DEGRADATIONS[name].levels[SEVERE_FROM:])
        degraded = degrade(samples, rate, name, level, generator)
        yield _example(degraded, rate, known, good=False, window_s=np.nan, damage=name)


def _imitated(
    samples: Samples, rate: int, known: dict[str, Any], generator: np.random.Generator
) -> Iterator[tuple[dict[str, Any], Floats]]:
    for name, imitate in IMITATIONS.items():
        imitated = imitate(samples.astype(np.float64), rate, generator).astype(np.float32)
        yield _example(imitated, rate, known, good=False, window_s=np.nan, damage=name)


def _example(
    samples: Samples, rate: int, known: dict[str, Any], *, good: bool, window_s: float, damage: str = ""
) -> tuple[dict[str, Any], Floats]:
    about = known | {"good": good, "damage": damage, "window_s": window_s, "seconds": len(samples) / rate}
    return about, describe(samples, rate)


def _log_uniform(bounds: tuple[float, float], generator: np.random.Generator) -> float:
    return float(np.exp(generator.uniform(*np.log(bounds))))


def _together(made: list[tuple[dict[str, Any], Floats]]) -> Examples:
    about, features = zip(*made, strict=True)
    return Examples(pd.DataFrame(about), np.stack(features))
