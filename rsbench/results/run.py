"""A run on disk, in whatever state it is: the one door to its record."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from functools import cached_property
from html import escape
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd

from ..core.errors import ResultsError, SpecError, did_you_mean
from ..core.spec import RunSpec
from ..data.splits import known_split, split
from ..data.tasks import Task, task
from ..evaluation.metrics import FloatArray, IntArray
from ..evaluation.operating_point import OperatingPoint, per_clip
from ..evaluation.scoring import HEADLINE, score_run
from ..evaluation.selection import rule
from . import store
from .calls import ARGMAX, OPERATING_POINTS, VAL_BIAS, Predictions, known_point
from .checks import check_data, check_epochs, check_metrics, check_predictions, checked_spec
from .folders import chosen_folders, in_few_words, run_folders
from .judged import Judged, JudgedClips, KnownClips, check_judged, judged_rows, scored_clips
from .schema import Cost, DataUsed, Environment, Metrics, Origin, Selections, SplitUsed, State, Status
from .trained_model import TrainedModel

HERE = "here"  # the origin of a run that nobody brought
PREDICTIONS_ONLY, LABELS_ONLY = "predictions only", "labels only"  # and of what another program predicted


class Run:
    """One run: what it was asked to do, what it was made from, what came out. Nothing is read before it is asked for.

    >>> run = Run.load("qlung-cnn6-s0")
    >>> run.metrics["val"]["icbhi-official"]["argmax"]["score"]
    >>> run.calls("icbhi-official", "val").called("argmax")

    Whatever is asked of a damaged record raises ResultsError with the file, the key and the remedy.
    """

    def __init__(self, path: str | Path) -> None:
        """The run of a folder, `<results>/runs/<run id>`, which need not be there yet."""
        self.path = Path(path)
        self.folder = store.RunFolder(self.path)

    @classmethod
    def load(cls, which: str | Path, results: str | Path = "results") -> Run:
        """One run: by its id, a beginning of it that no other has, a glob that it alone matches, or its folder.

        Raises ResultsError where there is none, and where several are meant.
        """
        found = chosen_folders(Path(results), [str(which)])
        if len(found) > 1:
            raise ResultsError(f"{which}: {len(found)} runs are meant: {in_few_words(found)}. Write out more of one.")
        return cls(found[0])

    @property
    def run_id(self) -> str:
        return self.path.name

    @property
    def status(self) -> Status:
        """Read anew each time: a run may be at work."""
        return self.folder.status()

    @property
    def state(self) -> State:
        """ "absent", "running", "interrupted", "failed" or "done"."""
        return self.status.state

    @property
    def begun(self) -> bool:
        """Whether it came as far as reading its data."""
        return self.folder.has(store.DATA)

    @cached_property
    def spec(self) -> RunSpec:
        """The whole spec: fields that came after the run have their defaults."""
        return checked_spec(self.path, self.folder.read_json(store.SPEC))

    @cached_property
    def data(self) -> DataUsed:
        data = cast(DataUsed, self.folder.read(store.DATA))
        check_data(self.path, data)
        return data

    @cached_property
    def task(self) -> Task:
        """What its clips are told apart into, as its record says, whatever plugin brought it."""
        return self.data.task.as_task() if self.data.task else task(self.spec.data.task)

    @cached_property
    def environment(self) -> Environment:
        return cast(Environment, self.folder.read(store.ENVIRONMENT))

    @cached_property
    def epochs(self) -> pd.DataFrame:
        """A row per epoch, see `schema`."""
        frame = self.folder.read_csv(store.EPOCHS)
        check_epochs(self.path, frame)
        return frame

    @cached_property
    def selection(self) -> Selections:
        """ "val", "last", "cv-refit" or "oracle:<split>" → its epoch."""
        return cast(Selections, self.folder.read(store.SELECTION))

    @cached_property
    def metrics(self) -> Metrics:
        """Rule → split → figures, see `evaluation.scoring.score_predictions`."""
        found = cast(Metrics, self.folder.read(store.METRICS))
        check_metrics(self.path, found)
        return found

    @cached_property
    def cost(self) -> Cost:
        return cast(Cost, self.folder.read(store.COST))

    @cached_property
    def origin(self) -> Origin | None:
        """None of a run that was made here."""
        return cast(Origin, self.folder.read(store.ORIGIN)) if self.folder.has(store.ORIGIN) else None

    @property
    def origin_in_words(self) -> str:
        """As a row of a board has it: "here", "self-reported by …" or "re-run by …"; of predictions that they are."""
        brought = self.origin.in_words() if self.origin else ""
        if not (self.begun and self.data.elsewhere):
            return brought or HERE
        only = LABELS_ONLY if self.data.elsewhere.kind == "labels" else PREDICTIONS_ONLY
        return f"{only}, {brought}" if brought else only

    @property
    def datasets(self) -> list[str]:
        """Those with stored predictions."""
        return list(self.folder.tables(store.PREDICTIONS))

    def predictions(self, dataset: str) -> pd.DataFrame:
        """The stored predictions of a data set: `evaluation.scoring.prediction_columns`, by clip and selection."""
        name = f"{store.PREDICTIONS}/{dataset}.parquet"
        frame = self.folder.read_parquet(name)
        frame = frame if "fold" in frame else frame.assign(fold=-1)  # older than folds that are tested
        check_predictions(self.path / name, frame, self.task)
        return frame

    def sketch(self, dataset: str) -> pd.DataFrame:
        """The audio sketch of a data set (see `data.identity`), a row per recording, by its name."""
        return self.folder.read_parquet(f"{store.SKETCH}/{dataset}.parquet").set_index("recording")

    def sketch_bytes(self, dataset: str) -> bytes:
        """The file that holds it: equal bytes are equal sketches."""
        return self.folder.read_bytes(f"{store.SKETCH}/{dataset}.parquet")

    def tracked(self, split_name: str) -> pd.DataFrame | None:
        """What was hit of each patient of a test split after every epoch; None without the oracle, or in protocol 1."""
        name = f"{store.TRACKED}/{split_name}.parquet"
        return self.folder.read_parquet(name) if self.folder.has(name) else None

    def checkpoint(self, name: str) -> Path:
        """Where weights of this name are, or would be: bundles leave them out."""
        return self.path / store.CHECKPOINTS / name

    @property
    def has_map(self) -> bool:
        """Whether places of its test clips for a map are stored."""
        return (self.path / store.EMBEDDINGS).is_dir()

    def embedded_clips(self, dataset: str) -> pd.DataFrame | None:
        """Predictions under the run's first rule with the column `axes`, each clip's place for a map.

        None where no places are stored.
        """
        name = f"{store.EMBEDDINGS}/{dataset}.npy"
        if not self.folder.has(name):
            return None
        axes = self.folder.read_array(name).astype("float32")
        stored, selection = self.predictions(dataset), self.spec.select[0]
        clips = stored[stored["selection"] == selection]
        if len(clips) != len(axes):
            raise ResultsError(
                f"{self.path / name}: holds {len(axes)} clips, while predictions/{dataset}.parquet has {len(clips)} "
                f"under '{selection}'. Delete it, or run again."
            )
        return clips.assign(axes=list(axes))

    def own_rule(self, rule_name: str) -> str:
        """The rule that predictions are stored under where a board's rule is asked for.

        Those made elsewhere stand on boards of every rule, under what was declared, which boards say.
        """
        return self.spec.select[0] if self.data.elsewhere else rule_name

    @property
    def known_spec(self) -> dict[str, Any]:
        """The spec as JSON has it, without what a record of predictions made elsewhere cannot know."""
        spec = self.spec.model_dump(mode="json")
        if self.data.elsewhere is None:
            return spec
        known = {name: spec[name] for name in ("select", "seed", "protocol")}
        data = {name: spec["data"][name] for name in ("train", "test", "task", "label_map")}
        return {"loss": {"name": spec["loss"]["name"]}, "data": data, **known}

    def judged_on(self, split_name: str, rule_name: str) -> SplitUsed | None:
        """Version and data set of a split for this run; None where the run says nothing about it.

        A split that was not asked for when the run was made is judged from its stored predictions, where they are of a
        data set that the run was only tested on.
        """
        spec, splits = self.spec, self.data.splits
        if self.own_rule(rule_name) not in spec.select:
            return None
        if split_name in spec.data.test:
            return splits[split_name]
        if self.data.elsewhere:  # only clips of the splits that were asked for are there
            return None
        known = known_split(split_name)
        external = {splits[name].dataset for name in spec.data.test} - set(self.data.trained_on(spec))
        # The oracle chose its epoch for the splits that were asked for; for any other it has none.
        if known is None or known.folds or known.dataset not in external or rule(rule_name).judged_on == "test":
            return None
        return SplitUsed(version=known.version, dataset=known.dataset)

    def figures(self, split_name: str, rule_name: str) -> dict[str, Any]:
        """Those of metrics.json; of a split that was not asked for, from the stored predictions."""
        self._refuse_unjudged(split_name, rule_name)
        rule_name = self.own_rule(rule_name)
        stored = self.metrics[rule_name].get(split_name)
        if stored is not None:
            return stored
        predictions = {dataset: self.predictions(dataset) for dataset in self.datasets}
        trained = self.data.trained_on(self.spec)
        return score_run(predictions, [split(split_name)], [rule_name], trained, self.task)[rule_name][split_name]

    def calls(self, split_name: str, rule_name: str) -> Predictions:
        """What the run called each judged clip of a split, at the epoch of a rule.

        Raises ResultsError where it was not judged so, or was on patients whom its quality index was fitted on.
        """
        dataset = self._refuse_unjudged(split_name, rule_name).dataset
        rule_name = self.own_rule(rule_name)
        clips = judged_rows(self, split_name, rule_name, dataset)
        check_judged(self, split_name, rule_name, dataset, len(clips), clips["patient"])
        clips = clips.set_index("clip_id").sort_index()
        return Predictions(self.task, clips, *self._operating_points(split_name, rule_name, clips["fold"].to_numpy()))

    def judged(self, split_name: str, rule_name: str, known: KnownClips) -> Judged:
        """The same as arrays, for readers of thousands of runs: what clips of other runs were like is in `known`."""
        dataset = self._refuse_unjudged(split_name, rule_name).dataset
        rule_name = self.own_rule(rule_name)
        columns = self.task.logit_columns
        stored, others = self.folder.read_columns(f"{store.PREDICTIONS}/{dataset}.parquet", columns)
        clips = known.of(
            *(others, split_name, rule_name, dataset, scored_clips(self, split_name, rule_name)),
            find=lambda: JudgedClips.of(judged_rows(self, split_name, rule_name, dataset), self.task),
        )
        check_judged(self, split_name, rule_name, dataset, len(clips.places), clips.coded.design.patients)
        offsets, _ = self._operating_points(split_name, rule_name, clips.fold)
        logits = np.stack([stored[name].to_numpy()[clips.places] for name in columns], axis=1, dtype=np.float64)
        return Judged(clips, logits, offsets)

    def _operating_points(
        self, split_name: str, rule_name: str, fold: IntArray
    ) -> tuple[dict[str, float | FloatArray], float | FloatArray | None]:
        """Operating point → its offset for clips of these folds (N,), and the temperature; None without validation."""
        scored = self.metrics[rule_name]
        # A split that was not asked for has the operating point of the others: one epoch was chosen for all.
        figures = scored.get(split_name) or next(iter(scored.values()))
        chosen = figures.get("operating_point", {})
        offsets: dict[str, float | FloatArray] = {ARGMAX: 0.0}
        if VAL_BIAS in figures:
            offsets[VAL_BIAS] = per_clip(chosen["normal_offset"], fold)
        return offsets, per_clip(chosen["temperature"], fold) if chosen else None

    def choice(self, selection: str | None = None, at: str | None = None) -> TrainedModel:
        """Which epoch, and which operating point, the run is used at.

        Args:
            selection: whose epoch, e.g. "val"; None: that of the run's first rule.
            at: "argmax" or "val-bias"; None: "val-bias", or "argmax" where validation gave no offset.

        Raises:
            ResultsError: the run is not finished, or its record is damaged.
            SpecError: it has no such selection or operating point.
        """
        if (state := self.state) != "done":
            raise ResultsError(
                f"{self.path}: the run is {state}, and only one that is done can be used. Finish it first."
            )
        if self.data.elsewhere:
            raise ResultsError(f"{self.path}: holds predictions that another program made, and no model.")
        if self.data.validation_folds:
            raise ResultsError(
                f"{self.path}: the run had a model for each of its {len(self.data.folds)} folds, and keeps none of "
                "them. For a model to use, train one on all patients: rsbench run --select cv-refit."
            )
        selection = selection or next(iter(self.selection))
        if selection not in self.selection:
            raise SpecError(
                f"--select {selection}: this run chose no epoch so.{did_you_mean(selection, self.selection)}"
            )
        rule_name, _, own_split_name = selection.partition(":")
        judged = self.metrics[rule_name]
        # An oracle's epoch was chosen for one split, and is judged there alone.
        figures = {own_split_name: judged[own_split_name]} if own_split_name else judged
        of_any = next(iter(figures.values()))  # the operating point is the same on all splits
        at = known_point(at, of_any)
        fitted = of_any.get("operating_point", {"temperature": 1.0})
        point = OperatingPoint(fitted["normal_offset"] if at == VAL_BIAS else 0.0, fitted["temperature"])
        epoch = self.selection[selection].epoch
        return TrainedModel(self, selection, epoch, figures, at, point, "operating_point" in of_any)

    def table(self) -> pd.DataFrame:
        """Its figures in percent: a row per rule, split and operating point, with epoch, sp, se and score."""
        rows = [
            {"rule": name, "split": judged, "at": point, "epoch": self.selection[rule(name).selection(judged)].epoch}
            | {key: figures[point][key] for key in HEADLINE}
            for name, splits in self.metrics.items()
            for judged, figures in splits.items()
            for point in OPERATING_POINTS
            if point in figures
        ]
        return pd.DataFrame(rows)

    def __repr__(self) -> str:
        if self.state != "done":
            return f"<Run {self.run_id}: {self.state}>"
        first = self.table().drop_duplicates("split")
        scores = ", ".join(f"{row['split']} {row['score']:.1f}" for row in first.to_dict("records"))
        return f"<Run {self.run_id}: Score {scores} ({first['rule'].iloc[0]}, epoch {first['epoch'].iloc[0]})>"

    def _repr_html_(self) -> str:
        """A table in a notebook."""
        figures = self.table().to_html(index=False, float_format="{:.1f}".format) if self.state == "done" else ""
        return f"<p><b>{escape(self.run_id)}</b>: {self.state}, in {escape(str(self.path))}</p>{figures}"

    def _refuse_unjudged(self, split_name: str, rule_name: str) -> SplitUsed:
        judged = self.judged_on(split_name, rule_name)
        if judged is None:
            raise ResultsError(f"{self.run_id}: was not judged on '{split_name}' under '{rule_name}'.")
        return judged


def load_runs(results: Path) -> list[Run]:
    """All runs under `<results>/runs`, by name, in whatever state. Raises ResultsError where there is no folder."""
    return [Run(folder) for folder in run_folders(results)]


def chosen_runs(results: Path, words: Sequence[str]) -> list[Run]:
    """The runs that words mean, see `chosen_folders`. Raises ResultsError for a word that means none."""
    return [Run(folder) for folder in chosen_folders(results, words)]


@contextlib.contextmanager
def as_written(*runs: Run) -> Iterator[None]:
    """Turn what files that are whole, but of another shape, make their reader raise into ResultsError."""
    try:
        yield
    except store.ANOTHER_SHAPE as error:
        places = " or ".join(str(run.path) for run in runs)
        raise ResultsError(
            f"{places}: a record is not as rsbench writes it ({type(error).__name__}: {error}). Delete that folder and "
            "run it again, or read it with the version of rsbench that wrote it."
        ) from error
