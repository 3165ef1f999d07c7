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
from ..core.fingerprint import code_sha256
from ..core.plugins import is_built_in
from ..core.seeds import derive
from ..core.spec import BackboneChoice, RunSpec, run_id
from ..core.weights import WeightsFile, find_weights
from ..data.clips import CLASSES, ClipTable, clip_bounds, label_map
from ..data.datasets import DATASETS
from ..data.embeddings import EmbeddingFile, clips_hash
from ..data.sources import Roots
from ..data.splits import Split, choose_folds, choose_validation, split
from ..data.waveforms import Waveforms
from ..evaluation.selection import rule
from ..features.frontends import FrontendModule, create_frontend
from ..quality.index import QualityIndex, apply_control, create_quality, measure_clips
from ..quality.leakage import refuse_seen_patients
from ..results.schema import Identity
from .context import DataCache
from .parts import of_fold, tested_folds
from .resolve import registered

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

    backbone: its name on boards. identity: what the run id hashes beside the spec. folds: patients that each fold
    of cv-refit holds out, or each of a split with folds tests; validation_folds: who validates each of the latter.
    index: of quality. measures: (N, k) its raw values for the clips of each data set.
    frontend: None where embeddings are given.
    """

    spec: RunSpec
    run_id: str
    backbone: str
    identity: Identity
    train: Split
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
    def train_data(self) -> DatasetClips:
        return self.datasets[self.train.dataset]

    @property
    def epochs(self) -> int:
        """How many are trained at most, those of all tested folds together."""
        return self.spec.optim.epochs * max(1, self.train.folds)

    @property
    def synthetic(self) -> bool:
        return any(clips.table.synthetic for clips in self.datasets.values())

    @property
    def partial(self) -> bool:
        return any(clips.table.partial for clips in self.datasets.values())

    @property
    def track(self) -> str:
        """Whether the backbone learns: what a board never mixes."""
        return "frozen" if self.frontend is None or "all" in self.spec.optim.freeze else "fine-tuned"


def prepare_experiment(spec: RunSpec, data_cache: DataCache) -> Experiment:
    """Read, decode, split and measure. Raises DataError for whatever is wrong with the recordings or the split."""
    own = data_cache.roots.own_datasets()
    train, tests = split(spec.data.train, own), tuple(split(name, own) for name in spec.data.test)
    names = list(dict.fromkeys(item.dataset for item in (train, *tests)))
    tables = {name: data_cache.table(name) for name in names}
    index = create_quality(spec.quality.name, **spec.quality.params)
    refuse_seen_patients(spec.quality.name, index, tests, tables)
    frontend = create_frontend(spec.frontend.name, **spec.frontend.params) if spec.frontend else None
    embeddings = _given_embeddings(spec, data_cache)
    weights = _as_weights(embeddings, spec) if embeddings else weights_of(spec.backbone, data_cache.roots)

    waveforms = {name: data_cache.waveforms(name, frontend.rate if frontend else EMBEDDED_RATE_HZ) for name in names}
    read = {name: _read_clips(table, waveforms[name], embeddings, spec) for name, table in tables.items()}
    tested = tested_folds(read[train.dataset], train, spec)
    if tested:
        divided = {train.dataset: of_fold(read[train.dataset], train, *tested[0], 0)}
        validation = tested[0][1]
    else:
        divided, validation = _with_parts(read, train, tests, spec)
    counts = _class_counts(divided[train.dataset], train)
    measures = _measure_quality(divided, index, data_cache.display)
    datasets, normaliser = _with_quality(divided, measures, index, spec)

    identity = _identity(spec, {name: data_cache.labels_id(name) for name in names}, weights, index)
    backbone = backbone_name(spec.backbone) + (f":{embeddings.provenance.backbone}" if embeddings else "")
    return Experiment(
        spec=spec,
        run_id=run_id(spec, identity.document(), backbone),
        backbone=backbone,
        identity=identity,
        train=train,
        tests=tests,
        datasets=datasets,
        class_counts=counts,
        validation_patients=validation,
        folds=tuple(patients for patients, _ in tested) or _folds(datasets[train.dataset], train, spec),
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
        class_counts=_class_counts(datasets[experiment.train.dataset], experiment.train),
        validation_patients=tuple(patients),
        quality_normaliser=normaliser,
    )


def weights_of(choice: BackboneChoice, roots: Roots) -> WeightsFile:
    """The file that a backbone's weights are in, which may lie in `weights/` beside the recordings."""
    public = BACKBONES.entry(choice.name).value.published_weights(**choice.params)
    folders = [root / "weights" for root in roots.general]
    return find_weights(choice.weights, public, folders, choice.pretrained_on)


def backbone_name(choice: BackboneChoice) -> str:
    """`timm:resnet18` for an option that the name is given with."""
    option = choice.params.get(BACKBONES.entry(choice.name).value.after_colon)
    return f"{choice.name}:{option}" if option else choice.name


def _given_embeddings(spec: RunSpec, data_cache: DataCache) -> EmbeddingFile | None:
    """The embeddings that a backbone is given instead of sound; None where it needs none."""
    if not BACKBONES.entry(spec.backbone.name).value.needs_embeddings():
        return None
    file = data_cache.embeddings(Path(spec.backbone.weights))
    file.refuse_other_clips(spec.data.clip_s, spec.data.window)
    return file


def _as_weights(file: EmbeddingFile, spec: RunSpec) -> WeightsFile:
    """The file as what the backbone starts from; what the user declares of its past comes first."""
    known = file.provenance
    pretrained_on = spec.backbone.pretrained_on or known.pretrained_on
    return WeightsFile(str(file.path), file.path, file.sha256, known.licence, pretrained_on, known.source)


