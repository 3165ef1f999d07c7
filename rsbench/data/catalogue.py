"""The catalogue of a published data set: the names of all its recordings, and the sketch of each where it is known.

So what is missing has a name, and a recording that was swapped or cut off is found. `catalogues/NAME.csv.xz` has the
columns recording and subset, and SKETCH_COLUMNS where whoever made it had the recordings as they were published.
"""

from __future__ import annotations

import functools
import io
import lzma
from collections.abc import Iterable, Mapping
from importlib import resources

import numpy as np
import pandas as pd

from .identity import SKETCH_COLUMNS, mismatched

SUFFIX = ".csv.xz"
_DURATION, *_BANDS = SKETCH_COLUMNS
_DECIMALS = {_DURATION: 4, **dict.fromkeys(_BANDS, 2)}  # s and dB: well below what counts as another recording


@functools.cache
def catalogue(dataset: str) -> pd.DataFrame | None:
    """A row per published recording, by its name: subset, and SKETCH_COLUMNS if known. None where none is shipped."""
    file = resources.files(__package__) / "catalogues" / f"{dataset}{SUFFIX}"
    if not file.is_file():
        return None
    return pd.read_csv(io.BytesIO(lzma.decompress(file.read_bytes())), index_col="recording")


def catalogued() -> list[str]:
    """The data sets of which a catalogue is shipped, sorted."""
    folder = resources.files(__package__) / "catalogues"
    return sorted(file.name.removesuffix(SUFFIX) for file in folder.iterdir() if file.name.endswith(SUFFIX))


def packed(recordings: pd.DataFrame) -> bytes:
    """The file of a catalogue: recordings by name, with a subset each, and SKETCH_COLUMNS or none of them."""
    rows = recordings.sort_index().round({name: digits for name, digits in _DECIMALS.items() if name in recordings})
    return lzma.compress(rows.to_csv(index_label="recording", lineterminator="\n").encode(), preset=9)


def absent(dataset: str, here: Iterable[str]) -> tuple[str, ...]:
    """The published recordings that are not among these, sorted; () without a catalogue."""
    published = catalogue(dataset)
    return () if published is None else tuple(sorted(set(published.index) - set(here)))


def strangers(dataset: str, here: Iterable[str]) -> tuple[str, ...]:
    """Those of these names that were not published, sorted; () without a catalogue."""
    published = catalogue(dataset)
    return () if published is None else tuple(sorted(set(here) - set(published.index)))


def altered(dataset: str, sketches: Mapping[str, np.ndarray]) -> tuple[str, ...]:
    """Published recordings that differ from their sketch in the catalogue, sorted. See `identity.mismatched`.

    Args:
        dataset: its name.
        sketches: (6,) SKETCH_COLUMNS of each recording, by its name.
    """
    published = catalogue(dataset)
    if published is None or _DURATION not in published:
        return ()
    here = pd.DataFrame.from_dict(dict(sketches), orient="index", columns=list(SKETCH_COLUMNS))
    common = published.index.intersection(here.index)
    return tuple(mismatched(here.loc[common], published.loc[common]))
