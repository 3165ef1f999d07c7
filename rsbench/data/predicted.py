"""Predictions that another program made: a row per clip, with a probability, logit or label of each.

They come as a file or as a frame. Columns: `clip_id`, as `rsbench data clips` lists it, and for every class
`logit_<class>` or `p_<class>`, or for all of them `called`, the name of a class. `dataset` is needed only where two
data sets have a clip of one name. `class` and `label`, as in that list, need not be there; where they are, they must
agree with the data set. Other columns are left alone. An npz holds the same as arrays, and may have (N, C) `logits`
or `probabilities` in the order of the classes.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from ..core.errors import DataError, did_you_mean, first_line, shown
from ..core.files import check_plain
from .tasks import ICBHI_4, Task

Floats = NDArray[np.float64]
Kind = Literal["logits", "probabilities", "labels"]

LOGITS, PROBABILITIES, CALLED = "logit_", "p_", "called"  # the beginnings of columns, and the name of one
MATRICES = {"logits": LOGITS, "probabilities": PROBABILITIES}  # arrays of an npz that hold a column per class
TOLD = ("class", "label")  # what `data clips` says of a clip
SUM_TOLERANCE = 1e-3  # a spreadsheet rounds probabilities to four digits, or three
SMALLEST = 1e-12  # a probability whose logarithm is still a number to average
HOW = "rsbench data clips lists the clips."
FRAME = Path("DataFrame")  # what messages and records call predictions that never were a file


@dataclass(frozen=True)
class PredictionsFile:
    """A file that was read, or a frame, N rows.

    path: the file, or FRAME. kind: what it says of each clip. logits: (N, C); of labels 1 for the class that was
    called, and 0.
    rows: dataset ("" where not said) and clip_id of each row, and of TOLD what the file has.
    """

    path: Path
    kind: Kind
    logits: Floats
    rows: pd.DataFrame

    def of(self, wanted: pd.DataFrame) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Which rows are of which clips: positions here and, beside them, positions in `wanted`.

        wanted: dataset and clip_id, a row per clip.

        Raises DataError where a clip of one name could be either of two data sets'.
        """
        whole = pd.MultiIndex.from_frame(wanted[["dataset", "clip_id"]])
        own = pd.MultiIndex.from_frame(self.rows[["dataset", "clip_id"]])
        places = whole.get_indexer(own)
        unsaid = (self.rows["dataset"] == "").to_numpy()
        if unsaid.any():
            names = self.rows["clip_id"][unsaid]
            twice = names[names.isin(wanted["clip_id"][wanted["clip_id"].duplicated()])]
            if len(twice):
                raise DataError(
                    f"{self.path}: column 'clip_id': two data sets have a clip {shown(twice.iloc[0])}. Say in a column "
                    "'dataset' which of them each row is of."
                )
            places[unsaid] = pd.Index(wanted["clip_id"]).drop_duplicates().get_indexer(pd.Index(names))
        here = np.flatnonzero(places >= 0)
        return here, places[here]


def read_predicted(given: Path | pd.DataFrame, task: Task = ICBHI_4) -> PredictionsFile:
    """Read and check a csv, parquet or npz, or check a frame, whose index may be the clip_id.

    Raises DataError naming the file, the column and the remedy.
    """
    if isinstance(given, pd.DataFrame):
        path, frame = FRAME, given.reset_index(drop="clip_id" in given)
    else:
        path, frame = given, _read(given, task)
    repeated = frame.columns[frame.columns.duplicated()]
    if len(repeated):
        raise DataError(f"{path}: has two columns {shown(repeated[0])}. Keep the one that is meant.")
    if "clip_id" not in frame:
        raise DataError(f"{path}: has no column 'clip_id' (there are: {_listed(frame)}). {HOW}")
    if not len(frame):
        raise DataError(f"{path}: there is no row in it. Give a row per clip.")
    told = {name: _words(frame[name]) for name in ("clip_id", "dataset", *TOLD) if name in frame}
    rows = pd.DataFrame({"dataset": ""} | told, index=frame.index)
    twice = rows[rows.duplicated(["dataset", "clip_id"])]
    if len(twice):
        raise DataError(
            f"{path}: column 'clip_id': {shown(twice['clip_id'].iloc[0])} is there twice, and so are {len(twice) - 1} "
            "more. Give one prediction of each clip: of several models or views their mean, or a file each."
        )
    return PredictionsFile(path, *_logits(path, frame, rows["clip_id"], task), rows)


