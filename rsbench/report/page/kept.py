"""What takes long is kept between reports: the page, its drawings, and the places of clips on a map.

Deleting it is always safe. What cannot be kept is made every time.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
import scipy
import seaborn
import sklearn
from joblib import Parallel, delayed
from markupsafe import Markup
from numpy.typing import NDArray
from sklearn.manifold import TSNE

from ...core.errors import StorageError
from ...core.files import read_sealed, remove, write_bytes, write_sealed
from ...data.splits import named_splits
from ...data.tasks import TASKS
from ...results.index import SHOWN, stamp
from ...results.run import Run
from ..figures.picture import Drawn, Picture, render

ENDINGS = ("svg", "png")
SHARE = 20  # panels that are worth a process of their own, which takes some seconds to start


@dataclass(frozen=True)
class KeptReports:
    """What was kept of earlier reports in a folder.

    state: what pages and drawings follow from, beside their own words.
    """

    folder: Path
    state: str

    @classmethod
    def of(cls, runs: Iterable[Run], baseline: str | None, folder: Path) -> KeptReports:
        """For a report on some runs, as they are now."""
        libraries = [library.__version__ for library in (matplotlib, np, pd, scipy, seaborn, sklearn)]
        registered = [str(named_splits()), *(str(TASKS.entry(name).value) for name in TASKS.names())]
        made_by = [_code(), *libraries, *registered, baseline]
        stamps = {str(run.path): stamp(run, SHOWN) for run in runs}
        return cls(folder, _sha256(json.dumps([made_by, stamps]).encode()))

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
            _write_again(drawing, figures)
        return str(page)

    def keep_page(self, page: str, pictures: Sequence[Picture], figures: Path) -> None:
        """Keep a page whose pictures are in the folder."""
        names = [self._drawing(picture).name for picture in pictures]
        self._keep(self._page(figures), json.dumps([page, names]).encode())

    def render_all(self, pictures: Sequence[Picture], folder: Path) -> Iterator[tuple[Picture, Drawn]]:
        """See `figures.picture.render`; of an equal picture of unchanged runs what was drawn before.

        Many are drawn by several processes. Each picture comes when it is there, those that were kept first.
        """
        missing = []
        for picture in pictures:
            content = read_sealed(self._drawing(picture))
            if content is None:
                missing.append(picture)
            else:
                yield picture, _as_before(picture, content, folder)
        processes = max(1, min(os.cpu_count() or 1, sum(len(picture.panels) for picture in missing) // SHARE))
        rendered = Parallel(processes, return_as="generator")(delayed(render)(picture, folder) for picture in missing)
        for picture, drawn in zip(missing, rendered, strict=True):
            files = {
                f"{drawn.name}.{ending}": base64.b64encode((folder / f"{drawn.name}.{ending}").read_bytes()).decode()
                for ending in ENDINGS
            }
            self._keep(self._drawing(picture), json.dumps([drawn.name, drawn.panels, files]).encode())
            yield picture, drawn

    def forget_all_but(self, pictures: Sequence[Picture]) -> None:
        """Remove the drawings that are none of these, and pages on other runs."""
        mine = {self._drawing(picture) for picture in pictures}
        for path in [*self.folder.glob("drawing-*"), *self.folder.glob("page-*")]:
            if path not in mine and not path.name.startswith(f"page-{self.state}"):
                with contextlib.suppress(OSError):
                    remove(path)

    def on_map(self, axes: NDArray[np.float32], perplexity: float) -> NDArray[np.float32]:
        """(N, 2) places of clips (N, axes) by t-SNE (van der Maaten & Hinton 2008), the same for the same clips."""
        made_by = f"{sklearn.__version__} {axes.shape} {perplexity} "
        path = self.folder / f"map-{_sha256(made_by.encode() + axes.tobytes())}"
        content = read_sealed(path)
        if content is None:
            places = TSNE(init="pca", perplexity=perplexity, random_state=0).fit_transform(axes).astype(np.float32)
            self._keep(path, places.tobytes())
            return places
        return np.frombuffer(content, dtype=np.float32).reshape(-1, 2)

    def _drawing(self, picture: Picture) -> Path:
        about = [self.state, picture.name, picture.told, *(panel.title for panel in picture.panels)]
        return self.folder / f"drawing-{_sha256(json.dumps(about).encode())}"

    def _page(self, figures: Path) -> Path:
        """A page names the folder of its figures."""
        return self.folder / f"page-{self.state}-{_sha256(figures.name.encode())}"

    def _keep(self, path: Path, content: bytes) -> None:
        with contextlib.suppress(StorageError):  # what cannot be kept costs time, nothing else
            write_sealed(path, content)


def _as_before(picture: Picture, content: bytes, folder: Path) -> Drawn:
    """What was kept of a picture, its files written to the folder again."""
    name, panels = _write_again(content, folder)
    return Drawn(name, picture.caption, tuple(map(Markup, panels)))


def _write_again(drawing: bytes, folder: Path) -> tuple[str, list[str]]:
    """Write the files of a drawing. Returns its name and its panels."""
    name, panels, files = json.loads(drawing)
    for file, encoded in files.items():
        write_bytes(folder / file, base64.b64decode(encoded))
    return name, panels


def _code() -> list[tuple[str, int]]:
    """The state of rsbench's own files: whoever changes how a page is made sees it made anew."""
    package = Path(__file__).parents[2]
    files = [path for ending in ("py", "html", "css", "js") for path in sorted(package.rglob(f"*.{ending}"))]
    return [(path.name, path.stat().st_mtime_ns) for path in files]


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
