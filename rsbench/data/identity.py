"""What data a result was made from, in three layers.

labels_id: the table of clips and labels; must be equal for rows to share a board.
audio sketch: per recording, its length and the energy in five bands; must agree within tolerance, so that WAV
meets FLAC and 16 bit meets 24, while swapped or truncated recordings do not.
bytes_id: the files themselves; provenance only.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import scipy

from .clips import ClipTable

BAND_EDGES_HZ = (0, 125, 250, 500, 1000, 2000)  # 2 kHz: the upper end of the slowest recordings, 4 kHz
BAND_COLUMNS = tuple(f"band_{low}_{high}_db" for low, high in pairwise(BAND_EDGES_HZ))
SKETCH_COLUMNS = ("duration_s", *BAND_COLUMNS)

# Well above the rounding noise of 16 bit (−101 dB of full scale), so that word lengths agree in silent bands.
FLOOR_POWER = 1e-8
TOLERANCE_DB = 0.1
TOLERANCE_S = 0.01

_CLIP_FIELDS = ("recording", "start_s", "end_s", "label", "patient", "device", "location", "subset")
_RECORDING_FIELDS = ("recording", "patient", "device", "location", "subset", "record_label")


def labels_id(table: ClipTable) -> str:
    """sha256 of clips, labels and recordings, whatever the order of rows, the paths or the files' endings.

    The classes that the data set gives to words of its own belong to it: with others, the labels would be others.
    """
    digest = hashlib.sha256()
    for frame, fields in ((table.clips, _CLIP_FIELDS), (table.recordings, _RECORDING_FIELDS)):
        # As lists: pandas gives one string after the other many times slower.
        columns = [
            (frame[field].map("{:.6f}".format) if field.endswith("_s") else frame[field]).tolist() for field in fields
        ]
        digest.update(_canonical(sorted(zip(*columns, strict=True))))
    if table.words_used:
        digest.update(_canonical(list(table.words_used.items())))
    return digest.hexdigest()


def clips_id(clip_ids: Iterable[str], *told: Iterable[Any]) -> str:
    """sha256 of clips with what is told of each (class, patient), whatever their order."""
    rows = sorted(zip(map(str, clip_ids), *(map(str, column) for column in told), strict=True))
    return hashlib.sha256(_canonical(rows)).hexdigest()


def bytes_id(contents: Mapping[str, str]) -> str:
    """sha256 over the content hash of each recording, by its name."""
    return hashlib.sha256(_canonical(sorted(contents.items()))).hexdigest()


def sketch(samples: np.ndarray, rate: int) -> np.ndarray:
    """(6,) float32: length in s, and power in dB of full scale in each of BAND_EDGES_HZ, over a whole recording.

    Args:
        samples: (n,) mono, as stored, not resampled.
        rate: Hz.
    """
    length = scipy.fft.next_fast_len(len(samples), real=True)
    spectrum = scipy.fft.rfft(samples, length)
    energy = np.concatenate([[0.0], np.cumsum(np.abs(spectrum).astype(np.float64) ** 2)])
    edges = np.ceil(np.asarray(BAND_EDGES_HZ) * length / rate).astype(int).clip(max=len(spectrum))
    # Parseval: both halves of the spectrum, over the samples that are not padding.
    power = 2 * np.diff(energy[edges]) / length / len(samples)
    return np.concatenate([[len(samples) / rate], 10 * np.log10(power + FLOOR_POWER)]).astype(np.float32)


def mismatched(one: pd.DataFrame, other: pd.DataFrame) -> list[str]:
    """Recordings that are in one sketch alone, or differ in length by 0.01 s or in a band by 0.1 dB and more.

    Args:
        one: a row per recording, by its name; SKETCH_COLUMNS.
        other: likewise.
    """
    alone = set(one.index) ^ set(other.index)
    common = one.index.intersection(other.index)
    tolerance = np.array([TOLERANCE_S] + [TOLERANCE_DB] * len(BAND_COLUMNS))
    columns = list(SKETCH_COLUMNS)
    difference = np.abs(one.loc[common, columns].to_numpy() - other.loc[common, columns].to_numpy())
    return sorted(alone | set(common[(difference >= tolerance).any(axis=1)]))


def _canonical(rows: list) -> bytes:
    return json.dumps(rows, ensure_ascii=False, separators=(",", ":")).encode()
