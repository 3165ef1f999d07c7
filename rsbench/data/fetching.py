"""`rsbench data get`: archives are brought or found, checked, unpacked, and what then lies there is checked again.

Every step is taken up where it was stopped. No file of a data set that is already there is written over.
"""

from __future__ import annotations

import re
import shutil
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath

import numpy as np

from .. import __version__
from ..core.display import Display
from ..core.downloads import DownloadError, bring_url
from ..core.errors import DataError, PluginError
from ..core.files import explain_os_error, locked_file, remove, sha256_of, write_json
from .audio import decode
from .catalogue import altered, catalogue, strangers
from .clips import ClipTable
from .datasets import DATASETS, read_dataset
from .identity import BAND_COLUMNS, sketch
from .publication import Archive, Publication

UNPACKING = ".unpacking"  # where archives are unpacked before anything is moved to its place
PACKED = ".zip"
NESTED = 2  # archives within archives


@dataclass(frozen=True)
class Brought:
    """An archive that lies in the data set's folder, and its sha256."""

    archive: Archive
    sha256: str


@dataclass(frozen=True)
class Fetched:
    """A data set that was brought, as it is read.

    compared: recordings whose sound was compared with the catalogue. altered: those that differ from it. strangers:
    recordings that it has not.
    """

    folder: Path
    brought: tuple[Brought, ...]
    table: ClipTable
    compared: int
    altered: tuple[str, ...]
    strangers: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether every published recording is there, and is what was published as far as that is known."""
        return not (self.table.missing or self.altered or self.strangers)


def publication_of(dataset: str) -> Publication:
    """Where a data set is published. Raises DataError where that is not known here, SpecError for an unknown name."""
    publication = DATASETS.entry(dataset).value.publication
    if publication is None:
        known = [name for name in DATASETS.names() if DATASETS.entry(name).value.publication]
        raise DataError(f"{dataset}: nobody has said where it comes from. There is a place of {', '.join(known)}.")
    return publication


def complete(dataset: str, folder: Path) -> bool:
    """Whether the reader finds every published recording in a folder."""
    try:
        return folder.is_dir() and not read_dataset(dataset, folder).missing
    except (DataError, PluginError):  # what it needs is not there; what is wrong is said once it was fetched
        return False


def fetch(dataset: str, folder: Path, display: Display) -> Fetched:
    """Bring a data set into its folder, if it is not there, check it, and write down what was brought.

    Raises:
        DataError: an archive cannot be brought, is another one or is damaged, or what it holds cannot be read.
        ResultsError: another process brings it, or the disk is full.
    """
    publication = publication_of(dataset)
    record = folder / f"{dataset}.download.json"
    if not complete(dataset, folder):
        with locked_file(record):
            for archive in publication.archives:
                bring(archive, publication, folder, display)
            unpack([folder / archive.filename for archive in publication.archives], publication.takes, folder, display)
    here = [archive for archive in publication.archives if (folder / archive.filename).is_file()]
    brought = tuple(Brought(archive, sha256_of(folder / archive.filename)) for archive in here)
    found = _checked(dataset, folder, brought, display)
    if brought:
        write_json(record, _told(dataset, publication, found))
    return found


def bring(archive: Archive, publication: Publication, folder: Path, display: Display) -> None:
    """Download an archive, unless it lies there: by hand, or from an earlier call. Raises DataError."""
    path = folder / archive.filename
    if not path.is_file():
        display.say(f"{archive.url} → {path}")
        try:
            bring_url(archive.url, path, archive.sha256, quiet=display.quiet)
        except DownloadError as error:
            note = f" {publication.note}" if publication.note else ""
            raise DataError(
                f"{error}{note} Give the same command again, or fetch {archive.filename} with a browser, from "
                f"{archive.url} or {publication.page}, put it at {path}, and then give the same command again."
            ) from None
    if archive.sha256 and (seen := sha256_of(path)) != archive.sha256:
        raise DataError(
            f"{path}: has the sha256 {seen}, and {archive.sha256} was published. Remove it, and give the same command "
            "again."
        )


def unpack(archives: Sequence[Path], takes: str, folder: Path, display: Display) -> None:
    """Unpack what matches `takes`, in archives within these too, beside the archives.

    What is there already stays. Raises DataError for a damaged archive, one that would write elsewhere, or too large.
    """
    packed = [path for path in archives if path.suffix == PACKED]
    unpacking = folder / UNPACKING
    try:
        remove(unpacking)
        for path in packed:
            _unpack_one(path, takes, unpacking, display)
        for _ in range(NESTED):
            for path in sorted(unpacking.rglob(f"*{PACKED}")):
                _unpack_one(path, ".*", path.parent, display)
                path.unlink()
        for path in sorted(unpacking.rglob("*")):
            target = folder / path.relative_to(unpacking)
            if path.is_file() and not target.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                path.rename(target)
        remove(unpacking)
    except OSError as error:
        raise DataError(explain_os_error(error, folder)) from error


def _unpack_one(path: Path, takes: str, into: Path, display: Display) -> None:
    try:
        with zipfile.ZipFile(path) as archive:
            members = [member for member in archive.infolist() if _is_wanted(member, takes)]
            if not members:
                raise DataError(f"{path}: holds no file of the data set. Was it fetched from the place that is named?")
            _refuse(path, members, into)
            with display.track(f"unpacking {path.name}", len(members)) as advance:
                for member in members:
                    archive.extract(member, into)
                    advance(1, "")
    except (zipfile.BadZipFile, zipfile.LargeZipFile, NotImplementedError, RuntimeError, EOFError) as error:
        raise DataError(
            f"{path}: cannot be unpacked ({str(error) or 'it is cut off'}). Remove it, and give the same command again."
        ) from None


def _is_wanted(member: zipfile.ZipInfo, takes: str) -> bool:
    """A file that matches, and is not what a Mac leaves in archives."""
    parts = PurePosixPath(member.filename).parts
    return not member.is_dir() and "__MACOSX" not in parts and bool(re.fullmatch(takes, member.filename))


def _refuse(path: Path, members: Sequence[zipfile.ZipInfo], into: Path) -> None:
    """Raise DataError for members that would be written elsewhere, or would not find room."""
    for member in members:
        name = PurePosixPath(member.filename)
        if name.is_absolute() or ".." in name.parts or ":" in name.parts[0] or "\\" in member.filename:
            raise DataError(f"{path}: would be unpacked outside of its folder ({member.filename}). Do not use it.")
    into.mkdir(parents=True, exist_ok=True)
    needed, free = sum(member.file_size for member in members), shutil.disk_usage(into).free
    if needed > free:
        raise DataError(
            f"{path}: unpacked it takes {needed / 1e9:.1f} GB, and {into} has room for {free / 1e9:.1f} GB. Make room, "
            "and give the same command again."
        )


def _checked(dataset: str, folder: Path, brought: tuple[Brought, ...], display: Display) -> Fetched:
    """What the reader finds, beside the catalogue; where that knows sketches, every recording is listened to."""
    table = read_dataset(dataset, folder)
    published = catalogue(dataset)
    sketches: dict[str, np.ndarray] = {}
    if published is not None and BAND_COLUMNS[0] in published:
        sketches = dict(_sketches(table, display))
    return Fetched(
        folder,
        brought,
        table,
        0 if published is None else len(published.index.intersection(list(sketches))),
        altered(dataset, sketches),
        strangers(dataset, table.recordings["recording"]),
    )


def _sketches(table: ClipTable, display: Display) -> Iterator[tuple[str, np.ndarray]]:
    with display.track(f"comparing {table.dataset} with its catalogue", len(table.recordings)) as advance:
        for name, path in zip(table.recordings["recording"], table.recordings["path"], strict=True):
            sound = decode(Path(path))
            advance(1, "")
            yield name, sketch(sound.samples, sound.info.rate)


def _told(dataset: str, publication: Publication, found: Fetched) -> dict[str, object]:
    """The content of NAME.download.json."""
    return {
        "dataset": dataset,
        "page": publication.page,
        "licence": publication.licence,
        "checked_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "rsbench": __version__,
        "archives": [
            {
                "url": one.archive.url,
                "file": one.archive.filename,
                "sha256": one.sha256,
                "sha256_published": one.archive.sha256 or None,
            }
            for one in found.brought
        ],
        "recordings": len(found.table.recordings),
        "missing": len(found.table.missing),
        "names_compared": catalogue(dataset) is not None,
        "sounds_compared": found.compared,
        "altered": list(found.altered),
        "not_published": list(found.strangers),
    }
