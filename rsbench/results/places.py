"""What a results folder to read may be called: by its path, `public`, or by the bundle that holds it."""

from __future__ import annotations

from pathlib import Path

from ..core.display import Display
from ..core.errors import ResultsError

PUBLIC = "public"  # what --results says for all that was pulled


def results_folder(place: str | Path) -> Path:
    """The folder of a place; of `public` one in the cache, with all that was pulled.

    Raises ResultsError where nothing was pulled.
    """
    if str(place) != PUBLIC:
        return Path(place)
    from .public import public_results

    return public_results(Display()).folder


def results_to_read(place: str | Path) -> Path:
    """As `results_folder`; of a bundle, `NAME.zip`, the folder in the cache that it was unpacked to.

    Raises ResultsError for a bundle that is damaged, or not there, too.
    """
    folder = results_folder(place)
    if folder.suffix != ".zip" or folder.is_dir():
        return folder
    if not folder.exists():
        raise ResultsError(f"--results {place}: there is no such bundle.")
    from .shipped import unpacked

    return unpacked(folder)
