"""From a spec and the folders of recordings to everything a run needs before a model exists.

Input is checked in the order of blame: labels and annotations, then the sound files, then the split that they make.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from ..core.backbone import BACKBONES
from ..core.display import Display
from ..core.errors import DataError
from ..core.seeds import derive
from ..core.spec import RunSpec, run_id
from ..core.weights import WeightsFile
from ..data.clips import ClipTable, clip_bounds, domains_of
from ..data.embeddings import EmbeddingFile, clips_hash
from ..data.splits import Split, choose_folds, choose_validation, split
from ..data.tasks import Task, task
from ..data.waveforms import Waveforms
from ..evaluation.selection import rule
from ..features.frontends import FrontendModule, create_frontend
from ..quality.index import QualityIndex, apply_control, create_quality
from ..quality.leakage import refuse_seen_patients
from ..quality.measuring import measure_clips
from ..results.schema import Identity
from .context import DataCache
from .identity import as_weights, backbone_name, identity_of, weights_of
from .parts import of_fold, refuse_other_editions, refuse_shared_patients, refuse_splits, tested_folds

EMBEDDED_RATE_HZ = 16_000  # at which recordings are decoded where nothing but their lengths and bands is wanted


@dataclass(frozen=True)
class DatasetClips:
    """One data set: its clips have a class_index, a part ("fit", "validation", "test" or "unused") and a quality.

    embeddings: (N, V, D), where they are given, or what else a backbone is given that hears nothing.
    """

    table: ClipTable
    clips: pd.DataFrame
    waveforms: Waveforms
    clipped_ends: int
    embeddings: np.ndarray | None

    def rows(self, *parts: str) -> np.ndarray:
        """Positions of the clips of these parts."""
        return np.flatnonzero(self.clips["part"].isin(parts))

    def with_part(self, part: str, rows: pd.Series) -> DatasetClips:
        """The same data set where these clips (a flag each) are of this part."""
        return replace(self, clips=self.clips.assign(part=self.clips["part"].mask(rows, part)))


@dataclass(frozen=True)
class Experiment:
    """A run that could start now; of a split with folds, in the state of its first fold (see `tested_fold`).

    backbone: its name on boards. identity: what the run id hashes beside the spec. trains: of a data set each.
    validation_patients: `dataset:patient` where several are trained on. folds: patients that each fold of cv-refit
    holds out, or each of a split with folds tests; validation_folds: who validates each of the latter.
    index: of quality. measures: (N, k) its raw values for the clips of each data set.
    frontend: None where embeddings are given.
    """

    spec: RunSpec
    run_id: str
    backbone: str
    identity: Identity
    trains: tuple[Split, ...]
    tests: tuple[Split, ...]
    datasets: dict[str, DatasetClips]
    class_counts: tuple[int, ...]
    validation_patients: tuple[str, ...]
    folds: tuple[tuple[str, ...], ...]
    validation_folds: tuple[tuple[str, ...], ...]
    index: QualityIndex
    measures: dict[str, np.ndarray]
    quality_normaliser: dict[str, float]
    frontend: FrontendModule | None
    weights: WeightsFile

    @property
    def task(self) -> Task:
        """What clips are told apart into."""
        return task(self.spec.data.task)

    @property
    def train(self) -> Split:
        """The one split that is trained on: what makes folds knows no more. Raises ValueError where there are more."""
        (only,) = self.trains
        return only

    @property
    def train_data(self) -> DatasetClips:
        return self.datasets[self.train.dataset]

    @property
    def tested_folds(self) -> int:
        """How many folds are tested, each by a model of its own; 0 where the split has none."""
        return self.trains[0].folds

    @property
    def epochs(self) -> int:
        """How many are trained at most, those of all tested folds together."""
        return self.spec.optim.epochs * max(1, self.tested_folds)

    @property
    def training(self) -> dict[str, DatasetClips]:
        """The data sets that are trained on, in the order of `trains`."""
        return {train.dataset: self.datasets[train.dataset] for train in self.trains}

    @property
    def fitted(self) -> pd.DataFrame:
        """The clips to fit, one data set after the other, with a column `dataset`."""
        return pd.concat([of.clips.iloc[of.rows("fit")].assign(dataset=name) for name, of in self.training.items()])

    @property
    def domains(self) -> dict[str, int]:
        """How many patients, devices and data sets the clips to fit are of."""
        return {kind: names.nunique() for kind, names in domains_of(self.fitted).items()}

    @property
    def synthetic(self) -> bool:
        return any(clips.table.synthetic for clips in self.datasets.values())

    @property
    def partial(self) -> bool:
        return any(clips.table.partial for clips in self.datasets.values())

    @property
    def track(self) -> str:
        """Whether the backbone learns, and whether test clips change what is predicted: what a board never mixes."""
        learns = "frozen" if self.frontend is None or "all" in self.spec.optim.freeze else "fine-tuned"
        return learns if self.spec.data.adapt == "none" else f"{learns}, transductive"


def prepare_experiment(spec: RunSpec, data_cache: DataCache) -> Experiment:
    """Read, decode, split and measure. Raises DataError for whatever is wrong with the recordings or the split."""
    own = data_cache.roots.own_datasets()
    trains, tests = (tuple(split(name, own) for name in named) for named in (spec.data.trains, spec.data.test))
    names = list(dict.fromkeys(item.dataset for item in (*trains, *tests)))
    level = task(spec.data.task).level
    tables = {name: data_cache.table(name, level) for name in names}
    refuse_other_editions(trains, tests, tables)
    index = create_quality(spec.quality.name, **spec.quality.params)
    refuse_seen_patients(spec.quality.name, index, tests, tables)
    frontend = create_frontend(spec.frontend.name, **spec.frontend.params) if spec.frontend else None
    embeddings = _given_embeddings(spec, data_cache)
    weights = as_weights(embeddings, spec) if embeddings else weights_of(spec.backbone, data_cache.roots)

    waveforms = {name: data_cache.waveforms(name, frontend.rate if frontend else EMBEDDED_RATE_HZ) for name in names}
    read = {name: _read_clips(table, waveforms[name], embeddings, spec) for name, table in tables.items()}
    first = trains[0]
    tested = tested_folds(read[first.dataset], first, spec)
    if tested:
        divided = {first.dataset: of_fold(read[first.dataset], first, *tested[0], 0)}
        validation = tested[0][1]
    else:
        divided, validation = _with_parts(read, trains, tests, spec)
    counts = _class_counts(divided, trains, task(spec.data.task))
    measures = _measure_quality(divided, index, data_cache.display)
    datasets, normaliser = _with_quality(divided, measures, index, spec)

    identity = identity_of(spec, {name: data_cache.labels_id(name, level) for name in names}, weights, index)
    backbone = backbone_name(spec.backbone) + (f":{embeddings.provenance.backbone}" if embeddings else "")
    return Experiment(
        spec=spec,
        run_id=run_id(spec, identity.document(), backbone),
        backbone=backbone,
        identity=identity,
        trains=trains,
        tests=tests,
        datasets=datasets,
        class_counts=counts,
        validation_patients=validation,
        folds=tuple(patients for patients, _ in tested) or _folds(datasets[first.dataset], first, spec),
        validation_folds=tuple(patients for _, patients in tested),
        index=index,
        measures=measures,
        quality_normaliser=normaliser,
        frontend=frontend,
        weights=weights,
    )


def hold_out(experiment: Experiment, patients: Collection[str]) -> Experiment:
    """The same run with these training patients as its validation, and all that is fitted on the others alone."""
    train_data = experiment.train_data
    held_out = (train_data.clips["part"] == "fit") & train_data.clips["patient"].isin(list(patients))
    return _fitted_anew(experiment, train_data.with_part("validation", held_out), patients)


def tested_fold(experiment: Experiment, number: int) -> Experiment:
    """A fold of a run on a split with folds: its patients are tested, and all that is fitted is of the others."""
    tested, validated = experiment.folds[number], experiment.validation_folds[number]
    return _fitted_anew(
        experiment, of_fold(experiment.train_data, experiment.train, tested, validated, number), validated
    )


def _fitted_anew(experiment: Experiment, train_data: DatasetClips, patients: Collection[str]) -> Experiment:
    """The same run with other parts, and with these patients to validate it."""
    divided = {**experiment.datasets, experiment.train.dataset: train_data}
    datasets, normaliser = _with_quality(divided, experiment.measures, experiment.index, experiment.spec)
    return replace(
        experiment,
        datasets=datasets,
        class_counts=_class_counts(datasets, experiment.trains, experiment.task),
        validation_patients=tuple(patients),
        quality_normaliser=normaliser,
    )


def _given_embeddings(spec: RunSpec, data_cache: DataCache) -> EmbeddingFile | None:
    """The embeddings that a backbone is given instead of sound; None where it needs none."""
    if not BACKBONES.entry(spec.backbone.name).value.needs_embeddings():
        return None
    file = data_cache.embeddings(Path(spec.backbone.weights))
    file.refuse_other_clips(spec.data.clip_s, spec.data.window)
    return file


def _read_clips(
    table: ClipTable, waveforms: Waveforms, embeddings: EmbeddingFile | None, spec: RunSpec
) -> DatasetClips:
    """A data set's clips, all of them part "unused", without a quality."""
    clips, clipped = labelled_clips(table, waveforms, task(spec.data.task), spec.data.label_map)
    if embeddings:
        return DatasetClips(table, clips, waveforms, clipped, _embedded(embeddings, table, clips))
    made = BACKBONES.entry(spec.backbone.name).value.given(clips)
    return DatasetClips(table, clips, waveforms, clipped, None if made is None else made[:, np.newaxis])


