"""The folder of a run: a file is there whole or not at all, and a run is done only if its status says so."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import io
import os
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pydantic import ValidationError

from ..core.errors import ResultsError
from ..core.files import (
    check_plain,
    damaged,
    locked,
    read_bytes,
    read_json,
    write_array,
    write_bytes,
    write_csv,
    write_json,
    write_parquet,
)
from .schema import FILES, NEWER, RecordPart, State, Status

STATUS, SPEC, DATA, ENVIRONMENT = "status.json", "spec.json", "data.json", "env.json"
SELECTION, METRICS, COST, ORIGIN = "selection.json", "metrics.json", "cost.json", "origin.json"
EPOCHS, FOLDS, ERROR = "epochs.csv", "folds.csv", "error.txt"
PREDICTIONS, SKETCH, TRACKED = "predictions", "sketch", "tracked"
EMBEDDINGS, CHECKPOINTS = "embeddings", "checkpoints"

# What a finished run consists of, beside PREDICTIONS and SKETCH, and TRACKED under the oracle. Checkpoints, embeddings
# and tracebacks stay where they are: no figure is made of them.
REQUIRED = (STATUS, SPEC, DATA, ENVIRONMENT, EPOCHS, SELECTION, METRICS, COST)
OPTIONAL = (FOLDS, ORIGIN)
TABLES = (PREDICTIONS, SKETCH)

# What a whole file of another shape makes its reader raise: a key that is not there, nothing where something must be,
# a number that overflows or divides by zero, what a library has no kind for.
ANOTHER_SHAPE = (AttributeError, LookupError, TypeError, ValueError, ArithmeticError, StopIteration, RuntimeError)

ALIKE = (DATA, ENVIRONMENT)  # files that runs of one study share to the byte: parsed once, since nobody changes a part
MOST_CELLS = 10**9  # of a table: a run on the largest public set has 10**6


def _parsed(name: str, content: bytes) -> Any:
    return _remembered(name, content) if name in ALIKE else FILES[name].validate_json(content, strict=True)


@functools.lru_cache(maxsize=256)
def _remembered(name: str, content: bytes) -> RecordPart:
    part: RecordPart = FILES[name].validate_json(content, strict=True)
    return part


class RunFolder:
    """One run's folder, `<out>/runs/<run id>`, file by file. What it says is read through `results.run.Run`."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def run_id(self) -> str:
        return self.path.name

    def has(self, name: str) -> bool:
        return os.path.isfile(f"{self.path}/{name}")  # noqa: PTH113 - readers of thousands of runs ask often

    def locked(self, wait_s: float = 0) -> contextlib.AbstractContextManager[None]:
        """Hold the folder against other processes; see `core.files.locked`."""
        return locked(self.path, wait_s)

    def status(self) -> Status:
        """As written; "absent" where nothing is. Raises ResultsError when the file is damaged or out of reach."""
        try:
            content = read_bytes(f"{self.path}/{STATUS}")
        except (FileNotFoundError, NotADirectoryError):
            return Status(state="absent")
        except (OSError, ValueError) as error:
            raise damaged(self.path / STATUS, error, self.path) from error
        status: Status = self._validated(STATUS, content)
        return status

    def set_status(self, state: State, **details: Any) -> None:
        now = datetime.now(UTC).isoformat(timespec="seconds")
        self.write_json(STATUS, Status(state=state, at=now, pid=os.getpid(), **details))

    def read(self, name: str) -> Any:
        """A file as the class or type that `schema.FILES` has for it.

        Raises ResultsError when it is damaged or not there, lacks a key, or was written by a newer rsbench.
        """
        return self._validated(name, self.read_bytes(name))

    def _validated(self, name: str, content: bytes) -> Any:
        try:
            return _parsed(name, content)
        except ValidationError as error:
            first = error.errors()[0]
            if first["type"] == NEWER:
                raise ResultsError(f"{self.path / name}: {first['msg']}") from None
            if first["type"] == "json_invalid":
                raise damaged(self.path / name, first["msg"], self.path) from error
            key = ".".join(map(str, first["loc"])) or "as a whole"
            raise ResultsError(
                f"{self.path / name}: is not as rsbench writes it ({key}: {first['msg']}). Delete the folder "
                f"{self.path} and run it again."
            ) from error

    def read_json(self, name: str) -> dict[str, Any]:
        """A file as it is. Raises ResultsError when it is not there, or holds no JSON object."""
        return read_json(self.path / name)

    def read_csv(self, name: str) -> pd.DataFrame:
        """Raises ResultsError when the file is damaged or not there."""
        try:
            return pd.read_csv(io.BytesIO(self.read_bytes(name)))
        except (ValueError, ArithmeticError) as error:
            raise damaged(self.path / name, error, self.path) from error

    def read_parquet(self, name: str) -> pd.DataFrame:
        """Raises ResultsError when the file is damaged, not there, or claims more cells than any run has."""
        with self._reading_parquet(name) as (content, _):
            return pd.read_parquet(io.BytesIO(content), page_checksum_verification=True)

    def read_columns(self, name: str, columns: Sequence[str]) -> tuple[pa.Table, str]:
        """Some columns of a table, and a sha256 of all its others: where that is equal, they are.

        For those who read thousands of tables that are alike but for these columns. Raises as `read_parquet` does.
        """
        with self._reading_parquet(name) as (content, parquet):
            others = hashlib.sha256(parquet.schema_arrow.serialize())
            for group in map(parquet.metadata.row_group, range(parquet.num_row_groups)):
                for chunk in map(group.column, range(group.num_columns)):
                    if chunk.path_in_schema not in columns:
                        start = chunk.dictionary_page_offset or chunk.data_page_offset
                        others.update(f"{group.num_rows} {chunk.compression}".encode())
                        others.update(content[start : start + chunk.total_compressed_size])
            return parquet.read(columns=list(columns), use_threads=False), others.hexdigest()

    @contextlib.contextmanager
    def _reading_parquet(self, name: str) -> Iterator[tuple[memoryview, pq.ParquetFile]]:
        try:
            content = memoryview(self.read_bytes(name))
            parquet = pq.ParquetFile(pa.BufferReader(content), page_checksum_verification=True)
            about = parquet.metadata
            cells = about.num_rows * about.num_columns
            if cells > MOST_CELLS:
                raise damaged(self.path / name, f"it claims to hold {cells:,} cells", self.path)
            yield content, parquet
        except (OSError, MemoryError, pa.ArrowException, *ANOTHER_SHAPE) as error:
            raise damaged(self.path / name, error, self.path) from error

    def read_array(self, name: str) -> NDArray[Any]:
        """Raises ResultsError when the file is damaged or not there."""
        try:
            check_plain(self.path / name)
            # Mapped, an array that is larger than its file is an error, and no memory.
            array: NDArray[Any] = np.array(np.lib.format.open_memmap(self.path / name, mode="r"))
        except (OSError, MemoryError, SyntaxError, *ANOTHER_SHAPE) as error:
            raise damaged(self.path / name, error, self.path) from error
        return array

    def read_bytes(self, name: str) -> bytes:
        """Raises ResultsError when the file is not there, or cannot be read."""
        try:
            return read_bytes(f"{self.path}/{name}")
        except (OSError, ValueError) as error:
            raise damaged(self.path / name, error, self.path) from error

    def write_json(self, name: str, content: Any) -> None:
        """A part of a record, or JSON."""
        write_json(self.path / name, content.document() if isinstance(content, RecordPart) else content)

    def write_csv(self, name: str, frame: pd.DataFrame) -> None:
        write_csv(self.path / name, frame)

    def write_parquet(self, name: str, frame: pd.DataFrame) -> None:
        write_parquet(self.path / name, frame)

    def write_array(self, name: str, array: NDArray[Any]) -> None:
        write_array(self.path / name, array)

    def write_bytes(self, name: str, content: bytes) -> None:
        write_bytes(self.path / name, content)

    def tables(self, kind: str) -> dict[str, str]:
        """Data set → the file that holds its PREDICTIONS or its SKETCH; split → the one with what was TRACKED."""
        found = sorted(path for path in (self.path / kind).glob("*.parquet") if path.is_file())
        return {path.stem: f"{kind}/{path.name}" for path in found}

    def files(self) -> list[str]:
        """The files of the record that are there, relative to the folder; what stays where it was made is none."""
        single = [name for name in (*REQUIRED, *OPTIONAL) if self.has(name)]
        return single + [file for kind in (*TABLES, TRACKED) for file in self.tables(kind).values()]

    def check_whole(self) -> None:
        """Raise ResultsError where a finished run lacks a file, or one that should hold a JSON object does not."""
        present = self.files()
        for name in (*REQUIRED, *(f"{kind}/" for kind in TABLES)):
            if not any(file.startswith(name) for file in present):
                raise ResultsError(f"{self.path / name}: is missing, though the run is said to be done.")
        for name in present:
            if name in FILES:
                self.read(name)
