"""Bundles of several people as one results folder, in which every run says who made it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from .. import __version__
from ..core.cache import build_once, cache_dir
from ..core.display import Display
from ..core.errors import ResultsError
from ..core.files import read_json, sha256_of, write_json
from ..data.splits import named_splits
from .archive import MANIFEST
from .bundle import opened
from .merge import merge
from .run import Run, load_runs

COLLECTED = "collected.json"


@dataclass(frozen=True)
class BundleFile:
    """A bundle on disk. name: its path below the folder it was found in, with / between, as links have it."""

    name: str
    path: Path
    sha256: str
    size: int  # bytes

    @classmethod
    def of(cls, path: Path, name: str) -> BundleFile:
        """Raises ResultsError where it cannot be read."""
        try:
            return cls(name, path, sha256_of(path), path.stat().st_size)
        except OSError as error:
            raise ResultsError(f"{path}: cannot be read ({error.strerror}).") from error


@dataclass(frozen=True)
class BundleContent:
    """What a bundle holds. made_by: whose runs they are, by its manifest, else its own name. runs: their ids."""

    made_by: str
    runs: tuple[str, ...]


@dataclass(frozen=True)
class Collection:
    """The runs of bundles in one results folder, each scored again and with its origin.

    folder: the results folder, in the cache. content: one per bundle. damaged: a line for each run left out.
    """

    folder: Path
    bundles: tuple[BundleFile, ...]
    content: tuple[BundleContent, ...]
    damaged: tuple[str, ...]

    @property
    def runs(self) -> list[Run]:
        return load_runs(self.folder)

    def content_of(self, bundle: BundleFile) -> BundleContent:
        """What one of its bundles holds."""
        found = zip(self.bundles, self.content, strict=True)
        return next(content for one, content in found if one.sha256 == bundle.sha256)

    def bundles_of(self, run_ids: Sequence[str]) -> list[BundleFile]:
        """The bundles that hold any of these runs."""
        wanted = set(run_ids)
        return [
            bundle
            for bundle, content in zip(self.bundles, self.content, strict=True)
            if wanted.intersection(content.runs)
        ]


def bundles_in(place: Path) -> list[BundleFile]:
    """The bundles of a folder of results, `*.zip` and `<study>/*.zip`, by name; or the one bundle that it is.

    Raises ResultsError where there is none.
    """
    if place.is_file():
        return [BundleFile.of(place, place.name)]
    found = list_bundles(place)
    if not found:
        raise ResultsError(f"{place}: holds no bundle (NAME.zip, or STUDY/NAME.zip). Make one: rsbench publish --help.")
    return [BundleFile.of(path, path.relative_to(place).as_posix()) for path in found]


def list_bundles(folder: Path) -> list[Path]:
    """The files that are taken for bundles of a results folder, by name; none where there is no such folder."""
    found = (path for pattern in ("*.zip", "*/*.zip") for path in folder.glob(pattern) if path.is_file())
    return sorted(path for path in found if not any(part.startswith(".") for part in path.relative_to(folder).parts))


def collect(bundles: Sequence[BundleFile], display: Display) -> Collection:
    """Bring bundles together. Done once for the same bundles: what comes of it is kept in the cache.

    Every run is scored again. A run that several people made alike is "re-run", as `rsbench merge` has it.

    Raises ResultsError for a damaged bundle, for figures that do not follow from predictions, and for runs of one id
    with other predictions.
    """
    listed = list({bundle.sha256: bundle for bundle in bundles}.values())
    splits = sorted((name, split.version) for name, split in named_splits().items())
    about = [__version__, splits, *((bundle.name, bundle.sha256) for bundle in listed)]
    key = hashlib.sha256(json.dumps(about).encode()).hexdigest()
    folder = build_once(cache_dir() / "collections" / key[:24], lambda empty: _bring_together(listed, empty, display))
    kept = read_json(folder / COLLECTED)
    content = (BundleContent(one["made_by"], tuple(one["runs"])) for one in kept["content"])
    return Collection(folder, tuple(listed), tuple(content), tuple(kept["damaged"]))


def _bring_together(bundles: Sequence[BundleFile], folder: Path, display: Display) -> None:
    content, damaged = [], []
    for bundle in bundles:
        with opened(bundle.path) as (unpacked, _):
            made_by = read_json(unpacked / MANIFEST).get("made_by") or bundle.name.removesuffix(".zip")
            content.append(BundleContent(str(made_by), tuple(run.run_id for run in load_runs(unpacked))))
            try:
                lines = merge([unpacked], folder, content[-1].made_by, display).damaged
            except ResultsError as error:
                raise type(error)(f"{bundle.path}: {str(error).replace(str(unpacked), bundle.name)}") from error
            damaged += [f"{bundle.name}: {line.replace(str(unpacked), bundle.name)}" for line in lines]
    write_json(folder / COLLECTED, {"content": [asdict(one) for one in content], "damaged": damaged})


def only_in(one: Collection, other: Collection | None) -> list[BundleFile]:
    """The bundles of one collection whose content the other has not."""
    there = {bundle.sha256 for bundle in other.bundles} if other else set()
    return [bundle for bundle in one.bundles if bundle.sha256 not in there]
