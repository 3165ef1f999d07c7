"""Many runs as one table, read once: what boards rank.

The table of a (split, rule) is kept under `<results>/.index/`, and a folder is read again only where it changed.
Deleting it is always safe. Where it cannot be kept (a read-only folder, a full disk), everything is read every time.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from .. import __version__
from ..core.display import Display
from ..core.errors import ResultsError, RsbenchError, StorageError
from ..core.files import seal, unseal, writing
from ..core.spec import RunSpec
from ..core.text import file_name, is_plain_word
from ..data.splits import known_split
from ..evaluation.counts import Design, Hits
from ..evaluation.metrics import FloatArray
from ..evaluation.selection import rule
from .judged import KnownClips
from .rows import COLUMNS, Judgement, judgements, refuse_unknown_split
from .run import Run
from .store import EMBEDDINGS, EPOCHS, FOLDS, SELECTION, TRACKED

# What tells that a run folder is not what it was. Predictions are replaced by renaming, which changes their folder.
STAMPED = ("status.json", "spec.json", "data.json", "env.json", "metrics.json", "origin.json", "predictions", "sketch")
SHOWN = (*STAMPED, EPOCHS, FOLDS, SELECTION, TRACKED, EMBEDDINGS)  # what of a run folder pictures show
MANY = 100  # folders to read before it is worth a progress bar
SHARE = 500  # folders that are worth a process of their own: as many are read while it starts
MOST_PROCESSES = 4  # each takes 150 MB
AT_ONCE = 500  # judgements of runs, before they become rows of a table
KEY = ["run_id", "operating_point"]
BYTES = ("hits", "ranked")  # of a Judgement
SHARED = {name: kind for name, kind in COLUMNS.items() if kind == "category"}  # put together, they would be texts
ABOUT = b"rsbench"  # the key of what a table says about itself


@dataclass(frozen=True, eq=False)
class BoardRows:
    """Every run that was judged on a split under a rule, or should have been.

    rows: rows.COLUMNS, a row per run and operating point, in the order of the runs; a run that is not done has
        one row, at argmax, without figures.
    designs: who was judged, by the digest that the column `design` holds; one, unless rows are there that no board
        may mix.
    damaged: run id → what is wrong with its folder. These have no row.
    folds: of the split, 0 where it has none.
    """

    rows: pd.DataFrame
    designs: Mapping[str, Design]
    damaged: Mapping[str, str]
    folds: int
    _counted: pd.DataFrame = field(repr=False)  # BYTES by KEY, None where not done: (P, C + 1) int32, (P, 2) float64

    def counts(self, rows: pd.DataFrame) -> tuple[Design, Hits]:
        """Who was judged in some of the rows, and what they hit: (len(rows), P, C + 1) as `counts.count_hits`.

        Rows may be filtered, sorted and given other columns before; run_id and operating_point say which they are.
        −1 all over where a run is not done. P is 0 where none is.

        Raises ResultsError naming two runs that judged different clips.
        """
        return self._of_patients(rows, "hits", np.int32)

    def ranked(self, rows: pd.DataFrame) -> tuple[Design, FloatArray]:
        """Who was judged in some of the rows, and how they rank: (len(rows), P, 2) as `evaluation.counts.rank_hits`.

        NaN all over where a run is not done; else as `counts`.
        """
        return self._of_patients(rows, "ranked", np.float64)

    def judged(self, rows: pd.DataFrame) -> Design:
        """Who was judged in some of the rows; nobody where none is done. Raises as `counts`."""
        first = rows.dropna(subset="design").drop_duplicates("design")
        if len(first) > 1:
            raise ResultsError(
                f"{first['run_id'].iloc[0]} and {first['run_id'].iloc[1]} were judged on different clips under the "
                "same split and labels. Keep such runs in separate result folders."
            )
        if first.empty:
            return Design((), np.empty((0, 0), dtype=np.int64))
        return self.designs[first["design"].iloc[0]]

    def _of_patients(self, rows: pd.DataFrame, name: str, dtype: type) -> tuple[Design, NDArray[Any]]:
        design = self.judged(rows)
        width = design.support.shape[1] + 1 if name == "hits" else 2
        if not design.patients:
            return design, np.empty((len(rows), 0, width), dtype=dtype)
        found = self._counted[name].reindex(pd.MultiIndex.from_frame(rows[KEY]))
        nothing = np.nan if dtype is np.float64 else -1
        counted: NDArray[Any] = np.full((len(rows), len(design.patients), width), nothing, dtype=dtype)
        done = found.notna().to_numpy()
        counted[done] = np.frombuffer(b"".join(found[done]), dtype=dtype).reshape(-1, *counted.shape[1:])
        return design, counted


def board_rows(
    runs: Sequence[Run],
    split_name: str,
    rule_name: str,
    *,
    cache: Path | None = None,
    display: Display | None = None,
) -> BoardRows:
    """How some runs were judged on a split under a rule.

    A run whose folder is damaged is named in `damaged`, one without a record is none, and neither stops the others.

    Args:
        runs: all of one results folder, so that their run ids differ.
        split_name: e.g. "icbhi-official".
        rule_name: "val", "last", "cv-refit" or "oracle".
        cache: where tables are kept between calls, `<results>/.index`; None reads every folder.
        display: shows how far a long reading has come.

    Raises SpecError for an unknown rule, and where no run has a row for a split that neither rsbench nor they know.
    """
    rule(rule_name)
    runs, odd = _named(runs)
    path = cache / file_name(f"{split_name}.{rule_name}.parquet") if cache else None
    made_for = _made_for(split_name, rule_name)
    known = _load(path, made_for) if path else _Table.nothing()
    stamps = {run.run_id: stamp(run) for run in runs}
    changed = [run for run in runs if known.stamps.get(run.run_id) != stamps[run.run_id]]
    read, damaged = _read_in_shares(changed, stamps, split_name, rule_name, display or Display(quiet=True))
    damaged |= _read(odd, {}, split_name, rule_name, Display(quiet=True))[1]
    table = known.without({run.run_id for run in changed} | (known.stamps.keys() - stamps.keys()))
    table = table.joined(read)
    if path and table.stamps != known.stamps:
        with contextlib.suppress(StorageError):  # a table that cannot be kept costs time, nothing else
            _save(path, table, made_for)
    if table.frame.empty and not damaged:
        refuse_unknown_split(split_name, runs)
    split = known_split(split_name, set(table.frame["dataset"]))
    return _in_order(table, list(stamps), damaged, split.folds if split else 0)


def _named(runs: Sequence[Run]) -> tuple[list[Run], list[Run]]:
    """Runs that a table can name, and the others, whose records are refused."""
    named: list[Run] = []
    odd: list[Run] = []
    for run in runs:
        (named if is_plain_word(run.run_id) else odd).append(run)
    return named, odd


@dataclass(frozen=True, eq=False)
class _Table:
    """What was read of run folders.

    stamps: run id → the state that its folder was read in, also of those without a row.
    frame: COLUMNS, figures of other tasks, and BYTES, what is counted per patient.
    designs: by their digests.
    """

    stamps: dict[str, str]
    frame: pd.DataFrame
    designs: dict[str, Design]

    @classmethod
    def nothing(cls) -> _Table:
        return cls.of({}, [])

    @classmethod
    def of(cls, stamps: dict[str, str], judged: Iterable[Judgement]) -> _Table:
        found = list(judged)
        rows = [one.row | {name: _bytes(getattr(one, name)) for name in BYTES} for one in found]
        # Figures that only some tasks have are columns behind the others.
        names = dict.fromkeys(chain.from_iterable(rows))
        others = dict.fromkeys((name for name in names if name not in (*COLUMNS, *BYTES)), "float64")
        types = COLUMNS | others | dict.fromkeys(BYTES, object)
        frame = pd.DataFrame(rows, columns=list(types)).astype(types)
        return cls(stamps, frame, {one.row["design"]: one.design for one in found if one.design})

    @classmethod
    def read(cls, judged: Mapping[str, list[Judgement]], stamps: Mapping[str, str]) -> _Table:
        return cls.of({run_id: stamps[run_id] for run_id in judged}, chain(*judged.values()))

    def without(self, run_ids: Set[str]) -> _Table:
        if not run_ids:
            return self
        stamps = {run_id: stamp for run_id, stamp in self.stamps.items() if run_id not in run_ids}
        return _Table(stamps, self.frame[~self.frame["run_id"].isin(list(run_ids))], self.designs)

    def joined(self, other: _Table) -> _Table:
        if not (self.stamps and other.stamps):  # of nothing there are no rows
            return self if self.stamps else other
        parts = [table.frame for table in (self, other) if len(table.frame)]
        frame = pd.concat(parts, ignore_index=True).astype(SHARED) if parts else self.frame
        return _Table(self.stamps | other.stamps, frame, self.designs | other.designs)


def _in_order(table: _Table, run_ids: list[str], damaged: dict[str, str], folds: int) -> BoardRows:
    """The table in the order of the runs."""
    order = pd.Index(run_ids).get_indexer(pd.Index(table.frame["run_id"])).argsort(kind="stable")
    frame = table.frame.iloc[order].reset_index(drop=True)
    counted = frame[list(BYTES)].set_index(pd.MultiIndex.from_frame(frame[KEY]))
    return BoardRows(frame.drop(columns=list(BYTES)), table.designs, damaged, folds, counted)


def _bytes(counted: NDArray[Any] | None) -> bytes | None:
    return None if counted is None else counted.tobytes()


def stamp(run: Run, names: Sequence[str] = STAMPED) -> str:
    """The state of a run's folder, in which it holds what was read of these files and folders."""
    path = str(run.path)
    return " ".join(_state_of(f"{path}/{name}") for name in names)