def labelled_clips(table: ClipTable, waveforms: Waveforms, of: Task, map_name: str) -> tuple[pd.DataFrame, int]:
    """The clips that have a class, all of them part "unused" and without a quality; how many ends were clipped."""
    clips, clipped = clip_bounds(table.clips, waveforms.durations_s, table.places)
    clips = clips.assign(class_index=of.indices(table, map_name))
    paths = table.recordings.set_index("recording")["path"]
    clips = clips.dropna(subset="class_index").assign(
        path=lambda kept: kept["recording"].map(paths), part="unused", fold=-1, quality=np.nan
    )
    return clips.astype({"class_index": int}).reset_index(drop=True), clipped


def _embedded(embeddings: EmbeddingFile, table: ClipTable, clips: pd.DataFrame) -> np.ndarray:
    """The embeddings of a data set's clips. Raises DataError when they were made of other pieces of sound."""
    made_of = embeddings.provenance.clips.get(table.dataset)
    if made_of is not None and made_of != clips_hash(table.clips):
        raise DataError(
            f"{embeddings.path} was made from other annotations of '{table.dataset}': its clips have other names or "
            "times now. Embed the data set again, or restore its annotations."
        )
    return embeddings.of(table.dataset, clips)


def _folds(train_data: DatasetClips, train: Split, spec: RunSpec) -> tuple[tuple[str, ...], ...]:
    """Patients that each fold holds out; none where no rule asks for folds."""
    if not any(rule(name).judged_on == "folds" for name in spec.select):
        return ()
    fitted = train_data.clips.iloc[train_data.rows("fit")]
    never = _patients_elsewhere(train_data, train)
    return tuple(choose_folds(fitted, spec.validation.folds, spec.seed, never, task(spec.data.task)))


