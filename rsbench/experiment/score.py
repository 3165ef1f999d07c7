"""Predictions that another program made, as a record like that of a run: boards, pairs and reports take it as it is."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from ..core.errors import DataError, SpecError, did_you_mean
from ..core.spec import (
    DEFAULT_TASK,
    LARGEST_SEED,
    BackboneChoice,
    Choice,
    DataPart,
    QualityChoice,
    RunSpec,
    ValidationPart,
    run_id,
)
from ..core.text import SIGNS, is_plain_word
from ..data.predicted import TOLD, PredictionsFile, read_predicted, refuse_other_clips
from ..data.splits import Split, split
from ..data.tasks import Task, task
from ..evaluation.selection import DECLARED, rule
from ..results.elsewhere import write_record
from ..results.run import Run
from ..results.schema import (
    SCHEMA_VERSION,
    DataUsed,
    Identity,
    LabelMapUsed,
    PredictedElsewhere,
    SplitUsed,
    WeightsUsed,
)
from .context import DataCache
from .identity import code_of_readers, code_of_task
from .parts import refuse_other_editions, refuse_splits
from .predict import prediction_frame
from .prepare import EMBEDDED_RATE_HZ, DatasetClips, labelled_clips
from .record import dataset_used, task_used

NAME = "predictions"  # in place of a backbone's
UNKNOWN = "unknown"


@dataclass(frozen=True)
class Declared:
    """What is said of predictions.

    pretrained_on: what the method's weights had learnt from, in its authors' words. task: what they tell apart.
    """

    method: str
    select: str
    seed: int
    pretrained_on: tuple[str, ...] = (UNKNOWN,)
    task: str = DEFAULT_TASK


def pretraining(said: str | Sequence[str]) -> tuple[str, ...]:
    """What weights had learnt from, as names: of a text those between its commas, and of "none" there are none."""
    names = said.split(",") if isinstance(said, str) else said
    return tuple(name.strip() for name in names if name.strip() not in ("", "none"))


def score_predictions(
    predictions: Path | pd.DataFrame,
    declared: Declared,
    tests: Sequence[str],
    train: str | None,
    validation: Path | pd.DataFrame | None,
    out: Path,
    data_cache: DataCache,
) -> Run:
    """Judge predictions, and keep them in `<out>/runs/<run id>`; return at once where that is done already.

    Args:
        predictions: of all test clips; a file or a frame, see `data.predicted`.
        declared: what they are, and how their epoch was chosen.
        tests: names of the test splits.
        train: name of the split that was trained on; default: the first test split, where it has a training side.
        validation: predictions of clips of the training side that were not trained on, for offset and temperature.
        out: the results folder.
        data_cache: where the data sets are read from.

    Raises:
        SpecError: a name or a split that cannot be.
        DataError: what is wrong with the predictions or the data sets; see `refuse_other_clips`.
    """
    _check(declared)
    own = data_cache.roots.own_datasets()
    judged = [split(name, own) for name in tests]
    trained = split(train, own) if train else judged[0]
    _check_splits(judged, trained)
    of = task(declared.task)
    found = read_predicted(predictions, of)
    validated = None if validation is None else read_predicted(validation, of)
    if not {*TOLD} & {*found.rows}:
        data_cache.display.say(
            f"{found.path}: has no column 'class', so clips in a wrong order would not be noticed; where your program "
            "made the clip ids, write beside each the class that it took the clip for"
        )
    spec = _spec(declared, judged, trained)
    datasets = _datasets(judged, trained, of, data_cache)
    rows = _rows(found, validated, judged, trained, datasets, spec.select[0], of)
    data = _data_record(found, validated, declared, judged, trained, datasets, rows, data_cache)
    run = Run(out / "runs" / run_id(spec, data.identity.document(), NAME))
    with run.folder.locked():
        if run.state == "done":
            data_cache.display.say(f"already done: {run.path}")
            return run
        sketches = {name: of.waveforms.sketch for name, of in datasets.items()}
        write_record(run, spec, data, rows, judged, sketches)
    return Run(run.path)


def _check(declared: Declared) -> None:
    if not is_plain_word(declared.method):
        raise SpecError(f"--method {declared.method}: write one word, of letters, digits and {SIGNS}.")
    if (level := task(declared.task).level) != "clip":
        raise SpecError(
            f"--task {declared.task}: is about a {level}, and predictions of annotated clips are judged here. Choose "
            "another task; see: rsbench list tasks."
        )
    if declared.select not in DECLARED:
        raise SpecError(
            f"--select {declared.select}: say how the epoch was chosen; unknown where nobody knows."
            f"{did_you_mean(declared.select, DECLARED)}"
        )
    if not 0 <= declared.seed <= LARGEST_SEED:
        raise SpecError(f"seed {declared.seed}: give a whole number from 0 to {LARGEST_SEED}.")


def _check_splits(judged: Sequence[Split], trained: Split) -> None:
    folded = next((item.name for item in (*judged, trained) if item.folds), None)
    if folded:
        raise SpecError(f"--test {folded}: each of its folds has a model of its own. Name a split without folds.")
    if not trained.train:
        raise SpecError(
            f"--test {trained.name}: has no training side. Say what was trained on: --train SPLIT, for example "
            "--train icbhi-official."
        )


def _spec(declared: Declared, judged: Sequence[Split], trained: Split) -> RunSpec:
    """A spec that says what is known, see `Run.known_spec`."""
    return RunSpec(
        loss=Choice(name=declared.method),
        backbone=BackboneChoice(name=NAME, pretrained_on=declared.pretrained_on),
        frontend=None,
        quality=QualityChoice(control="constant"),  # qualities are of no clip
        data=DataPart(
            train=trained.name,
            test=tuple(item.name for item in judged),
            task=declared.task,
            label_map=task(declared.task).label_map().name,
        ),
        validation=ValidationPart(fraction=0),
        select=(DECLARED[declared.select],),
        seed=declared.seed,
    )


def _datasets(judged: Sequence[Split], trained: Split, of_task: Task, data_cache: DataCache) -> dict[str, DatasetClips]:
    """Clips of all splits' data sets, a quality of 1 each; test clips are part "test", the training side "fit"."""
    made = {}
    for name in dict.fromkeys(item.dataset for item in (*judged, trained)):
        table, waveforms = data_cache.table(name), data_cache.waveforms(name, EMBEDDED_RATE_HZ)
        clips, clipped = labelled_clips(table, waveforms, of_task, of_task.label_map().name)
        made[name] = DatasetClips(table, clips.assign(quality=1.0), waveforms, clipped, None)
    training = trained.train_rows(made[trained.dataset].clips)
    refuse_splits(made, trained, judged, training)
    refuse_other_editions((trained,), judged, {name: of.table for name, of in made.items()})
    made[trained.dataset] = made[trained.dataset].with_part("fit", training)
    for item in judged:
        of = made[item.dataset]
        made[item.dataset] = of.with_part("test", item.test_rows(of.clips))
    return made