def _state_of(path: str) -> str:
    """When a file was last changed and its size; "-" where it is not there or out of reach, as reading it will say."""
    try:
        found = os.stat(path)  # noqa: PTH116 - a Path each would take longer than all else
    except OSError:
        return "-"
    return f"{found.st_mtime_ns}:{found.st_size}"


def _read_in_shares(
    runs: Sequence[Run], stamps: Mapping[str, str], split_name: str, rule_name: str, display: Display
) -> tuple[_Table, dict[str, str]]:
    """As `_read`; of thousands of runs other processes read their shares meanwhile, and keep them as tables."""
    processes = min(os.cpu_count() or 1, MOST_PROCESSES, len(runs) // SHARE)
    if processes < 2:
        return _read(runs, stamps, split_name, rule_name, display)
    made_for = _made_for(split_name, rule_name)
    spread = runs[SHARE:]
    others: dict[Path, subprocess.Popen[bytes]] = {}
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):  # no room for temporary files, or for a process: all is read here
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            for number in range(1, processes):
                share = [(str(run.path), stamps[run.run_id]) for run in spread[number::processes]]
                path = folder / f"{number}.parquet"
                asked = json.dumps([made_for, split_name, rule_name, share])
                path.with_suffix(".json").write_text(asked, encoding="utf-8")
                others[path] = stack.enter_context(_at_work(path))
        own = [*runs[:SHARE], *spread[::processes]]
        table, damaged = _read(own, stamps, split_name, rule_name, display, total=len(runs))
        for path, other in others.items():
            other.wait()
            table = table.joined(_load(path, made_for))
    # The damaged ones of the others' shares, to say how; and whole shares, where a process ended without a table.
    left = [run for run in runs if run.run_id not in table.stamps and run.run_id not in damaged]
    rest, more = _read(left, stamps, split_name, rule_name, display)
    return table.joined(rest), damaged | more


