"""From a spec and the folders of recordings to everything a run needs before a model exists.

Input is checked in the order of blame: labels and annotations, then the sound files, then the split that they make.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from .backbone import BACKBONES
from .data.bounds import clip_bounds
from .data.clips import CLASSES, DATASETS, ClipTable, label_map
from .data.identity import labels_id
from .data.sources import Roots, load_table
from .data.splits import Split, choose_validation, split
from .data.waveforms import Waveforms, prepare
from .display import Advance, Display
from .errors import DataError
from .loss import LOSSES
from .plugins import source_sha256
from .registry import Registry
from .seeds import derive
from .signal.frontends import FRONTENDS, FrontendModule, create_frontend
from .signal.quality import QUALITY, apply_control, create_quality, measure_clips
from .spec import RunSpec, run_id
from .weights import weights_sha256


@dataclass(frozen=True)
class DatasetClips:
    """One data set, ready: its clips have a class_index, a part ("fit", "validation", "test") and a quality."""

    table: ClipTable
    clips: pd.DataFrame
    waveforms: Waveforms
    clipped_ends: int

    def rows(self, *parts: str) -> np.ndarray:
        """Positions of the clips of these parts."""
        return np.flatnonzero(self.clips["part"].isin(parts))


@dataclass(frozen=True)
class Experiment:
    """A run that could start now. `identity` is what the run id hashes beside the spec."""

    spec: RunSpec
    run_id: str
    identity: dict[str, Any]
    train: Split
    tests: tuple[Split, ...]
    datasets: dict[str, DatasetClips]
    class_counts: tuple[int, ...]
    validation_patients: tuple[str, ...]
    quality_normaliser: dict[str, float]
    frontend: FrontendModule

    @property
    def fit(self) -> DatasetClips:
        return self.datasets[self.train.dataset]

    @property
    def synthetic(self) -> bool:
        return any(clips.table.synthetic for clips in self.datasets.values())

    @property
    def partial(self) -> bool:
        return any(clips.table.partial for clips in self.datasets.values())

    def data_record(self) -> dict[str, Any]:
        """What data.json says."""
        every = (self.train, *self.tests)
        return {
            "identity": self.identity,
            "splits": {split.name: {"version": split.version, "dataset": split.dataset} for split in every},
            "label_map": {
                "name": self.spec.data.label_map,
                "version": label_map(self.spec.data.label_map).version,
            },
            "synthetic": self.synthetic,
            "partial": self.partial,
            "train_patients": int(self.fit.clips["patient"][self.fit.rows("fit")].nunique()),
            "validation_patients": list(self.validation_patients),
            "class_counts": dict(zip(CLASSES, self.class_counts, strict=True)),
            "quality_normaliser": self.quality_normaliser,
            "datasets": {name: _dataset_record(clips) for name, clips in self.datasets.items()},
        }


def _dataset_record(clips: DatasetClips) -> dict[str, Any]:
    counts = clips.clips.groupby("part")["class_index"].value_counts().unstack(fill_value=0)
    return {
        "recordings": len(clips.table.recordings),
        "clips": len(clips.clips),
        "clips_per_part": {
            str(part): {CLASSES[int(str(index))]: int(n) for index, n in row.items()} for part, row in counts.iterrows()
        },
        "missing_recordings": len(clips.table.missing),
        "clipped_ends": clips.clipped_ends,
        "bytes_id": clips.waveforms.bytes_id,
        "notes": list(clips.table.notes),
    }


def prepare_experiment(spec: RunSpec, roots: Roots, *, partial: bool, display: Display) -> Experiment:
    """Read, decode, split and measure. Raises DataError for whatever is wrong with the recordings or the split."""
    own = roots.own_datasets()
    train, tests = split(spec.data.train, own), tuple(split(name, own) for name in spec.data.test)
    names = list(dict.fromkeys(item.dataset for item in (train, *tests)))
    tables = {name: load_table(name, roots, partial=partial) for name in names}
    frontend = create_frontend(spec.frontend.name, **spec.frontend.params)
    waveforms = {name: _decode(table, frontend.rate, display) for name, table in tables.items()}
    datasets = {name: _clips(tables[name], waveforms[name], spec) for name in names}
    validation = _assign_parts(datasets, train, tests, spec)
    counts = _class_counts(datasets[train.dataset], train)
    normaliser = _measure_quality(datasets, spec, display)
    identity = _identity(spec, tables)
    return Experiment(
        spec,
        run_id(spec, identity),
        identity,
        train,
        tests,
        datasets,
        counts,
        validation,
        normaliser,
        frontend,
    )


def _decode(table: ClipTable, rate: int, display: Display) -> Waveforms:
    with display.track(f"decoding {table.dataset}", len(table.recordings)) as advance:
        return prepare(table, rate, _ticker(advance))


def _clips(table: ClipTable, waveforms: Waveforms, spec: RunSpec) -> DatasetClips:
    durations = dict(zip(waveforms.recordings, waveforms.durations_s, strict=True))
    clips, clipped = clip_bounds(table.clips, durations)
    clips = clips.assign(class_index=label_map(spec.data.label_map).indices(clips["label"]))
    paths = table.recordings.set_index("recording")["path"]
    clips = clips.dropna(subset="class_index").assign(path=lambda kept: kept["recording"].map(paths))
    return DatasetClips(table, clips.astype({"class_index": int}).reset_index(drop=True), waveforms, clipped)


def _assign_parts(
    datasets: dict[str, DatasetClips], train: Split, tests: Sequence[Split], spec: RunSpec
) -> tuple[str, ...]:
    """Write the column `part` and return the validation patients, none of whom is in a test split asked for."""
    tested = {item.dataset for item in tests}
    for name, dataset in datasets.items():
        dataset.clips["part"] = "test" if name in tested else "unused"
    clips = datasets[train.dataset].clips
    training = train.train_rows(clips)
    if not training.any():
        raise DataError(f"data.train: split '{train.name}' has no training clip. Choose another with --train.")
    test_patients: set[str] = set()
    for item in tests:
        rows = item.test_rows(datasets[item.dataset].clips)
        if not rows.any():
            raise DataError(f"data.test: split '{item.name}' has no test clip. Choose another with --test.")
        if item.dataset == train.dataset:
            test_patients |= set(clips["patient"][rows])
            if (rows & training).any():
                clip = clips["clip_id"][rows & training].iloc[0]
                raise DataError(
                    f"data.test: split '{item.name}' holds clips that '{train.name}' trains on (for one, {clip}). "
                    "Choose splits that share none."
                )
    candidates = clips.loc[training, ["patient", "class_index"]]
    patients = choose_validation(candidates, spec.validation.fraction, spec.seed, test_patients)
    held_out = training & clips["patient"].isin(patients)
    clips.loc[training, "part"] = "fit"
    clips.loc[held_out, "part"] = "validation"
    return patients


def _class_counts(dataset: DatasetClips, train: Split) -> tuple[int, ...]:
    counts = np.bincount(dataset.clips["class_index"][dataset.rows("fit")], minlength=len(CLASSES))
    for name, count in zip(CLASSES, counts, strict=True):
        if count == 0:
            raise DataError(
                f"data.train: split '{train.name}' has no training clip of class '{name}'. "
                "Every class needs one: complete the data, or train on another split."
            )
    return tuple(int(count) for count in counts)


def _measure_quality(datasets: dict[str, DatasetClips], spec: RunSpec, display: Display) -> dict[str, float]:
    """Write the column `quality`; its normaliser is fitted on the clips that are fitted, and returned."""
    index = create_quality(spec.quality.name, **spec.quality.params)
    measures = []
    for name, dataset in datasets.items():
        with display.track(f"quality of {name}", dataset.clips["recording"].nunique()) as advance:
            tick = _ticker(advance)
            measures.append(measure_clips(index, dataset.clips, dataset.waveforms.bytes_id, tick))
    together = np.concatenate(measures)
    is_fit = np.concatenate([(dataset.clips["part"] == "fit").to_numpy() for dataset in datasets.values()])
    # A data set that is only tested has no clip to fit: whatever its rows say, nothing is learnt from them.
    normaliser = index.fit(together[is_fit])
    scores = index.score(together, normaliser)
    controlled = apply_control(scores, spec.quality.control, is_fit, derive(spec.seed, "quality"))
    ends = np.cumsum([len(measured) for measured in measures])
    for dataset, quality in zip(datasets.values(), np.split(controlled, ends[:-1]), strict=True):
        dataset.clips["quality"] = quality
    return normaliser


def _ticker(advance: Advance) -> Callable[[int, int], None]:
    """A (done, total) callback that moves a progress bar by one."""
    return lambda done, total: advance(1, "")


def _identity(spec: RunSpec, tables: dict[str, ClipTable]) -> dict[str, Any]:
    chosen: tuple[tuple[Registry[Any], str], ...] = (
        (LOSSES, spec.loss.name),
        (BACKBONES, spec.backbone.name),
        (FRONTENDS, spec.frontend.name),
        (QUALITY, spec.quality.name),
        *((DATASETS, name) for name in tables if name in DATASETS.names()),
    )
    sources = {f"{registry.kind}:{name}": source_sha256(registry.entry(name)) for registry, name in chosen}
    return {
        "labels": {name: labels_id(table) for name, table in tables.items()},
        "weights": weights_sha256(spec.backbone.weights, BACKBONES.entry(spec.backbone.name).value.public_weights),
        "plugins": {name: sha for name, sha in sources.items() if sha is not None},
    }


def class_table(experiment: Experiment) -> Iterator[tuple[str, str, list[int], int]]:
    """(split, part, clips per class, patients): the training split's parts, then every test split."""
    clips = experiment.fit.clips
    parts = [(experiment.train.name, part, clips[clips["part"] == part]) for part in ("fit", "validation")]
    for item in experiment.tests:
        clips = experiment.datasets[item.dataset].clips
        parts.append((item.name, "test", clips[item.test_rows(clips)]))
    for name, part, chosen in parts:
        counts = np.bincount(chosen["class_index"], minlength=len(CLASSES))
        yield name, part, counts.tolist(), int(chosen["patient"].nunique())