def _read(path: Path, task: Task) -> pd.DataFrame:
    if path.suffix not in _READERS:
        raise DataError(f"{path}: give it an ending that says what it holds: {', '.join(_READERS)}.")
    try:
        check_plain(path)
        return _READERS[path.suffix](path, task)
    except FileNotFoundError:
        raise DataError(f"{path}: there is no such file.") from None
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, pa.ArrowException) as error:
        raise DataError(
            f"{path}: cannot be read ({first_line(error)}). Write it again as csv, parquet or npz."
        ) from None


def _words(column: pd.Series) -> pd.Series:
    """As text, "" where there is nothing."""
    return column.astype(object).where(column.notna(), "").astype(str)


def _read_csv(path: Path, task: Task) -> pd.DataFrame:
    """With commas or, as spreadsheets of many countries write it, semicolons and decimal commas."""
    with path.open(encoding="utf-8-sig") as lines:
        head = lines.readline()
    semicolons = head.count(";") > head.count(",")
    words = dict.fromkeys(("dataset", "clip_id", CALLED, *TOLD), str)
    return pd.read_csv(
        path, encoding="utf-8-sig", dtype=words, sep=";" if semicolons else ",", decimal="," if semicolons else "."
    )


def _read_npz(path: Path, task: Task) -> pd.DataFrame:
    with path.open("rb") as file, np.lib.npyio.NpzFile(file, allow_pickle=False) as arrays:
        columns: dict[str, Any] = {}
        for name in arrays.files:
            array = arrays[name]
            if name in MATRICES and array.ndim == 2 and array.shape[1] == len(task.classes):
                columns |= {f"{MATRICES[name]}{one}": array[:, number] for number, one in enumerate(task.classes)}
            elif array.ndim == 1:
                columns[name] = array
            else:
                raise ValueError(f"its array '{name}' is {array.shape}, neither (N,) nor (N, {len(task.classes)})")
    return pd.DataFrame(columns)  # ValueError where arrays are not of one length


_READERS: dict[str, Callable[[Path, Task], pd.DataFrame]] = {
    ".csv": _read_csv,
    ".parquet": lambda path, task: pd.read_parquet(path),
    ".npz": _read_npz,
}


def _logits(path: Path, frame: pd.DataFrame, clips: pd.Series, task: Task) -> tuple[Kind, Floats]:
    """What the file says of each clip, as logits (N, C)."""
    kinds: dict[str, Kind] = {LOGITS: "logits", PROBABILITIES: "probabilities"}
    for prefix, kind in kinds.items():
        columns = [f"{prefix}{name}" for name in task.classes]
        missing = [name for name in columns if name not in frame]
        if len(missing) == len(columns):
            continue
        if missing:
            raise DataError(f"{path}: has no column '{missing[0]}'. Give one for every class: {', '.join(columns)}.")
        found = np.stack([_numbers(path, name, frame[name], clips) for name in columns], axis=1)
        return kind, found if kind == "logits" else _of_probabilities(path, found, columns, clips)
    if CALLED in frame:
        return "labels", _of_labels(path, frame[CALLED], clips, task)
    raise DataError(
        f"{path}: nothing says what was predicted (there are: {_listed(frame)}). Give {LOGITS}<class> or "
        f"{PROBABILITIES}<class> for each of {', '.join(task.classes)}, or '{CALLED}'."
    )


def _listed(frame: pd.DataFrame) -> str:
    return ", ".join(map(str, frame.columns[:12])) or "none"


def _numbers(path: Path, column: str, values: pd.Series, clips: pd.Series) -> Floats:
    numbers: Floats = pd.to_numeric(values, errors="coerce").to_numpy(dtype=np.float64)
    broken = np.flatnonzero(~np.isfinite(numbers))
    if len(broken):
        first = broken[0]
        raise DataError(
            f"{path}: column '{column}' of clip {shown(clips.iloc[first])} is {shown(str(values.iloc[first]))}, and "
            f"{len(broken) - 1} more are no numbers. Write finite numbers."
        )
    return numbers


