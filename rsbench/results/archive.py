"""The zip of a stranger: looked at before anything of it is written, and of it only what its manifest lists."""

from __future__ import annotations

import lzma
import re
import stat
import zipfile
import zlib
from collections import Counter
from pathlib import Path
from typing import Any

from ..core.errors import ResultsError, StorageError, first_line
from ..core.files import parse_json
from ..core.text import is_plain_word
from .store import ANOTHER_SHAPE, OPTIONAL, REQUIRED, TABLES, TRACKED

FORMAT = 1
MANIFEST = "manifest.json"
AGAIN = "Ask for the bundle again."

LARGEST = 16 * 2**30  # bytes of all files together
LARGEST_MANIFEST = 64 * 2**20  # bytes: it is read into memory
# Records are JSON, csv and tables that are compressed already, which a zip makes up to ten times smaller.
MOST_COMPRESSED = 100
PIECE = 2**20  # bytes, written at a time
SMALL = 2**20  # bytes: below, the ratio is no matter
COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)

# A table of a record: its kind, and the data set or split that it is of.
_TABLE = re.compile(rf"({'|'.join((*TABLES, TRACKED))})/(.+)\.parquet")
# What readers of damaged archives raise.
_DAMAGED = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError, *ANOTHER_SHAPE)


def listed_files(manifest: bytes, called: Path) -> dict[str, str]:
    """The files of a bundle and their sha256, as its manifest says.

    Raises ResultsError where it cannot be read, is of a newer rsbench, or lists what is no file of a record.
    """
    try:
        content: dict[str, Any] = parse_json(manifest)
        maker, version = content["rsbench"], int(content["format"])
        listed = {name: str(sha256) for name, sha256 in content["files"].items()}
    except ANOTHER_SHAPE as error:
        raise ResultsError(f"{called}: its {MANIFEST} cannot be read ({first_line(error)}). {AGAIN}") from error
    if version > FORMAT:
        raise ResultsError(f"{called}: was made by a newer rsbench, {maker}. Upgrade rsbench to read it.")
    if not listed:
        raise ResultsError(f"{called}: its {MANIFEST} lists no file of any run. {AGAIN}")
    for name in listed:
        if not is_of_a_record(name):
            raise ResultsError(f"{called}: its {MANIFEST} lists '{name}', which is no file of a run. {AGAIN}")
    return listed


def is_of_a_record(name: str) -> bool:
    """Whether a path is `runs/<run id>/` and a file that a record has: it leads nowhere else, and is not deep."""
    top, _, rest = name.partition("/")
    run_id, _, file = rest.partition("/")
    table = _TABLE.fullmatch(file)
    known = is_plain_word(table[2]) if table else file in (*REQUIRED, *OPTIONAL)
    return top == "runs" and is_plain_word(run_id) and known


def unpack(bundle: Path, folder: Path) -> None:
    """Write the files that a bundle's manifest lists, and the manifest, into a folder.

    Raises ResultsError for what is no whole and honest zip, StorageError where there is no room.
    """
    try:
        with zipfile.ZipFile(bundle) as archive:
            members = _members(archive, bundle)
            listed = listed_files(archive.read(MANIFEST), bundle)
            for name in sorted(members.keys() ^ {MANIFEST, *listed}):
                what = "is missing" if name in listed else "was added"
                raise ResultsError(f"{bundle}: since it was bundled {name} {what}. {AGAIN}")
            for name, member in members.items():
                _write(archive, member, folder / name)
    except _DAMAGED as error:
        raise ResultsError(f"{bundle}: is no zip, or a damaged one ({first_line(error)}). {AGAIN}") from error


def _members(archive: zipfile.ZipFile, bundle: Path) -> dict[str, zipfile.ZipInfo]:
    """The files of a zip, once what its directory says of them is found to be harmless."""
    found = {member.filename: member for member in archive.infolist()}
    if MANIFEST not in found:
        raise ResultsError(f"{bundle}: has no {MANIFEST}, so rsbench export did not make it.")
    twice = [name for name, count in Counter(archive.namelist()).items() if count > 1]
    if twice:
        raise ResultsError(f"{bundle}: holds '{twice[0]}' twice. {AGAIN}")
    mine = {name: member for name, member in found.items() if name == MANIFEST or name.startswith("runs/")}
    for name, member in mine.items():
        if what := _harmful(member):
            raise ResultsError(f"{bundle}: '{name}' in it {what}. {AGAIN}")
    files = {name: member for name, member in mine.items() if not member.is_dir()}
    size, packed = sum(one.file_size for one in files.values()), bundle.stat().st_size
    if size > LARGEST or files[MANIFEST].file_size > LARGEST_MANIFEST or size > max(SMALL, MOST_COMPRESSED * packed):
        raise ResultsError(
            f"{bundle}: would unpack {packed:,} bytes to {size:,}, which records of runs do not. {AGAIN}"
        )
    return files


def _harmful(member: zipfile.ZipInfo) -> str:
    """What is wrong with a member of a zip, by what the directory says; "" for nothing."""
    if member.flag_bits & 1:
        return "is encrypted"
    if member.compress_type not in COMPRESSIONS:
        return f"is compressed by a method that is not known here ({member.compress_type})"
    if stat.S_ISLNK(member.external_attr >> 16):
        return "is a link"
    if member.filename != MANIFEST and not member.is_dir() and not is_of_a_record(member.filename):
        return "is no file of a run"
    return ""


def _write(archive: zipfile.ZipFile, member: zipfile.ZipInfo, path: Path) -> None:
    """One member; no more of it than its size, which the reader keeps to."""
    with archive.open(member) as source:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            file = path.open("wb")
        except OSError as error:
            raise _no_room(path, error) from error
        with file:
            while piece := source.read(PIECE):
                try:
                    file.write(piece)
                except OSError as error:
                    raise _no_room(path, error) from error


def _no_room(path: Path, error: OSError) -> StorageError:
    return StorageError(f"{path}: cannot be unpacked ({error.strerror}). Make room, or name another place with TMPDIR.")
