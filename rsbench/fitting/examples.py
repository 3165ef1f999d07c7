"""What a learned index is fitted on: features of recordings, of windows of them, and of damaged copies."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..data.audio import read
from ..data.clips import ClipTable
from ..data.sprsound import POOR_QUALITY
from ..display import Display
from ..indices._description import describe
from ..seeds import derive
from ..signal.degradation import DEGRADATIONS, degrade
from ..signal.quality import Floats

WINDOWS = {0.5: 3, 1.0: 3, 2.0: 3, 4.0: 2, 8.0: 1}  # seconds → how many of a recording, at random places
DAMAGED_S = (0.5, 10.0)  # lengths of windows that are damaged, evenly drawn on a logarithmic scale
WHOLE = 0.0  # in the column `window_s`
SEVERE_FROM = 1  # of a degradation's levels: the mildest is hardly heard
HARMFUL = tuple(name for name, degradation in DEGRADATIONS.items() if degradation.harms)

Samples = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Examples:
    """N pieces of sound.

    about: a row each: recording, patient, subset; contrast, "normal" or "adventitious", "" where neither is known;
        damage, the degradation, "" as recorded; window_s, WHOLE for whole recordings; seconds; good.
    features: (N, K), see `indices._description.FEATURES`.
    """

    about: pd.DataFrame
    features: Floats

    def rows(self, chosen: pd.Series) -> Examples:
        """Those for which a boolean per row is true."""
        return Examples(self.about[chosen].reset_index(drop=True), self.features[chosen.to_numpy()])


def labelled_examples(table: ClipTable, display: Display) -> Examples:
    """SPRSound's recordings, whole and in windows, good unless annotators called them Poor Quality.

    Of each that is good, one window for each harmful degradation stands beside them damaged, and counts as poor.
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
                made += _damaged(samples, rate, known, generator)
            advance(1, "")
    return _together(made)


def clip_examples(table: ClipTable, chosen: pd.Series, display: Display) -> Examples:
    """The chosen clips as recorded, good, and a copy of each under every harmful degradation, poor."""
    made = []
    clips = table.clips[chosen].merge(table.recordings[["recording", "path"]], on="recording")
    with display.track("features of clips", len(clips)) as advance:
        for path, of_recording in clips.groupby("path", sort=False):
            samples, rate = read(Path(str(path)))
            for clip in of_recording.to_dict("records"):
                piece = samples[int(clip["start_s"] * rate) : int(clip["end_s"] * rate)]
                generator = np.random.default_rng(derive(0, "examples", clip["clip_id"]))
                known = {"recording": clip["clip_id"], "patient": clip["patient"], "subset": clip["subset"]}
                known["contrast"] = "normal" if clip["label"] == "normal" else "adventitious"
                made.append(_example(piece, rate, known, good=True, window_s=WHOLE))
                made += _damaged(piece, rate, known, generator)
                advance(1, "")
    return _together(made)


def _windows(samples: Samples, rate: int, generator: np.random.Generator) -> Iterator[tuple[float, Samples]]:
    yield WHOLE, samples
    for window_s, number in WINDOWS.items():
        length = round(window_s * rate)
        for start in generator.integers(0, len(samples) - length + 1, number) if length < len(samples) else ():
            yield window_s, samples[start : start + length]


def _damaged(
    samples: Samples, rate: int, known: dict[str, Any], generator: np.random.Generator
) -> Iterator[tuple[dict[str, Any], Floats]]:
    for name in HARMFUL:
        length = min(len(samples), round(np.exp(generator.uniform(*np.log(DAMAGED_S))) * rate))
        start = generator.integers(0, len(samples) - length + 1)
        level = generator.choice(DEGRADATIONS[name].levels[SEVERE_FROM:])
        damaged = degrade(samples[start : start + length], rate, name, level, generator)
        yield _example(damaged, rate, known, good=False, window_s=np.nan, damage=name)


def _example(
    samples: Samples, rate: int, known: dict[str, Any], *, good: bool, window_s: float, damage: str = ""
) -> tuple[dict[str, Any], Floats]:
    about = known | {"good": good, "damage": damage, "window_s": window_s, "seconds": len(samples) / rate}
    return about, describe(samples, rate)


def _together(made: list[tuple[dict[str, Any], Floats]]) -> Examples:
    about, features = zip(*made, strict=True)
    return Examples(pd.DataFrame(about), np.stack(features))