@contextlib.contextmanager
def _at_work(path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process of `_keep_share`, which does not outlive the block."""
    command = [sys.executable, "-m", __name__, str(path)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def _keep_share(path: Path) -> None:
    """Keep the table of the runs that the file beside it names; none where this process knows another split so."""
    made_for, split_name, rule_name, share = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    runs = [Run(folder) for folder, _ in share]
    stamps = {run.run_id: stamp for run, (_, stamp) in zip(runs, share, strict=True)}
    if _made_for(split_name, rule_name) == made_for:  # a plugin's is known only where the plugin was named
        _save(path, _read(runs, stamps, split_name, rule_name, Display(quiet=True))[0], made_for)


def _read(
    runs: Sequence[Run],
    stamps: Mapping[str, str],
    split_name: str,
    rule_name: str,
    display: Display,
    total: int | None = None,
) -> tuple[_Table, dict[str, str]]:
    """What was read of whole folders, and of those that are damaged run id → why.

    total: how many the progress bar counts, where these are a share of them that others read in step.
    """
    table = _Table.nothing()
    if not runs:
        return table, {}
    read: dict[str, list[Judgement]] = {}
    damaged: dict[str, str] = {}
    sketches: set[str] = set()
    known = KnownClips()
    bar = display if len(runs) >= MANY else Display(quiet=True)
    total = total or len(runs)
    with bar.track("reading runs", total) as advance:
        for number, path in enumerate(run.path for run in runs):
            run = Run(path)  # of its own, so that what was read of thousands is not kept
            try:
                found = judgements(run, split_name, rule_name, known)
                _check_sketch(run, found, sketches)
                read[run.run_id] = found
            except RsbenchError as error:
                damaged[run.run_id] = str(error)
            if len(read) == AT_ONCE:  # as dicts, thousands take hundreds of megabytes
                table, read = table.joined(_Table.read(read, stamps)), {}
            advance(total * (number + 1) // len(runs) - total * number // len(runs), "")
    return table.joined(_Table.read(read, stamps)), damaged


def _check_sketch(run: Run, found: Sequence[Judgement], readable: set[str]) -> None:
    """Read the run's sketch once per content, so that a damaged one is found here. Raises ResultsError."""
    for row in (one.row for one in found if one.design):
        told = (
            f"{row['sketch']},{row['train_sketch']}".split(","),
            f"{row['dataset']},{row['train_dataset']}".split(","),
        )
        for sketch, dataset in zip(*told, strict=True):
            if sketch not in readable:
                run.sketch(dataset)
                readable.add(sketch)


def _made_for(split_name: str, rule_name: str) -> str:
    """What a table depends on beside the run folders: made for anything else, it is made again."""
    what = [__version__, COLUMNS, RunSpec.model_json_schema(), split_name, rule_name]
    return hashlib.sha256(f"{json.dumps(what)} {known_split(split_name)}".encode()).hexdigest()


def _load(path: Path, made_for: str) -> _Table:
    """The table that is kept there; an empty one where there is none, or a damaged one, or one made for else."""
    try:
        stored = pq.read_table(path, page_checksum_verification=True)
    except (OSError, pa.ArrowException, ValueError):
        return _Table.nothing()
    about = json.loads(unseal((stored.schema.metadata or {}).get(ABOUT, b"")) or "{}")
    if about.get("made_for") != made_for:
        return _Table.nothing()
    designs = {digest: Design.parse(text) for digest, text in about["designs"].items()}
    return _Table(about["stamps"], stored.to_pandas(), designs)


def _save(path: Path, table: _Table, made_for: str) -> None:
    """Raises StorageError when that is impossible."""
    designs = {digest: design.text() for digest, design in table.designs.items()}
    about = json.dumps({"made_for": made_for, "stamps": table.stamps, "designs": designs}).encode()
    stored = pa.Table.from_pandas(table.frame, preserve_index=False)
    stored = stored.replace_schema_metadata((stored.schema.metadata or {}) | {ABOUT: about + seal(about)})
    with writing(path) as file:
        pq.write_table(stored, file, compression="zstd", write_page_checksum=True)


if __name__ == "__main__":
    _keep_share(Path(sys.argv[1]))
