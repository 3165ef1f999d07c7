"""What data.json says of a prepared run: what it is made from, before any training."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from ..data.identity import clips_id
from ..data.splits import Split
from ..data.tasks import ICBHI_4, Task
from ..quality.leakage import index_used
from ..results.schema import SCHEMA_VERSION, DatasetUsed, DataUsed, LabelMapUsed, SplitUsed, TaskUsed, WeightsUsed
from .identity import plugins_of
from .parts import of_fold
from .prepare import DatasetClips, Experiment


def data_record(experiment: Experiment, weights: WeightsUsed) -> DataUsed:
    """What data.json says. weights: what the backbone was given of its own."""
    task = experiment.task
    used = task.label_map(experiment.spec.data.label_map)
    every = (*experiment.trains, *experiment.tests)
    fitted = _fitted(experiment)
    whose = ["dataset", "clip_id"]
    classes = np.bincount(fitted.drop_duplicates(whose)["class_index"], minlength=len(task.classes)).tolist()
    names = fitted["clip_id"] if not experiment.tested_folds else fitted["fold"].astype(str) + ":" + fitted["clip_id"]
    return DataUsed(
        schema_version=SCHEMA_VERSION,
        backbone=experiment.backbone,
        track=experiment.track,
        identity=experiment.identity,
        plugins=plugins_of(experiment.spec, experiment.datasets),
        splits={split.name: SplitUsed(version=split.version, dataset=split.dataset) for split in every},
        label_map=LabelMapUsed(name=used.name, version=used.version),
        task=task_used(task),
        synthetic=experiment.synthetic,
        partial=experiment.partial,
        train_patients=len(fitted[["dataset", "patient"]].drop_duplicates()),
        validation_patients=() if experiment.tested_folds else experiment.validation_patients,
        folds=experiment.folds,
        validation_folds=experiment.validation_folds,
        fitted_id=clips_id(names, fitted["class_index"]),
        domains=experiment.domains,
        class_counts=dict(zip(task.classes, classes, strict=True)),
        quality_index=index_used(experiment.index),
        quality_normaliser={} if experiment.tested_folds else experiment.quality_normaliser,
        datasets={
            name: dataset_used(_as_tested(clips, experiment.tests), task) for name, clips in experiment.datasets.items()
        },
        weights=weights,
    )


def _fitted(experiment: Experiment) -> pd.DataFrame:
    """The clips that are trained on, with a column `dataset`; of a split with folds, those of every fold."""
    if not experiment.tested_folds:
        return experiment.fitted
    parted = enumerate(zip(experiment.folds, experiment.validation_folds, strict=True))
    every = [of_fold(experiment.train_data, experiment.train, *fold, number) for number, fold in parted]
    fitted = pd.concat([one.clips.iloc[one.rows("fit")] for one in every])
    return fitted.assign(dataset=experiment.train.dataset)


def _as_tested(dataset: DatasetClips, tests: Sequence[Split]) -> DatasetClips:
    """Where a split has folds, all of its clips as tested: each is by one of them."""
    for item in tests:
        if item.folds:
            return dataset.with_part("test", item.test_rows(dataset.clips))
    return dataset


def task_used(task: Task) -> TaskUsed | None:
    """What data.json says of a task; nothing of the default one."""
    if task == ICBHI_4:
        return None
    return TaskUsed(
        name=task.name,
        classes=task.classes,
        reference=task.reference,
        findings=dict(task.findings),
        level=task.level,
        kind=task.kind,
        metrics=task.metrics,
    )


def dataset_used(clips: DatasetClips, task: Task) -> DatasetUsed:
    """What data.json says of a data set."""
    counts = clips.clips.groupby("part")["class_index"].value_counts().unstack(fill_value=0)
    return DatasetUsed(
        recordings=len(clips.table.recordings),
        clips=len(clips.clips),
        clips_per_part={
            str(part): {task.classes[int(str(index))]: int(n) for index, n in row.items()}
            for part, row in counts.iterrows()
        },
        missing_recordings=len(clips.table.missing),
        clipped_ends=clips.clipped_ends,
        bytes_id=clips.waveforms.bytes_id,
        notes=tuple(clips.table.notes),
        words=clips.table.words_used,
    )