def _with_parts(
    datasets: Mapping[str, DatasetClips], trains: Sequence[Split], tests: Sequence[Split], spec: RunSpec
) -> tuple[dict[str, DatasetClips], tuple[str, ...]]:
    """The data sets with the part of every clip, and the validation patients.

    These follow from data set, split and seed alone, so that runs are paired whatever they are tested on, and whatever
    else they are trained on.
    """
    tested = {item.dataset for item in tests}
    divided = {
        name: dataset.with_part("test", pd.Series(name in tested, dataset.clips.index))
        for name, dataset in datasets.items()
    }
    validation: list[str] = []
    for train in trains:
        clips = datasets[train.dataset].clips
        training = train.train_rows(clips)
        refuse_splits(datasets, train, tests, training)
        if task(spec.data.task).level == "patient":
            refuse_shared_patients(datasets, train, tests, training)
        never = _patients_elsewhere(datasets[train.dataset], train)
        candidates = clips.loc[training, ["patient", "class_index"]]
        patients = choose_validation(candidates, spec.validation.fraction, spec.seed, never)
        divided[train.dataset] = (
            divided[train.dataset]
            .with_part("fit", training)
            .with_part("validation", training & clips["patient"].isin(patients))
        )
        validation += patients if len(trains) == 1 else [f"{train.dataset}:{patient}" for patient in patients]
    return divided, tuple(validation)