def _of_probabilities(path: Path, found: Floats, columns: list[str], clips: pd.Series) -> Floats:
    """Their logarithms: softmax gives the probabilities back."""
    outside = np.argwhere((found < 0) | (found > 1))
    if len(outside):
        row, column = outside[0]
        raise DataError(
            f"{path}: column '{columns[column]}' of clip {shown(clips.iloc[row])} is {found[row, column]:g}, no "
            f"probability. Write 0 to 1, or name the columns {LOGITS}<class> if they are logits."
        )
    sums = found.sum(axis=1)
    odd = np.flatnonzero(np.abs(sums - 1) > SUM_TOLERANCE)
    if len(odd):
        raise DataError(
            f"{path}: columns {columns[0]} to {columns[-1]} of clip {shown(clips.iloc[odd[0]])} add up to "
            f"{sums[odd[0]]:.4g}, and so it is with {len(odd) - 1} more: these are no probabilities of "
            f"classes of which one is right. Apply a softmax, or give logits ({LOGITS}<class>)."
        )
    logits: Floats = np.log(np.maximum(found, SMALLEST))
    return logits


def _of_labels(path: Path, called: pd.Series, clips: pd.Series, task: Task) -> Floats:
    codes = pd.Index(task.classes).get_indexer(pd.Index(called.astype(str)))
    unknown = np.flatnonzero(codes < 0)
    if len(unknown):
        word = str(called.iloc[unknown[0]])
        raise DataError(
            f"{path}: column '{CALLED}' of clip {shown(clips.iloc[unknown[0]])} is {shown(word)}, which is no class."
            f"{did_you_mean(word, task.classes)}"
        )
    one_hot: Floats = np.eye(len(task.classes))[codes]
    return one_hot


def refuse_other_clips(found: PredictionsFile, wanted: pd.DataFrame, every: pd.DataFrame, what: str) -> None:
    """Raise DataError unless the file has each wanted clip once and no other, with its own class where it says one.

    Args:
        found: the file.
        wanted: dataset, clip_id, class and label, a row per clip.
        every: all clips of the data sets, likewise, with the subset of each.
        what: what the wanted ones are, in words: "a test clip of 'icbhi-official'".
    """
    here, clips = found.of(every)
    unknown = np.setdiff1d(np.arange(len(found.rows)), here)
    if len(unknown):
        first = found.rows["clip_id"].iloc[unknown[0]]
        raise DataError(
            f"{found.path}: column 'clip_id': {shown(first)} is no clip of "
            f"{' or '.join(dict.fromkeys(every['dataset']))} as it lies here, nor are {len(unknown) - 1} more. There "
            f"they are like {shown(every['clip_id'].iloc[0])}. {HOW}"
        )
    key = ["dataset", "clip_id"]
    asked = pd.MultiIndex.from_frame(wanted[key])
    given = every.iloc[clips]
    others = given[~pd.MultiIndex.from_frame(given[key]).isin(asked)]
    if len(others):
        first = others.iloc[0]
        raise DataError(
            f"{found.path}: column 'clip_id': {shown(first['clip_id'])} (subset {first['subset']}) is not {what}, nor "
            f"are {len(others) - 1} more. Leave them out, or name the split that they are of."
        )
    missing = asked.difference(pd.MultiIndex.from_frame(given[key]), sort=False)
    if len(missing):
        raise DataError(
            f"{found.path}: column 'clip_id': {shown(missing[0][1])}, {what}, is not there, and {len(missing) - 1} "
            f"more of {len(asked)} are missing. Predict all of them: figures of some are not those of the split."
        )
    for name in (name for name in TOLD if name in found.rows):
        said, known = found.rows[name].to_numpy()[here], given[name].astype(str).to_numpy()
        differing = np.flatnonzero((said != "") & (said != known))
        if len(differing):
            first = differing[0]
            raise DataError(
                f"{found.path}: column '{name}' of clip {shown(given['clip_id'].iloc[first])} is {shown(said[first])}, "
                f"and {shown(known[first])} in the data set; so it is with {len(differing) - 1} more. Put the "
                "rows in the order of their clip_id, predict the recordings that lie here, or leave the column out if "
                "it is something else."
            )
