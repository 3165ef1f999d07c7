"""Run folders on disk: every file is written whole or not at all, and a run is done only if its status says so."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import pandas as pd
from filelock import FileLock, Timeout

from ..core.errors import ResultsError, StorageError, did_you_mean
from ..core.files import explain_os_error, write_json

State = Literal["running", "done", "failed", "interrupted"]

STATUS = "status.json"
ORIGIN = "origin.json"  # of a run that was brought in; see `merge`
NAMED = 5  # runs, where many could be meant


class RunFolder:
    """One run's folder, `<out>/runs/<run id>`."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def run_id(self) -> str:
        return self.path.name

    @contextlib.contextmanager
    def locked(self, wait_s: float = 0) -> Iterator[None]:
        """Hold the folder against other processes. Raises ResultsError when one of them keeps it longer than that."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            lock = FileLock(self.path / ".lock")
            lock.acquire(timeout=wait_s)
        except Timeout:
            raise ResultsError(
                f"{self.path}: another process is at work on this very folder. Wait for it, or stop it first."
            ) from None
        except OSError as error:
            raise StorageError(explain_os_error(error, self.path)) from error
        with lock:
            try:
                yield
            finally:
                lock.release()

    def status(self) -> dict[str, Any]:
        """The status as written; an absent one reads as {"state": "absent"}."""
        path = self.path / STATUS
        return self.read_json(STATUS) if path.is_file() else {"state": "absent"}

    def set_status(self, state: State, **details: Any) -> None:
        now = datetime.now(UTC).isoformat(timespec="seconds")
        write_json(self.path / STATUS, {"state": state, "at": now, "pid": os.getpid(), **details})

    def read_json(self, name: str) -> Any:
        """Raises ResultsError when the file is damaged."""
        path = self.path / name
        try:
            return json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ResultsError(
                f"{path}: cannot be read ({error}). Delete the folder {self.path} and run it again."
            ) from error

    def write_json(self, name: str, content: Mapping[str, Any]) -> None:
        write_json(self.path / name, content)

    def read_parquet(self, name: str) -> pd.DataFrame:
        """Raises ResultsError when the file is damaged."""
        try:
            return pd.read_parquet(self.path / name)
        except (OSError, ValueError) as error:
            raise ResultsError(
                f"{self.path / name}: cannot be read ({error}). Delete the folder {self.path} and run it again."
            ) from error

    def sketch(self, dataset: str) -> pd.DataFrame:
        """The audio sketch of a data set (see `rsbench.data.identity`), a row per recording, by its name."""
        return self.read_parquet(f"sketch/{dataset}.parquet").set_index("recording")

    def predictions(self) -> dict[str, pd.DataFrame]:
        """Stored predictions by data set."""
        names = sorted(path.name for path in (self.path / "predictions").glob("*.parquet"))
        return {name.removesuffix(".parquet"): self.read_parquet(f"predictions/{name}") for name in names}


def run_folders(results: Path) -> list[RunFolder]:
    """All run folders under `<results>/runs`, by name. Raises ResultsError where there is none."""
    folder = results / "runs"
    if not folder.is_dir():
        raise ResultsError(
            f"{folder}: there are no runs here. Run one (rsbench run --help), or name another --results DIR."
        )
    with os.scandir(folder) as entries:  # of thousands of folders a Path each would be sorted and looked at
        names = sorted(entry.name for entry in entries if entry.is_dir())
    return [RunFolder(folder / name) for name in names]


def run_folder(results: Path, name: str) -> RunFolder:
    """One run: by its id or the beginning of it, under `<results>/runs`, or by the path of its folder.

    Raises ResultsError where there is none, and where several ids begin so.
    """
    place = Path(name)
    if any((place / record).is_file() for record in (STATUS, "spec.json")):
        return RunFolder(place.resolve())
    folders = {folder.run_id: folder for folder in run_folders(results)}
    found = [name] if name in folders else [run_id for run_id in folders if run_id.startswith(name)]
    if len(found) == 1:
        return folders[found[0]]
    if not found:
        raise ResultsError(
            f"{name}: no run in {results / 'runs'} has an id that begins so, and it is no run's folder."
            f"{did_you_mean(name, folders)}"
        )
    more = f" and {len(found) - NAMED} more" if len(found) > NAMED else ""
    raise ResultsError(f"{name}: {len(found)} ids begin so: {', '.join(found[:NAMED])}{more}. Write out more of it.")
