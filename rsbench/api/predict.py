"""What a finished run's model says of recordings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from ..core.display import Display
from ..core.errors import SpecError
from ..core.plugins import load, prints_apart
from ..experiment.context import DEFAULT_THREADS, device_named
from ..inference.classifier import changed_code, load_classifier
from ..inference.prediction import Heard, Predictor, probability_columns
from ..inference.recordings import Annotations, make_plan
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
    """What a model says of clips, a row each.

    Attributes:
        model: the run, its epoch and its operating point.
        heard: the rows, and messages about recordings that could not be read (`errors`) or sound odd (`notes`).
    """

    model: TrainedModel
    heard: Heard

    @property
    def sheets(self) -> Sequence[Sheet]:
        return [Sheet(prediction_table(self.model, self.heard.rows), self.heard.rows, self.model.about())]

    def figure(self) -> ReportFigure:
        """The probabilities of the first clips."""
        from ..report.figures.results import prediction_figure

        return prediction_figure(self.heard.rows, probability_columns(self.model.run.task), self.model.describe())


def predict(  # noqa: PLR0913 (all that a prediction can be told)
    run: str | Path | Run,
    sounds: str | Path | Sequence[str | Path],
    *,
    results: str | Path = "results",
    select: str | None = None,
    at: str | None = None,
    annotations: str | None = None,
    hop_s: float | None = None,
    plugins: Sequence[str] = (),
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
        select: whose epoch, e.g. "val"; None: that of the run's first rule.
        at: "val-bias" or "argmax"; None: "val-bias" where the run has one.
        annotations: the folder where annotations lie, or "none"; None: beside each recording.
        hop_s: seconds from a window to the next; None: a whole window.
        plugins: files or modules that register what the run was made with.
        device: "auto", "cpu", "cuda" or "cuda:N".
        threads: CPU threads; None: all cores.
        quiet: say nothing on standard error.

    A recording that cannot be read stops no other: it has no row, but a message in `heard.errors` and on
    standard error.

    Raises ResultsError where there is no such run or it is not done, SpecError where it has no such rule.
    """
    for plugin in plugins:
        load(plugin)
    given = [sounds] if isinstance(sounds, str | Path) else sounds
    if hop_s is not None and hop_s < SHORTEST_HOP_S:
        raise SpecError(f"hop_s {hop_s:g}: windows are at least {SHORTEST_HOP_S} s apart. Give a larger one.")
    model = (run if isinstance(run, Run) else Run.load(run, results)).choice(select, at)
    display = Display(quiet=quiet)
    with prints_apart():
        heard = hear(model, [Path(sound) for sound in given], annotations, hop_s, device, threads, display)
    for message in (*heard.notes, *heard.errors):
        display.say(message)
    return PredictedClips(model, heard)


def hear(
    model: TrainedModel,
    sounds: Sequence[Path],
    annotations: str | None,
    hop_s: float | None,
    device: str,
    threads: int | None,
    display: Display,
) -> Heard:
    """What a model makes of recordings; the display is told of it before it begins."""
    torch.set_num_threads(threads or DEFAULT_THREADS)
    predictor = Predictor(model, load_classifier(model), device_named(device))
    clip_s = model.run.spec.data.clip_s
    planned = make_plan(sounds, Annotations(annotations, sounds), clip_s, hop_s or clip_s)
    for line in (*changed_code(model.run), *planned.describe()):
        display.say(line)
    return predictor.predict_all(planned, display)
