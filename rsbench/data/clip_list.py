"""The list of clips that `rsbench data clips` writes: which piece of which file is a clip, and what it is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from ..core.display import Display
from ..core.errors import SpecError
from ..core.files import write_csv, write_parquet
from .audio import probe
from .clips import ClipTable, clip_bounds
from .tasks import ICBHI_4, Task

LIST_COLUMNS = (
    "dataset",
    "clip_id",
    "recording",
    "path",
    "start_s",
    "end_s",  # never past the end of the file
    "label",
    "class",  # under the task's default label map; empty for a label that it leaves out
    "patient",
    "device",
    "location",
    "subset",
)
WRITERS = {".csv": write_csv, ".parquet": write_parquet}


def check_ending(path: Path) -> None:
    """Raise SpecError unless the path's ending is one that `write_list` can write."""
    if path.suffix not in WRITERS:
        raise SpecError(f"--out {path}: give it an ending that says what to write: {' or '.join(WRITERS)}.")


def clip_list(tables: Sequence[ClipTable], display: Display, task: Task = ICBHI_4) -> pd.DataFrame:
    """The clips of all tables, LIST_COLUMNS, in their order, with the classes of a task.

    Raises DataError when a recording's header cannot be read, a clip ends too far past its file, or a label is
    unknown.
    """
    return pd.concat([_listed(table, display, task) for table in tables], ignore_index=True)


def write_list(path: Path, clips: pd.DataFrame) -> None:
    """Write the list as the path's ending says. Raises ResultsError when it cannot be written."""
    WRITERS[path.suffix](path, clips)


def _listed(table: ClipTable, display: Display, task: Task) -> pd.DataFrame:
    recordings = table.recordings.set_index("recording")["path"]
    durations_s = []
    with display.track(f"reading {table.dataset}", len(recordings)) as advance:
        for path in recordings:
            info = probe(Path(path))
            durations_s.append(info.frames / info.rate)
            advance(1, "")
    clips, _ = clip_bounds(table.clips, pd.Series(durations_s, index=recordings.index), table.places)
    listed = clips.assign(
        dataset=table.dataset,
        path=clips["recording"].map(recordings).map(lambda path: str(Path(path).absolute())),
        **{"class": task.indices(table).map(dict(enumerate(task.classes)))},
    )
    return listed[list(LIST_COLUMNS)]