def _rows(
    found: PredictionsFile,
    validated: PredictionsFile | None,
    judged: Sequence[Split],
    trained: Split,
    datasets: dict[str, DatasetClips],
    rule_name: str,
    of_task: Task,
) -> dict[str, pd.DataFrame]:
    """Predictions by data set as a record stores them; the parts of `datasets` follow, where clips validated."""
    every = pd.concat([_told(of.clips, name, of_task) for name, of in datasets.items()], ignore_index=True)
    test = every[every["part"] == "test"]
    named = " or ".join(f"'{item.name}'" for item in judged)
    refuse_other_clips(found, test, every, f"a test clip of {named}")
    if validated:
        datasets[trained.dataset] = _with_validation(validated, every, trained, datasets[trained.dataset])
    frames: dict[str, list[pd.DataFrame]] = {name: [] for name in datasets}
    for mark, items in itertools.groupby(judged, lambda item: rule(rule_name).selection(item.name)):
        of_mark = list(items)
        for name, of in datasets.items():
            rows = [item.test_rows(of.clips) for item in of_mark if item.dataset == name]
            tested = of.clips[np.any(rows, axis=0)] if rows else of.clips[:0]
            frames[name].append(_frame(found, tested, name, mark, of_task))
        if validated:
            clips = datasets[trained.dataset].clips
            frames[trained.dataset].append(
                _frame(validated, clips[clips["part"] == "validation"], trained.dataset, mark, of_task)
            )
    return {name: pd.concat(parts, ignore_index=True) for name, parts in frames.items()}


