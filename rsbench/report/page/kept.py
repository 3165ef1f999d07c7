"""What takes long is kept between reports: the page and its drawings.

Deleting it is always safe. What cannot be kept is made every time.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import joblib
from markupsafe import Markup

from ...core.errors import StorageError
from ...core.files import read_sealed, remove, write_bytes, write_sealed
from ...data.splits import named_splits
from ...data.tasks import TASKS
from ...results.index import SHOWN, stamp
from ...results.run import Run
from ..figures.picture import Drawn, Picture, render

LIBRARIES = ("joblib", "matplotlib", "numpy", "pandas", "scikit-learn", "scipy")  # that pages and drawings follow from
SHARE = 20  # usual panels that are worth a process of their own, which takes a second to start


@dataclass(frozen=True)
class KeptReports:
    """What was kept of earlier reports in a folder.

    made_by: what pages and drawings follow from, beside what they show. runs: the state of all runs that a page shows,
    and what they are compared with.
    """

    folder: Path
    made_by: str
    runs: str

    @classmethod
    def of(cls, runs: Iterable[Run], baseline: str | None, folder: Path) -> KeptReports:
        """For a report on some runs, as they are now."""
        registered = [str(named_splits()), *(str(TASKS.entry(name).value) for name in TASKS.names())]
        made_by = [_code(), *map(version, LIBRARIES), *registered]
        stamps = [(str(run.path), stamp(run, SHOWN)) for run in runs]
        return cls(folder, joblib.hash(made_by), joblib.hash([baseline, stamps]))

    def page(self, figures: Path) -> str | None:
        """The page on these very runs that was kept; its pictures are written to the folder again.

        None where there is none, or not all of it.
        """
        content = read_sealed(self._page(figures))
        if content is None:
            return None
        page, names = json.loads(content)
        drawings = [read_sealed(self.folder / name) for name in names]
        whole = [drawing for drawing in drawings if drawing is not None]
        if len(whole) < len(drawings):
            return None
        for drawing in whole:
            _write_files(_restored(drawing, ""), figures)
        return str(page)

    def keep_page(self, page: str, pictures: Sequence[Picture], figures: Path) -> None:
        """Keep a page whose pictures are in the folder."""
        names = [self._drawing(picture).name for picture in pictures]
        self._keep(self._page(figures), json.dumps([page, names]).encode())

    def render_all(self, pictures: Sequence[Picture], folder: Path) -> Iterator[tuple[Picture, Drawn]]:
        """See `figures.picture.render`; of a picture that shows what one before showed, what was drawn then.

        Files are written to the folder. Many pictures are drawn by several processes. Each comes when it is there,
        those that were kept first.
        """
        missing = []
        for picture in pictures:
            content = read_sealed(self._drawing(picture))
            if content is None:
                missing.append(picture)
            else:
                drawn = _restored(content, picture.caption)
                _write_files(drawn, folder)
                yield picture, drawn
        missing.sort(key=lambda picture: -picture.effort)  # the longest first, so that none is waited for alone
        processes = max(1, min(os.cpu_count() or 1, sum(picture.effort for picture in missing) // SHARE))
        rendered = joblib.Parallel(processes, return_as="generator")(map(joblib.delayed(render), missing))
        for picture, drawn in zip(missing, rendered, strict=True):
            _write_files(drawn, folder)
            self._keep(self._drawing(picture), _stored(drawn))
            yield picture, drawn

    def forget_all_but(self, pictures: Sequence[Picture]) -> None:
        """Remove the drawings that are none of these, and pages on other runs."""
        mine = {self._drawing(picture) for picture in pictures}
        for path in [*self.folder.glob("drawing-*"), *self.folder.glob("page-*")]:
            if path not in mine and not path.name.startswith(self._any_page):
                with contextlib.suppress(OSError):
                    remove(path)

    def _drawing(self, picture: Picture) -> Path:
        """What of a picture can be seen in a drawing tells it: its caption cannot, which is the page's."""
        return self.folder / f"drawing-{joblib.hash([self.made_by, picture.name, picture.told, list(picture.panels)])}"

    @property
    def _any_page(self) -> str:
        return f"page-{self.made_by}-{self.runs}"

    def _page(self, figures: Path) -> Path:
        """A page names the folder of its figures."""
        return self.folder / f"{self._any_page}-{joblib.hash(figures.name)}"

    def _keep(self, path: Path, content: bytes) -> None:
        with contextlib.suppress(StorageError):  # what cannot be kept costs time, nothing else
            write_sealed(path, content)


def _stored(drawn: Drawn) -> bytes:
    files = {name: base64.b64encode(content).decode() for name, content in drawn.files.items()}
    return json.dumps([drawn.name, drawn.panels, files]).encode()


def _restored(stored: bytes, caption: str) -> Drawn:
    name, panels, files = json.loads(stored)
    return Drawn(name, caption, tuple(map(Markup, panels)), {file: base64.b64decode(files[file]) for file in files})


def _write_files(drawn: Drawn, folder: Path) -> None:
    for name, content in drawn.files.items():
        write_bytes(folder / name, content)


def _code() -> list[tuple[str, int]]:
    """The state of rsbench's own files: whoever changes how a page is made sees it made anew."""
    package = Path(__file__).parents[2]
    files = [path for ending in ("py", "html", "css", "js") for path in sorted(package.rglob(f"*.{ending}"))]
    return [(path.name, path.stat().st_mtime_ns) for path in files]