def _read_clips(
    table: ClipTable, waveforms: Waveforms, embeddings: EmbeddingFile | None, spec: RunSpec
) -> DatasetClips:
    """A data set's clips, all of them part "unused", without a quality."""
    clips, clipped = clip_bounds(table.clips, waveforms.durations_s, table.places)
    clips = clips.assign(class_index=label_map(spec.data.label_map).indices(table))
    paths = table.recordings.set_index("recording")["path"]
    clips = clips.dropna(subset="class_index").assign(
        path=lambda kept: kept["recording"].map(paths), part="unused", fold=-1, quality=np.nan
    )
    clips = clips.astype({"class_index": int}).reset_index(drop=True)
    if embeddings:
        return DatasetClips(table, clips, waveforms, clipped, _embedded(embeddings, table, clips))
    made = BACKBONES.entry(spec.backbone.name).value.given(clips)
    return DatasetClips(table, clips, waveforms, clipped, None if made is None else made[:, np.newaxis])


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
    return tuple(choose_folds(fitted, spec.validation.folds, spec.seed, never))


def _with_parts(
    datasets: Mapping[str, DatasetClips], train: Split, tests: Sequence[Split], spec: RunSpec
) -> tuple[dict[str, DatasetClips], tuple[str, ...]]:
    """The data sets with the part of every clip, and the validation patients.

    These follow from data set, split and seed alone, so that runs are paired whatever they are tested on.
    """
    clips = datasets[train.dataset].clips
    training = train.train_rows(clips)
    _refuse_splits(datasets, train, tests, training)
    never = _patients_elsewhere(datasets[train.dataset], train)
    candidates = clips.loc[training, ["patient", "class_index"]]
    patients = choose_validation(candidates, spec.validation.fraction, spec.seed, never)
    tested = {item.dataset for item in tests}
    divided = {
        name: dataset.with_part("test", pd.Series(name in tested, dataset.clips.index))
        for name, dataset in datasets.items()
    }
    divided[train.dataset] = (
        divided[train.dataset]
        .with_part("fit", training)
        .with_part("validation", training & clips["patient"].isin(patients))
    )
    return divided, patients


def _refuse_splits(
    datasets: Mapping[str, DatasetClips], train: Split, tests: Sequence[Split], training: pd.Series
) -> None:
    """Raise DataError where a split has no clip, or training has what a test split keeps out of it."""
    clips = datasets[train.dataset].clips
    if not training.any():
        raise DataError(f"data.train: split '{train.name}' has no training clip. Choose another with --train.")
    for item in tests:
        rows = item.test_rows(datasets[item.dataset].clips)
        if not rows.any():
            raise DataError(f"data.test: split '{item.name}' has no test clip. Choose another with --test.")
        if item.dataset == train.dataset and (rows & training).any():
            clip = clips["clip_id"][rows & training].iloc[0]
            raise DataError(
                f"data.test: split '{item.name}' holds clips that '{train.name}' trains on (for one, {clip}). "
                "Choose splits that share none."
            )
        kept_out = training & clips["patient"].isin(item.train_without_patients)
        if item.dataset == train.dataset and kept_out.any():
            patients = ", ".join(sorted(set(clips["patient"][kept_out])))
            raise DataError(
                f"data.test: split '{item.name}' keeps patients out of training ({patients}), and '{train.name}' "
                f"trains on them. Train on it too: --train {item.name}."
            )


def _patients_elsewhere(train_data: DatasetClips, train: Split) -> set[str]:
    """Patients with clips outside the training side, whom some test split may hold: they decide nothing."""
    clips = train_data.clips
    return set(clips["patient"][~train.train_rows(clips)])


def _class_counts(dataset: DatasetClips, train: Split) -> tuple[int, ...]:
    counts = np.bincount(dataset.clips["class_index"][dataset.rows("fit")], minlength=len(CLASSES))
    for name, count in zip(CLASSES, counts, strict=True):
        if count == 0:
            raise DataError(
                f"data.train: split '{train.name}' has no training clip of class '{name}'. "
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


def _identity(spec: RunSpec, labels: dict[str, str], weights: WeightsFile, index: QualityIndex) -> Identity:
    parts = registered(spec)
    of_datasets = {f"{DATASETS.kind}:{name}": DATASETS.entry(name) for name in labels if name in DATASETS.names()}
    return Identity(
        labels=labels,
        weights=weights.sha256,
        # What a reader that ships here makes of its files is compared itself: labels, and sketches of the sound.
        plugins={part: code_sha256(it) for part, it in (parts | of_datasets).items() if not is_built_in(it)},
        built_in={part: code_sha256(it) for part, it in parts.items() if is_built_in(it)},
        quality_index=index.fitted_sha256,
    )


def class_table(experiment: Experiment) -> Iterator[tuple[str, str, list[int], int]]:
    """(split, part, clips per class, patients): the training split's parts, then every test split."""
    clips = experiment.train_data.clips
    of_fold_1 = f" of fold 1 of {experiment.train.folds}" if experiment.train.folds else ""
    parts = [(experiment.train.name, part + of_fold_1, clips[clips["part"] == part]) for part in ("fit", "validation")]
    for item in experiment.tests:
        clips = experiment.datasets[item.dataset].clips
        parts.append((item.name, "test", clips[item.test_rows(clips)]))
    for name, part, chosen in parts:
        counts = np.bincount(chosen["class_index"], minlength=len(CLASSES))
        yield name, part, counts.tolist(), int(chosen["patient"].nunique())