def _told(clips: pd.DataFrame, dataset: str, of_task: Task) -> pd.DataFrame:
    """Clips as `refuse_other_clips` takes them."""
    names = pd.Index(of_task.classes)[clips["class_index"]]
    told = clips[["clip_id", "label", "subset", "patient", "part"]].assign(dataset=dataset)
    return told.assign(**{"class": names})


def _with_validation(validated: PredictionsFile, every: pd.DataFrame, trained: Split, of: DatasetClips) -> DatasetClips:
    """The data set that was trained on, with the clips of a file as its validation."""
    _, places = validated.of(every)
    wanted = every.iloc[places]
    wanted = wanted[(wanted["part"] == "fit") & (wanted["dataset"] == trained.dataset)]
    refuse_other_clips(validated, wanted, every, f"a training clip of '{trained.name}'")
    of_both = set(wanted["patient"]) & set(of.clips.loc[of.clips["part"] == "test", "patient"])
    if of_both:
        raise DataError(
            f"{validated.path}: column 'clip_id': patients {', '.join(sorted(of_both))} are tested too, and may choose "
            "nothing. Leave their clips out."
        )
    return of.with_part("validation", of.clips["clip_id"].isin(wanted["clip_id"]))


def _frame(found: PredictionsFile, clips: pd.DataFrame, dataset: str, mark: str, of_task: Task) -> pd.DataFrame:
    here, places = found.of(clips.assign(dataset=dataset))
    logits = np.full((len(clips), len(of_task.classes)), np.nan)
    logits[places] = found.logits[here]
    return prediction_frame(clips, logits, np.full(len(clips), np.nan), mark, of_task)


def _data_record(
    found: PredictionsFile,
    validated: PredictionsFile | None,
    declared: Declared,
    judged: Sequence[Split],
    trained: Split,
    datasets: Mapping[str, DatasetClips],
    rows: Mapping[str, pd.DataFrame],
    data_cache: DataCache,
) -> DataUsed:
    clips = datasets[trained.dataset].clips
    training = clips[trained.train_rows(clips)]
    of_validation = clips.loc[clips["part"] == "validation", "patient"]
    fitted = training[training["part"] != "validation"]
    of_task = task(declared.task)
    used = of_task.label_map()
    return DataUsed(
        schema_version=SCHEMA_VERSION,
        backbone=NAME,
        track=NAME,
        identity=Identity(
            labels={name: data_cache.labels_id(name) for name in datasets},
            weights="",
            plugins=code_of_readers(datasets) | code_of_task(declared.task),
            predictions=_sha256(rows),
        ),
        splits={item.name: SplitUsed(version=item.version, dataset=item.dataset) for item in (trained, *judged)},
        label_map=LabelMapUsed(name=used.name, version=used.version),
        task=task_used(of_task),
        synthetic=any(of.table.synthetic for of in datasets.values()),
        partial=any(of.table.partial for of in datasets.values()),
        train_patients=training["patient"].nunique(),
        validation_patients=tuple(sorted(set(of_validation))),
        folds=(),
        class_counts={
            name: int((fitted["class_index"] == number).sum()) for number, name in enumerate(of_task.classes)
        },
        quality_normaliser={},
        datasets={name: dataset_used(of, of_task) for name, of in datasets.items()},
        weights=WeightsUsed(
            source=UNKNOWN, sha256="", licence="", pretrained_on=declared.pretrained_on, origin="", loaded=0.0
        ),
        elsewhere=PredictedElsewhere(
            declared=declared.select,
            kind=found.kind,
            files=tuple(one.path.name for one in (found, validated) if one),
        ),
    )


def _sha256(rows: Mapping[str, pd.DataFrame]) -> str:
    """Of what is predicted of which clip, whatever file it came in and in whatever order."""
    digest = hashlib.sha256()
    for name, frame in sorted(rows.items()):
        told = frame[["selection", "clip_id", *(one for one in frame if str(one).startswith("logit_"))]]
        digest.update(f"{name}\n{told.sort_values(['selection', 'clip_id']).to_csv(index=False)}".encode())
    return digest.hexdigest()
