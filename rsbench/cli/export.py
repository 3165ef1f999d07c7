"""`rsbench export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..core.errors import ResultsError, SpecError
from .options import (
    ChosenRunsArgument,
    ResultsOption,
    option,
)

EXAMPLES = """
rsbench export 'ce-*' 'qlung-*' --out margins.zip
rsbench export --anonymise --salt ward7.salt --out ward7.zip
"""


def export(
    out: Annotated[Path, option("--out", " the bundle there: NAME.zip, or a folder.")],
    runs: ChosenRunsArgument = None,
    results: ResultsOption = Path("results"),
    anonymise: Annotated[bool, option("--anonymise")] = False,
    salt: Annotated[Path | None, option("--salt", ", for later exports that match this one.")] = None,
) -> None:
    """Bundle finished runs for somebody else.

    rescore, leaderboard and merge work on a bundle, without audio. It holds what boards and rescore need, and neither
    checkpoints nor paths of this machine. With --anonymise, names of patients, recordings and clips become salted
    hashes, under a new salt each time that is kept nowhere (or in --salt). Labels, devices, locations, lengths and
    loudness of recordings stay. Such runs share boards only with runs of the same salt. A damaged run is named and left
    out; the exit code is then 1.
    """
    from ..core.display import Display
    from ..results.bundle import export as write_bundle
    from ..results.document import sort_out
    from ..results.pseudonyms import Pseudonyms, new_salt, salt_in
    from ..results.run import chosen_runs

    if salt and not anonymise:
        raise SpecError("--salt: names are replaced only with --anonymise. Give both, or neither.")
    chosen = chosen_runs(results, runs or ())
    done, unfinished, damaged = sort_out(chosen)
    if not done:
        why = "".join(f"\nleft out: {line}" for line in damaged.values())
        raise ResultsError(
            f"{results}: none of these {len(chosen)} runs is finished, and only such can be exported.{why}"
        )
    pseudonyms = Pseudonyms(salt_in(salt) if salt else new_salt()) if anonymise else None
    display = Display()
    write_bundle(done, out, pseudonyms, display)
    left_out = f" ({len(unfinished)} unfinished left out)" if unfinished else ""
    typer.echo(f"{len(done)} finished runs in {out}{left_out}")
    for line in damaged.values():
        display.say(f"left out: {line}")
    if damaged:
        raise typer.Exit(1)