def _patients_elsewhere(train_data: DatasetClips, train: Split) -> set[str]:
    """Patients with clips outside the training side, whom some test split may hold: they decide nothing."""
    clips = train_data.clips
    return set(clips["patient"][~train.train_rows(clips)])


def _class_counts(datasets: Mapping[str, DatasetClips], trains: Sequence[Split], of: Task) -> tuple[int, ...]:
    """Clips to fit per class, over all data sets that are trained on."""
    parts = (datasets[train.dataset] for train in trains)
    fitted = np.concatenate([part.clips["class_index"].to_numpy()[part.rows("fit")] for part in parts])
    counts = np.bincount(fitted, minlength=len(of.classes))
    names = ",".join(train.name for train in trains)
    for name, count in zip(of.classes, counts, strict=True):
        if count == 0:
            raise DataError(
                f"data.train: split '{names}' has no training clip of class '{name}'. "
                "Every class needs one: complete the data, or train on another split."
            )
    return tuple(int(count) for count in counts)


def _measure_quality(
    datasets: Mapping[str, DatasetClips], index: QualityIndex, display: Display
) -> dict[str, np.ndarray]:
    """(N, k) raw values of the quality index for the clips of every data set."""
    measures = {}
    for name, dataset in datasets.items():
        with display.track(f"quality of {name}", dataset.clips["recording"].nunique()) as advance:
            measures[name] = measure_clips(
                index, dataset.clips, dataset.waveforms.bytes_id, lambda done, total: advance(1, "")
            )
    return measures


def _with_quality(
    datasets: Mapping[str, DatasetClips], measures: Mapping[str, np.ndarray], index: QualityIndex, spec: RunSpec
) -> tuple[dict[str, DatasetClips], dict[str, float]]:
    """The data sets with the quality of every clip, and its normaliser, which is fitted on the clips trained on."""
    together = np.concatenate([measures[name] for name in datasets])
    # A data set that is only tested has no clip to fit: whatever its rows say, nothing is learnt from them.
    is_fit = np.concatenate([(dataset.clips["part"] == "fit").to_numpy() for dataset in datasets.values()])
    normaliser = index.fit(together[is_fit])
    scores = index.score(together, normaliser)
    controlled = apply_control(scores, spec.quality.control, is_fit, derive(spec.seed, "quality"))
    qualities = np.split(controlled, np.cumsum([len(dataset.clips) for dataset in datasets.values()])[:-1])
    scored = {
        name: replace(dataset, clips=dataset.clips.assign(quality=quality))
        for (name, dataset), quality in zip(datasets.items(), qualities, strict=True)
    }
    return scored, normaliser


def class_table(experiment: Experiment) -> Iterator[tuple[str, str, list[int], int]]:
    """(split, part, clips per class, patients): the training splits' parts, then every test split."""
    of_fold_1 = f" of fold 1 of {experiment.tested_folds}" if experiment.tested_folds else ""
    parts = []
    for item in experiment.trains:
        clips = experiment.datasets[item.dataset].clips
        parts += [(item.name, part + of_fold_1, clips[clips["part"] == part]) for part in ("fit", "validation")]
    for item in experiment.tests:
        clips = experiment.datasets[item.dataset].clips
        parts.append((item.name, "test", clips[item.test_rows(clips)]))
    for name, part, chosen in parts:
        counts = np.bincount(chosen["class_index"], minlength=len(experiment.task.classes))
        yield name, part, counts.tolist(), int(chosen["patient"].nunique())
