"""What a results folder to read may be called: by its path, `public`, or by the bundle that holds it."""

from __future__ import annotations

from pathlib import Path

from ..core.display import Display


def results_folder(place: str | Path) -> Path:
    """The folder of a place; of `public` one in the cache, with all that was pulled.

    Raises ResultsError where nothing was pulled.
    """
    if str(place) != "public":
        return Path(place)
    from .public import public_results

    return public_results(Display()).folder


def results_to_read(place: str | Path) -> Path:
    """As `results_folder`; of a bundle, `NAME.zip`, the folder in the cache that it was unpacked to.

    Raises ResultsError for a damaged bundle too.
    """
    folder = results_folder(place)
    if not (folder.suffix == ".zip" and folder.is_file()):
        return folder
    from .shipped import unpacked

    return unpacked(folder)
