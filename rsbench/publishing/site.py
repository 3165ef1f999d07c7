"""`rsbench site`: static pages of boards, with the bundles they are made of, written from these alone.

The same bundles give the same bytes. Frozen boards, a folder per tag, stand beside the living one and never change.
"""

from __future__ import annotations

import filecmp
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from .. import __version__
from ..core.display import Display
from ..core.errors import ResultsError, SpecError, StorageError
from ..core.files import explain_os_error, json_bytes, remove, write_bytes
from ..core.text import is_plain_word
from ..report.page.templates import PLACE, asset, templates
from ..report.tables.formats import written
from ..results.collection import Collection
from ..results.public import BUNDLES, MANIFEST, ListedBundle, ResultsManifest
from .pages import Boards, board_tables, boards_of, literature, rows_of

HERE = "rsbench.publishing"
INDEX, BOARDS = "index.html", "boards"
OWN = (MANIFEST, INDEX, BOARDS, BUNDLES)  # of a site, beside its frozen boards; the first says whose it is


def write_site(collection: Collection, out: Path, tag: str | None, display: Display) -> Boards:
    """Write the living board to a folder and, with a tag, the same frozen in a folder of that name below.

    Args:
        collection: what the boards are made of.
        out: the folder; what an earlier call wrote there is replaced, but for frozen boards.
        tag: a name for a frozen board, for example "v1.2.0".
        display: told of progress.

    Raises:
        SpecError: the tag is no name for a folder.
        ResultsError: there is nothing to rank; the tag is there with other content; or `out` holds what rsbench did
            not write.
        StorageError: the site cannot be written.
    """
    check_place(out, tag)
    boards = boards_of(collection, display)
    place = out.resolve()  # "." has no name
    staged = place.with_name(f".{place.name}.{os.getpid()}.staged")
    try:
        if tag:
            _write(boards, collection, staged / tag, tag, (), display)
            _freeze(staged / tag, out / tag)
        out.mkdir(parents=True, exist_ok=True)
        living = staged / "living"
        _write(boards, collection, living, None, tags_in(out), display)
        for name in OWN:
            if (out / name).is_dir():
                remove(out / name)
            (living / name).replace(out / name)
    except OSError as error:
        raise StorageError(explain_os_error(error, out)) from error
    finally:
        shutil.rmtree(staged, ignore_errors=True)
    return boards


def check_place(out: Path, tag: str | None) -> None:
    """Raise where a site cannot be written there, before anything is computed."""
    if tag is not None and (not is_plain_word(tag) or tag in OWN):
        raise SpecError(f"--tag {tag}: is no name for a folder. Write the name of the release, for example v1.2.0.")
    foreign = [name for name in OWN if (out / name).exists()]
    if foreign and not (out / MANIFEST).is_file():
        raise ResultsError(
            f"--out {out}: holds {foreign[0]}, which rsbench site did not write, and would be replaced. Name another "
            "folder, or one within it."
        )
    if out.exists() and not out.is_dir():
        raise ResultsError(f"--out {out}: is no folder. Name another place.")


def tags_in(out: Path) -> list[str]:
    """The frozen boards of a site, newest name first."""
    found = [path.parent.name for path in out.glob(f"*/{MANIFEST}")]
    return sorted(found, key=_by_number, reverse=True)


def _by_number(tag: str) -> list[tuple[int, int | str]]:
    """v1.10.0 comes behind v1.9.0."""
    parts = "".join(letter if letter.isdigit() else f" {letter} " for letter in tag).split()
    return [(1, int(part)) if part.isdigit() else (0, part) for part in parts]


def _freeze(fresh: Path, frozen: Path) -> None:
    """Put a frozen board in its place. Raises ResultsError where it is there and is another one."""
    if not frozen.exists():
        frozen.parent.mkdir(parents=True, exist_ok=True)
        fresh.replace(frozen)
        return
    names = {path.relative_to(root) for root in (fresh, frozen) for path in root.rglob("*") if path.is_file()}
    for name in sorted(names):
        one, other = fresh / name, frozen / name
        if not (one.is_file() and other.is_file() and filecmp.cmp(one, other, shallow=False)):
            raise ResultsError(
                f"--tag {frozen.name}: {frozen} is there already, and differs in {name.as_posix()}. A frozen board "
                "never changes: choose another tag."
            )


def _write(
    boards: Boards, collection: Collection, out: Path, tag: str | None, tags: Sequence[str], display: Display
) -> None:
    manifest = manifest_of(collection, tag)
    environment = templates(HERE, PLACE)
    common = {
        "version": __version__,
        "tag": tag,
        "style": asset(PLACE, "page.css") + asset(HERE, "site.css"),
        "script": asset(PLACE, "page.js") + asset(HERE, "site.js"),
        "pages": boards.pages,
    }
    index = environment.get_template(INDEX).render(common, boards=boards, tags=tags, bundles=manifest.bundles)
    write_bytes(out / INDEX, index.encode())
    with display.track("writing pages", len(boards.pages)) as advance:
        for page in boards.pages:
            parts = [
                (one, table, rows_of(one, collection))
                for one, table in zip(page.boards, board_tables(page), strict=True)
            ]
            text = environment.get_template("split.html").render(
                common, page=page, parts=parts, literature=literature(page)
            )
            for ending, content in (
                ("html", text),
                ("csv", written(page.sheets, "csv")),
                ("json", written(page.sheets, "json")),
            ):
                write_bytes(out / BOARDS / f"{page.stem}.{ending}", content.encode())
            advance(1, page.split)
    for bundle in collection.bundles:
        target = out / BUNDLES / bundle.name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(bundle.path, target)
    write_bytes(out / MANIFEST, json_bytes(manifest.model_dump()))


def manifest_of(collection: Collection, tag: str | None) -> ResultsManifest:
    """What `rsbench results pull` reads."""
    listed = [
        ListedBundle(name=one.name, size=one.size, sha256=one.sha256, made_by=of.made_by, runs=len(of.runs))
        for one, of in zip(collection.bundles, collection.content, strict=True)
    ]
    return ResultsManifest(rsbench=__version__, tag=tag, bundles=tuple(listed))
