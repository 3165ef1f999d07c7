"""What a finished run's model says of recordings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import pandas as pd
import torch

from ..core.display import Display
from ..core.errors import SpecError, did_you_mean
from ..core.plugins import load, prints_apart
from ..experiment.context import DEFAULT_THREADS, device_named
from ..inference.classifier import changed_code, load_classifier, refuse_synthetic
from ..inference.pooled import POOLED_IN_WORDS, Per, pooled
from ..inference.prediction import Heard, Predictor, probability_columns
from ..inference.recordings import Annotations, WindowPlan, make_plan
from ..quality.scale import QualityScale
from ..report.tables.formats import Sheet
from ..report.tables.prediction import prediction_table
from ..results.run import Run
from ..results.trained_model import TrainedModel
from .result import Result

if TYPE_CHECKING:
    from ..report.figures.figure import ReportFigure

SHORTEST_HOP_S = 0.01


@dataclass(frozen=True, repr=False)
class PredictedClips(Result):
    """What a model says of clips, of recordings or of patients, a row each.

    Attributes:
        model: the run, its epoch and its operating point.
        heard: what was said of each clip, and messages about recordings that could not be read (`errors`) or sound odd
            (`notes`).
        per: what a row is of.
    """

    model: TrainedModel
    heard: Heard
    per: Per = "clip"

    @cached_property
    def rows(self) -> pd.DataFrame:
        """A row per clip, recording or patient; see `inference.pooled`."""
        return pooled(self.heard, self.model.run.task, self.model.point, self.per)

    @property
    def about(self) -> dict[str, Any]:
        """What the rows have in common, for a program."""
        pooling = {"pooling": POOLED_IN_WORDS[self.per]} if self.per != "clip" else {}
        return {
            **self.model.about(),
            "per": self.per,
            **pooling,
            "quality_scale": QualityScale(self.model.run).in_words,
        }

    @property
    def sheets(self) -> Sequence[Sheet]:
        about = self.about
        notes = [f"Each {self.per}: {about['pooling']}."] if "pooling" in about else []
        table = prediction_table(self.model, self.rows, [*notes, f"quality: {about['quality_scale']}."])
        return [Sheet(table, self.rows, about)]

    def figure(self) -> ReportFigure:
        """The probabilities of the first clips."""
        from ..report.figures.results import prediction_figure

        return prediction_figure(self.heard.rows, probability_columns(self.model.run.task), self.model.describe())


def predict(  # noqa: PLR0913 (all that a prediction can be told)
    run: str | Path | Run,
    sounds: str | Path | Sequence[str | Path],
    *,
    results: str | Path = "results",
    per: Per = "clip",
    select: str | None = None,
    at: str | None = None,
    annotations: str | None = None,
    patients: str | Path | None = None,
    hop_s: float | None = None,
    plugins: Sequence[str] = (),
    yes_synthetic: bool = False,
    device: str = "auto",
    threads: int | None = None,
    quiet: bool = False,
) -> PredictedClips:
    """Class probabilities and quality of recordings, as `rsbench predict` has them. Not a medical device.

    >>> rsbench.predict("qlung-cnn6-s0", "recordings/").frame

    Args:
        run: a finished run, or its id, a beginning of it that no other has, or its folder.
        sounds: recordings, and folders of recordings.
        results: the folder that holds runs/.
        per: "clip", "recording" or "patient": what a row is of.
        select: whose epoch, e.g. "val"; None: that of the run's first rule.
        at: "val-bias" or "argmax"; None: "val-bias" where the run has one.
        annotations: the folder where annotations lie, or "none"; None: beside each recording.
        patients: a csv with the columns path and patient, for `per="patient"`.
        hop_s: seconds from a window to the next; None: a whole window.
        plugins: files or modules that register what the run was made with.
        yes_synthetic: use a run that was trained on generated recordings all the same.
        device: "auto", "cpu", "cuda" or "cuda:N".
        threads: CPU threads; None: all cores.
        quiet: say nothing on standard error.

    A recording that cannot be read stops no other: it has no row, but a message in `heard.errors` and on
    standard error.

    Raises ResultsError where there is no such run or it is not done, SpecError where it has no such rule, learnt from
    generated recordings, or needs a plugin that is not loaded, DataError where nothing says whose a recording is.
    """
    for plugin in plugins:
        load(plugin)
    known_per(per)
    given = [sounds] if isinstance(sounds, str | Path) else sounds
    if hop_s is not None and hop_s < SHORTEST_HOP_S:
        raise SpecError(f"hop_s {hop_s:g}: windows are at least {SHORTEST_HOP_S} s apart. Give a larger one.")
    model = (run if isinstance(run, Run) else Run.load(run, results)).choice(select, at)
    refuse_synthetic(model, accepted=yes_synthetic)
    display = Display(quiet=quiet)
    listed = Path(patients) if patients is not None else None
    planned = plan(model, [Path(sound) for sound in given], annotations, listed, hop_s, per)
    with prints_apart():
        heard = hear(model, planned, device, threads, display)
    for message in (*heard.notes, *heard.errors):
        display.say(message)
    return PredictedClips(model, heard, per)


def known_per(per: str) -> None:
    """Raise SpecError for what no row can be of."""
    if per not in get_args(Per):
        raise SpecError(f"--per {per}: a row is of a {', a '.join(get_args(Per))}.{did_you_mean(per, get_args(Per))}")


def plan(
    model: TrainedModel,
    sounds: Sequence[Path],
    annotations: str | None,
    patients: Path | None,
    hop_s: float | None,
    per: Per,
) -> WindowPlan:
    """What is to be heard, before any of it is. Raises DataError where rows are of patients and one is not known."""
    clip_s = model.run.spec.data.clip_s
    planned = make_plan(sounds, Annotations(annotations, sounds, patients), clip_s, hop_s or clip_s)
    if per == "patient":
        planned.refuse_unknown_patients()
    return planned


def hear(model: TrainedModel, planned: WindowPlan, device: str, threads: int | None, display: Display) -> Heard:
    """What a model makes of recordings; the display is told of it before it begins."""
    torch.set_num_threads(threads or DEFAULT_THREADS)
    predictor = Predictor(model, load_classifier(model), device_named(device))
    for line in (*changed_code(model.run), *planned.describe()):
        display.say(line)
    return predictor.predict_all(planned, display)
