"""From the name of a data set to its clip table: which folder holds it, and who reads it."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..core.cache import cache_dir
from ..core.errors import DataError, did_you_mean, shown
from ..core.plugins import discover_datasets
from ..core.text import SIGNS, is_plain_word
from .clips import ClipTable
from .consistency import refuse_doubtful
from .datasets import DATASETS, home, read_dataset
from .folder import CLIPS_CSV, read_folder
from .layout import where_recordings_lie

SYNTHETIC = ("synthetic", "synthetic-shift")  # generated into the cache: these need no root


@dataclass(frozen=True)
class Roots:
    """Where data sets are looked for.

    general: folders that hold a folder per data set, tried in order. named: data set → its own folder.
    """

    general: tuple[Path, ...] = ()
    named: Mapping[str, Path] = field(default_factory=dict)

    @classmethod
    def parse(cls, values: Sequence[str], environ: Mapping[str, str]) -> Roots:
        """From the values of `--root`: DIR, or NAME=DIR. `RSBENCH_DATA` is the DIR when none is given.

        Raises DataError for a folder that does not exist.
        """
        general, named = [], {}
        for value in values:
            name, equals, folder = value.partition("=")
            if equals and not {"/", "\\"} & set(name):  # a folder with "=" in its name is written ./a=b
                named[name] = _existing(folder, f"--root {value}")
            else:
                general.append(_existing(value, f"--root {value}"))
        if not general and environ.get("RSBENCH_DATA"):
            general.append(_existing(environ["RSBENCH_DATA"], f"RSBENCH_DATA={environ['RSBENCH_DATA']}"))
        return cls(tuple(general), named)

    def folder(self, dataset: str) -> Path:
        """The folder of a data set. Raises DataError: where it was looked for, and what it must hold."""
        candidates = self._candidates(dataset)
        for candidate in candidates:
            if candidate.is_dir():
                return candidate
        raise _no_folder(dataset, candidates)

    def present(self) -> list[str]:
        """Names of the data sets that have a folder here. Raises DataError where there is none at all."""
        discover_datasets()
        registered = [name for name in DATASETS.names() if name not in SYNTHETIC]
        found = [name for name in registered if any(map(DATASETS.entry(name).value.lies_in, self._candidates(name)))]
        if not found + self.own_datasets():
            looked = ", ".join(map(str, [*self.general, *self.named.values()])) or "nowhere: no root was given"
            lie = " ".join(map(where_recordings_lie, self.general))
            raise DataError(
                f"No data set was found (looked in {looked}). {lie} A root holds a folder per data set, named "
                f"{', '.join(registered)}, or one with a {CLIPS_CSV}. Name it with --root DIR or RSBENCH_DATA."
            )
        return found + self.own_datasets()

    def _candidates(self, dataset: str) -> list[Path]:
        """Folders that it may lie in, there or not."""
        for name in (dataset, home(dataset)):
            if name in self.named:
                return [self.named[name]]
        return [root / home(dataset) for root in self.general]

    def own_datasets(self) -> list[str]:
        """Names of the data sets that a clips.csv describes and that have no reader of their own."""
        discover_datasets()
        folders = {path.parent.name: path.parent for root in self.general for path in root.glob(f"*/{CLIPS_CSV}")}
        own = {name for name, folder in {**folders, **self.named}.items() if (folder / CLIPS_CSV).is_file()}
        return sorted(own - set(DATASETS.names()))


def load_table(dataset: str, roots: Roots, *, partial: bool = False) -> ClipTable:
    """Read a data set: by its registered reader, or from a folder with a clips.csv.

    Args:
        dataset: its name.
        roots: where to look.
        partial: accept a set of which official recordings are missing.

    Raises:
        DataError: no folder, a wrong folder, no recording, broken annotations, or an incomplete set without `partial`.
        PluginError: the data set's reader fails, or returns something else than its clip table.
    """
    discover_datasets()
    folder = cache_dir() / "synthetic" if dataset in SYNTHETIC else roots.folder(dataset)
    if not is_plain_word(dataset):  # before anything is computed: no record may hold such a name
        raise DataError(
            f"{folder}: {shown(dataset)} is no name for a data set, which are letters, digits and {SIGNS}. Rename the "
            "folder, or give it another name: --root NAME=FOLDER."
        )
    table = read_dataset(dataset, folder) if dataset in DATASETS.names() else read_folder(folder, dataset)
    if not len(table.recordings):
        raise DataError(f"Data set '{dataset}' in {folder}: no recording was found. {where_recordings_lie(folder)}")
    refuse_doubtful(table)
    if table.partial and not partial:
        raise _incomplete(table, folder)
    return table


def _existing(folder: str, given_as: str) -> Path:
    path = Path(folder)
    with contextlib.suppress(RuntimeError):  # ~ of an unknown user stays as it is
        path = path.expanduser()
    if not folder or not path.is_dir():
        raise DataError(f"{given_as}: there is no folder {path.absolute()}. Name one that holds a folder per data set.")
    return path


def _no_folder(dataset: str, candidates: Sequence[Path]) -> DataError:
    if dataset in DATASETS.names():
        holds = DATASETS.entry(dataset).summary
        hint = f"It must hold: {holds}" if holds else ""
    else:
        hint = f"A data set of your own is a folder with a {CLIPS_CSV}.{did_you_mean(dataset, DATASETS.names())}"
    if not candidates:
        return DataError(
            f"Data set '{dataset}': no folder of recordings was named. Say --root DIR, where "
            f"DIR/{home(dataset)} is its folder, or --root {dataset}=FOLDER, or set RSBENCH_DATA. {hint}"
        )
    looked = " and ".join(str(path.absolute()) for path in candidates)
    lie = " ".join(where_recordings_lie(path.parent) for path in candidates if path.parent.is_dir())
    return DataError(
        f"Data set '{dataset}': there is no folder {looked}. Say --root DIR, where DIR/{home(dataset)} is its "
        f"folder, or name it alone with --root {dataset}=FOLDER. {lie} {hint}"
    )


def _incomplete(table: ClipTable, folder: Path) -> DataError:
    first = ", ".join(list(dict.fromkeys(table.missing))[:3])
    return DataError(
        f"Data set '{table.dataset}' in {folder} is incomplete: {len(table.missing)} official recordings are missing "
        f"({first}, …). Fetch them, or say --partial: the results then carry their own fingerprint and never share a "
        "board with the full set."
    )
