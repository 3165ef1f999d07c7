"""What the runs of one command have in common, read once: tables of clips, waveforms, embeddings."""

from __future__ import annotations

from pathlib import Path

from ..core.display import Display
from ..data.clips import ClipTable
from ..data.embeddings import EmbeddingFile, read_embeddings
from ..data.sources import Roots, load_table
from ..data.waveforms import Waveforms, prepare


class Shelf:
    """Reads from the folders of recordings, and remembers. A file that changes meanwhile is not seen.

    Args:
        roots: where data sets lie.
        partial: accept incomplete ones.
        display: told of long work.
    """

    def __init__(self, roots: Roots, *, partial: bool, display: Display) -> None:
        self.roots = roots
        self.partial = partial
        self.display = display
        self._tables: dict[str, ClipTable] = {}
        self._waveforms: dict[tuple[str, int], Waveforms] = {}
        self._embeddings: dict[Path, EmbeddingFile] = {}

    def table(self, dataset: str) -> ClipTable:
        if dataset not in self._tables:
            self._tables[dataset] = load_table(dataset, self.roots, partial=self.partial)
        return self._tables[dataset]

    def waveforms(self, dataset: str, rate: int) -> Waveforms:
        """A data set's recordings at a rate in Hz, with a progress bar where they are not in the cache."""
        if (dataset, rate) not in self._waveforms:
            table = self.table(dataset)
            with self.display.track(f"decoding {dataset}", len(table.recordings)) as advance:
                self._waveforms[dataset, rate] = prepare(table, rate, lambda done, total: advance(1, ""))
        return self._waveforms[dataset, rate]

    def embeddings(self, path: Path) -> EmbeddingFile:
        if path not in self._embeddings:
            self._embeddings[path] = read_embeddings(path)
        return self._embeddings[path]
