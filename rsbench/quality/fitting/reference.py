"""The reference recordings that quality is compared with: ICBHI's and SPRSound's, measured whole under every index."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

import numpy as np

from ... import __version__
from ...core.display import Display
from ...core.plugins import discover, is_built_in
from ...data.identity import labels_id
from ...data.sources import Roots, load_table
from ..index import QUALITY, create_quality
from ..measuring import measure_whole
from ..reference import VERSION, QualityReference, made_reference
from .recipes import LIBRARIES

DATASETS = ("icbhi", "sprsound")


def measure_reference(roots: Roots, partial: bool, display: Display) -> QualityReference:
    """The table of `reference.json`. Raises DataError for a recording that cannot be read."""
    discover()
    names = [name for name in QUALITY.names() if is_built_in(QUALITY.entry(name))]
    indices = {name: create_quality(name) for name in names}
    measures, about = {}, {}
    for dataset in DATASETS:
        table = load_table(dataset, roots, partial=partial)
        paths = [Path(path) for path in table.recordings["path"]]
        with display.track(f"measuring {dataset}", len(paths)) as advance:
            found = []
            for of_recording in measure_whole(list(indices.values()), paths):
                if isinstance(of_recording, Exception):
                    raise of_recording
                found.append(of_recording)
                advance(1, "")
        measures[dataset] = [np.array([of[number] for of in found]) for number in range(len(indices))]
        about[dataset] = {"recordings": len(paths), "missing": len(table.missing), "labels_id": labels_id(table)[:16]}
    provenance = {
        "version": VERSION,
        "command": f"python -m rsbench.quality.fitting reference{' --partial' if partial else ''}",
        "rsbench": __version__,
        "libraries": {name: version(name) for name in LIBRARIES},
        "datasets": about,
    }
    return made_reference(indices, measures, provenance)
