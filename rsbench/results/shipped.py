"""Runs that ship with a study's board: where a folder has none of one's own, those of the bundles in it are shown."""

from __future__ import annotations

from pathlib import Path

from ..core.cache import build_once, cache_dir
from ..core.display import Display
from ..core.files import sha256_of
from .archive import unpack
from .bundle import verified
from .collection import list_bundles
from .run import Run, load_runs


def runs_to_show(results: Path, display: Display) -> list[Run]:
    """The runs of a results folder; where it has none, those of the bundles of studies, `<results>/*.zip` and
    `<results>/<study>/*.zip`.

    Bundles are unpacked into the cache, once. The display is told where runs come from that are nobody's here.

    Raises ResultsError where there is neither, or a bundle is damaged.
    """
    bundles = list_bundles(results)
    if (results / "runs").is_dir() or not bundles:
        return load_runs(results)
    names = ", ".join(str(bundle) for bundle in bundles)
    display.say(f"{results} has no runs of yours; these were made elsewhere, and come with {names}")
    found = [run for bundle in bundles for run in load_runs(unpacked(bundle))]
    return list({run.run_id: run for run in found}.values())


def unpacked(bundle: Path) -> Path:
    """The results folder in the cache that a bundle was unpacked to, once. Raises ResultsError for a damaged one."""

    def unpacked_and_verified(empty: Path) -> None:
        unpack(bundle, empty)
        verified(empty, bundle)

    return build_once(cache_dir() / "bundles" / sha256_of(bundle)[:24], unpacked_and_verified)
