"""Bundles: finished runs that another person can score again, rank and merge, without audio or checkpoints.

A bundle is a folder, or a zip of one, that holds `manifest.json` and `runs/<run id>/` as any results folder does.
The manifest has the sha256 of every file. It shows damage, not forgery: what a bundle says is its maker's own report.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from .. import __version__
from ..core.display import Display
from ..core.errors import ResultsError, StorageError
from ..core.files import explain_os_error, read_bytes, sha256_of, write_json, writing
from ..data.splits import known_split
from .archive import FORMAT, MANIFEST, listed_files, unpack
from .pseudonyms import Pseudonyms
from .run import Run, as_written, load_runs
from .store import DATA, PREDICTIONS, SKETCH, TABLES, TRACKED, RunFolder

# A path that tells of the machine it was on: from a root, a drive, a home folder or a parent folder.
TELLING = re.compile(r"[/\\~]|[A-Za-z]:[/\\]|(.*[/\\])?\.\.([/\\]|$)")


def export(
    runs: Sequence[Run], out: Path, pseudonyms: Pseudonyms | None, display: Display, made_by: str | None = None
) -> None:
    """Write finished runs into a bundle, which appears whole or not at all.

    Args:
        runs: finished ones.
        out: a name that ends in .zip, or a folder; nothing may be there yet.
        pseudonyms: with them, names of patients, recordings and clips are replaced.
        display: told of progress.
        made_by: whose runs they are, as its manifest shall say.

    Raises ResultsError where `out` is there already or a record is damaged.
    """
    if out.exists():
        raise ResultsError(f"--out {out}: is there already. Name another place, or delete it.")
    staged = out.with_name(f".{out.name}.{os.getpid()}.staged")
    try:
        with display.track("exporting", len(runs)) as advance:
            for run in runs:
                with as_written(run):
                    _stage(run, staged, pseudonyms)
                advance(1, run.run_id)
        _write_manifest(staged, pseudonyms is not None, made_by)
        if out.suffix == ".zip":
            _pack(staged, out)
        else:
            staged.rename(out)
    except OSError as error:
        raise StorageError(explain_os_error(error, out)) from error
    finally:
        shutil.rmtree(staged, ignore_errors=True)


def _stage(run: Run, staged: Path, pseudonyms: Pseudonyms | None) -> None:
    """One run as it may leave this machine."""
    folder = run.folder
    folder.check_whole()
    if pseudonyms:
        _refuse_named(run)
    target = RunFolder(staged / "runs" / (pseudonyms.run_id(run.run_id) if pseudonyms else run.run_id))
    for name in folder.files():
        table, _, of = name.removesuffix(".parquet").partition("/")
        if name.endswith(".json"):
            content = folder.read_json(name)
            if pseudonyms and name == DATA:
                content = pseudonyms.data_record(run.data, run.data.trained_on(run.spec)).document()
            target.write_json(name, without_places(content))
        elif pseudonyms and table in (*TABLES, TRACKED):
            renames = {PREDICTIONS: pseudonyms.predictions, SKETCH: pseudonyms.sketch, TRACKED: pseudonyms.tracked}
            dataset = run.data.splits[of].dataset if table == TRACKED else of
            target.write_parquet(name, renames[table](dataset, folder.read_parquet(name)))
        else:
            target.write_bytes(name, folder.read_bytes(name))


def _refuse_named(run: Run) -> None:
    """A test split that leaves somebody out by name cannot be judged again once names are gone."""
    for name in run.spec.data.test:
        known = known_split(name)
        if known is not None and known.tests_by_name:
            raise ResultsError(
                f"{run.run_id}: its test split '{name}' leaves patients or recordings out by name, which --anonymise "
                "takes away. Export it without --anonymise, or test on another split."
            )


def without_places(content: Any) -> Any:
    """The same JSON with the bare name of a file for every TELLING path; the hash beside it says which file it was."""
    if isinstance(content, dict):
        return {key: without_places(value) for key, value in content.items()}
    if isinstance(content, list):
        return [without_places(value) for value in content]
    if isinstance(content, str) and TELLING.match(content):
        return re.split(r"[/\\]", content)[-1]
    return content


def _write_manifest(bundle: Path, anonymised: bool, made_by: str | None) -> None:
    manifest: dict[str, Any] = {
        "format": FORMAT,
        "rsbench": __version__,
        "made_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "anonymised": anonymised,
        **({"made_by": made_by} if made_by else {}),
        "files": {name: sha256_of(bundle / name) for name in _present(bundle)},
    }
    write_json(bundle / MANIFEST, manifest)


def _present(bundle: Path) -> list[str]:
    """The files of all records of a bundle, relative to it."""
    return [f"runs/{run.run_id}/{name}" for run in load_runs(bundle) for name in run.folder.files()]


def _pack(folder: Path, out: Path) -> None:
    with writing(out) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in (MANIFEST, *_present(folder)):
            archive.write(folder / name, name)


@contextlib.contextmanager
def opened(place: Path) -> Iterator[tuple[Path, str | None]]:
    """A results folder or a bundle, ready to be read: its folder, and the sha256 of its manifest if it has one.

    A zip lies unpacked in a temporary folder until the block ends.

    Raises ResultsError where there is nothing, a zip is damaged, or files are not those of the manifest.
    """
    if place.is_dir():
        yield place, verified(place, place)
    elif place.is_file():
        with tempfile.TemporaryDirectory(prefix="rsbench-bundle-") as folder:
            unpack(place, Path(folder))
            yield Path(folder), verified(Path(folder), place)
    else:
        raise ResultsError(f"{place}: there is no such folder or bundle.")


def verified(folder: Path, called: Path) -> str | None:
    """The sha256 of the manifest, once its files are found to be what it says; None for a folder without one."""
    path = folder / MANIFEST
    if not path.is_file():
        return None
    try:
        listed = listed_files(read_bytes(path), called)
        found = {name: sha256_of(folder / name) for name in _present(folder)}
    except OSError as error:
        raise ResultsError(f"{called}: cannot be read ({error}). Ask for the bundle again.") from error
    wrong = [name for name in sorted(listed.keys() | found.keys()) if listed.get(name) != found.get(name)]
    if wrong:
        what = "was added" if wrong[0] not in listed else "is missing" if wrong[0] not in found else "was changed"
        raise ResultsError(
            f"{called}: since it was bundled {wrong[0]} {what}, and so it is with {len(wrong) - 1} more files. "
            "Ask for the bundle again."
        )
    return sha256_of(path)
