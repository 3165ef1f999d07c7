"""What is wrong with a recording, in four measures that mean something to whoever made it: `rsbench data check`.

A share of time or of samples is a fault from where `quality.degradation` begins to damage clips. For the estimates of
noise and of bandwidth no such bound is known: there a fault is what one in a hundred reference recordings has.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..core.errors import DataError
from .degradation import DEGRADATIONS
from .index import QualityIndex, create_quality
from .measuring import measure_whole
from .reference import quality_reference

RANKED_BY = "learned"  # of the indices that ship, the one that listeners' words about poor recordings agree with best
RARE = 1  # percent of the reference recordings
LEVEL = "rms"


@dataclass(frozen=True)
class Fault:
    """Something that may be wrong with a recording.

    index: that it is measured by. column: of the frame of `find_faults`, whose unit ends its name. share: whether the
    index gives a share of what is undamaged, and the column that of what is damaged. limit: from here, or down to here,
    it is a fault. source: where the limit is from.
    """

    name: str
    index: str
    column: str
    share: bool
    limit: float
    source: str

    def value(self, measured: float) -> float:
        """What the column has."""
        return 1 - measured if self.share else measured

    def is_in(self, value: float) -> bool:
        """Whether a value of the column is a fault."""
        return value >= self.limit if self.share else value <= self.limit

    def in_words(self, value: float) -> str:
        """A value of the column with its unit."""
        return f"{value:.0%}" if self.share else f"{value:.0f} {'Hz' if self.column.endswith('_hz') else 'dB'}"


def known_faults() -> tuple[Fault, ...]:
    """Silence, clipping, noise and band limit, with their limits."""
    indices = quality_reference().indices
    rare = f"{RARE} in 100 reference recordings has no more"
    mildest = "the mildest level that rsbench quality damages clips by"
    return (
        Fault("silence", "dropout", "silent_share", True, min(DEGRADATIONS["dropout"].levels), mildest),
        Fault("clipping", "clipping", "clipped_share", True, min(DEGRADATIONS["clipping"].levels), mildest),
        Fault("noise", "snr_levels", "snr_db", False, indices["snr_levels"].value_at(RARE), rare),
        Fault("band limit", "bandwidth", "bandwidth_hz", False, indices["bandwidth"].value_at(RARE), rare),
    )


def faults_in_words(samples: NDArray[np.float32], rate: int) -> str:
    """What is wrong with one recording, "silence 23%, clipping 19%"; "" where nothing is."""
    values = {fault.column: fault.value(index.measure(samples, rate)[0]) for fault, index in _measured_by()}
    there = _present([fault for fault, _ in _measured_by()], values)
    return ", ".join(f"{fault.name} {fault.in_words(values[fault.column])}" for fault in there)


@functools.cache
def _measured_by() -> tuple[tuple[Fault, QualityIndex], ...]:
    return tuple((fault, create_quality(fault.index)) for fault in known_faults())


@dataclass(frozen=True)
class RecordingFaults:
    """The recordings of a data set or folder, worst first.

    frame: a row per recording: recording, path, faults (their names with commas, "" for none), a column of each fault,
    level_db (RMS in dB of full scale), quality and quality_percentile (by RANKED_BY).
    errors: a message for each that cannot be read.
    """

    frame: pd.DataFrame
    errors: tuple[str, ...]

    @property
    def faulty(self) -> int:
        """How many have a fault."""
        return int((self.frame["faults"] != "").sum())

    def counts(self) -> dict[str, int]:
        """Fault → how many recordings have it."""
        named = self.frame["faults"].str.split(", ")
        return {
            fault.name: int(named.map(lambda names, name=fault.name: name in names).sum()) for fault in known_faults()
        }


def find_faults(paths: Sequence[Path], advance: Callable[[int, str], None]) -> RecordingFaults:
    """Measure recordings, each whole. Those with a fault come first; both they and the others by quality."""
    faults = known_faults()
    names = [*(fault.index for fault in faults), LEVEL, RANKED_BY]
    found = measure_whole([create_quality(name) for name in names], paths)
    rows, errors = [], []
    for path, measured in zip(paths, found, strict=True):
        if isinstance(measured, DataError):
            errors.append(str(measured))
        else:
            rows.append(_row(path, faults, [values[0] for values in measured]))
        advance(1, path.name)
    frame = pd.DataFrame(rows, columns=_columns(faults))
    percentiles = quality_reference().indices[RANKED_BY].percentiles(frame["quality"].to_numpy(float))
    frame = frame.assign(quality_percentile=percentiles, order=frame["faults"] == "")
    worst_first = frame.sort_values(["order", "quality"], kind="stable").drop(columns="order")
    return RecordingFaults(worst_first.reset_index(drop=True), tuple(errors))


def _columns(faults: Sequence[Fault]) -> list[str]:
    return ["recording", "path", "faults", *(fault.column for fault in faults), "level_db", "quality"]


def _row(path: Path, faults: Sequence[Fault], measured: Sequence[float]) -> dict[str, object]:
    """The measures of a recording and the faults they make; of one without any sound silence is all that is known."""
    values = {fault.column: fault.value(value) for fault, value in zip(faults, measured, strict=False)}
    level_db, quality = measured[len(faults) :]
    there = [fault.name for fault in _present(faults, values)]
    return {
        **{"recording": path.name, "path": str(path), "faults": ", ".join(there), **values},
        **{"level_db": level_db, "quality": quality},
    }


def _present(faults: Sequence[Fault], values: dict[str, float]) -> Iterator[Fault]:
    for fault in faults:
        if fault.is_in(values[fault.column]):
            yield fault
            if fault.share and values[fault.column] == 1:
                return
