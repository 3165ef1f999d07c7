"""Recordings to class probabilities and quality, through the very pipeline that the run was trained with."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from ..core.display import Advance, Display
from ..core.errors import DataError
from ..data.audio import decode
from ..data.clips import clip_bounds
from ..data.tasks import Task
from ..data.waveforms import Waveforms, of_recording
from ..data.windows import clip_window
from ..evaluation.metrics import predicted_classes
from ..experiment.build import gather_from
from ..quality.index import create_quality
from ..quality.measuring import measure_recording
from ..results.trained_model import TrainedModel
from ..training.predict import exact
from .classifier import Classifier
from .recordings import Recording, WindowPlan


def probability_columns(task: Task) -> tuple[str, ...]:
    """The columns of class probabilities, in the order of the classes."""
    return tuple(f"p_{name}" for name in task.classes)


def columns_of(task: Task) -> tuple[str, ...]:
    """The columns of what a run says of clips."""
    return (
        "recording",  # its path, as it was given
        "start_s",
        "end_s",
        "label",  # the annotation's own word; "" where there is none
        "called",
        *probability_columns(task),
        "quality",  # in [0, 1], by the run's index and normaliser; of the whole clip
    )


@dataclass(frozen=True)
class Heard:
    """What became of some recordings.

    rows: `columns_of` the task, a row per clip. errors: a message for each recording that could not be heard.
    notes: one for each that was, and whose sound is odd.
    """

    rows: pd.DataFrame
    errors: tuple[str, ...]
    notes: tuple[str, ...]


class Predictor:
    """A run's classifier and quality index on a device, ready for recordings."""

    def __init__(self, choice: TrainedModel, classifier: Classifier, device: torch.device) -> None:
        self.point = choice.point
        self.spec = choice.run.spec
        self.task = choice.run.task
        self.normaliser = choice.run.data.quality_normaliser
        self.classifier = classifier.to(device)
        self.device = device
        self.index = create_quality(self.spec.quality.name, **self.spec.quality.params)

    def predict_all(self, planned: WindowPlan, display: Display) -> Heard:
        """Hear one recording after the other; one that cannot be heard stops none."""
        rows, errors, notes = [], list(planned.errors), []
        with display.track("predicting", planned.clips) as advance:
            for recording in planned.recordings:
                try:
                    heard, oddities = self.predict(recording, advance)
                    rows.append(heard)
                    notes += [f"{recording.path}: {what}; what is said of it means little" for what in oddities]
                except DataError as error:
                    errors.append(str(error))
                    advance(len(recording.clips), "")
        found = pd.concat(rows, ignore_index=True) if rows else pd.DataFrame(columns=columns_of(self.task))
        return Heard(found, tuple(errors), tuple(notes))

    def predict(self, recording: Recording, advance: Advance) -> tuple[pd.DataFrame, tuple[str, ...]]:
        """`columns_of` a recording's clips, and what is odd about its sound.

        Raises DataError where it cannot be read, a clip lies outside it, or what the model says of it is no number.
        """
        name = str(recording.path)
        sound = decode(recording.path)
        native, native_rate = sound.samples, sound.info.rate
        waveforms = of_recording(name, native, native_rate, self.classifier.frontend.rate)
        ids = [f"{name}:{number}" for number in range(len(recording.clips))]
        clips, _ = clip_bounds(recording.clips.assign(clip_id=ids, recording=name), waveforms.durations_s)
        logits, probabilities = self._classify(waveforms, clips, recording, advance)
        if not np.isfinite(logits).all():  # weights are finite, or they are refused when they are read
            start_s = clips["start_s"][~np.isfinite(logits).all(axis=1)].iloc[0]
            raise DataError(
                f"{name}: its clip at {start_s:g} s gets no numbers from the model. Mend it, or leave it out."
            )
        wanted = [(self.index, clips[["start_s", "end_s"]].to_numpy())]
        [measures] = measure_recording(wanted, name, native, native_rate)
        called = predicted_classes(logits, self.point.normal_offset)
        rows = clips.assign(
            called=[self.task.classes[index] for index in called],
            **dict(zip(probability_columns(self.task), probabilities.T, strict=True)),
            quality=self.index.score(np.array(measures), self.normaliser),
        )
        return rows[list(columns_of(self.task))], sound.oddities()

    def _classify(
        self, waveforms: Waveforms, clips: pd.DataFrame, recording: Recording, advance: Advance
    ) -> tuple[np.ndarray, np.ndarray]:
        """(N, C) logits and probabilities."""
        window = clip_window(self.spec.data.window)
        if not recording.annotated:
            window = window.of_cuts()
            # The length of a clip cuts windows, not their end: rounding must not make one a sample short, and padded.
            clips = clips.assign(end_s=math.inf)
        clip_s, frontend = self.spec.data.clip_s, self.classifier.frontend
        gatherer = gather_from(waveforms, clips, frontend, clip_s, window, self.device)
        found = []
        with exact(self.device), torch.inference_mode():
            for rows in torch.arange(len(clips)).split(self.spec.optim.batch_size):
                found.append(self.classifier(gatherer.gather(rows), gatherer.heard_samples(rows)))
                advance(len(rows), recording.path.name)
        logits, probabilities = (torch.cat(parts).cpu().numpy() for parts in zip(*found, strict=True))
        return logits, probabilities
