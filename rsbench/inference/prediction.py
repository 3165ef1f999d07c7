"""Recordings to class probabilities and quality, through the very pipeline that the run was trained with."""

from __future__ import annotations

import math
from collections.abc import Mapping
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
from ..quality.faults import faults_in_words
from ..quality.measuring import measure_recording
from ..quality.scale import QualityScale
from ..results.trained_model import TrainedModel
from ..training.predict import exact
from .classifier import Classifier
from .recordings import Recording, WindowPlan

QUALITY_COLUMNS = (
    "quality",  # of the whole clip by the run's index, see `QualityScale`
    "quality_percentile",  # 0 to 100: how many of the reference recordings are no better; NaN without a reference
)


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
        *QUALITY_COLUMNS,
    )


@dataclass(frozen=True)
class Heard:
    """What became of some recordings.

    rows: `columns_of` the task, a row per clip. logits: the task's `logit_columns`, likewise, without an offset.
    patients: recording, as in the rows → its patient, "" where nobody said. errors: a message for each recording that
    could not be heard. notes: one for each that was, and whose sound is odd.
    """

    rows: pd.DataFrame
    logits: pd.DataFrame
    patients: Mapping[str, str]
    errors: tuple[str, ...]
    notes: tuple[str, ...]


class Predictor:
    """A run's classifier and quality index on a device, ready for recordings."""

    def __init__(self, choice: TrainedModel, classifier: Classifier, device: torch.device) -> None:
        self.point = choice.point
        self.spec = choice.run.spec
        self.task = choice.run.task
        self.classifier = classifier.to(device)
        self.device = device
        self.quality = QualityScale(choice.run)

    def predict_all(self, planned: WindowPlan, display: Display) -> Heard:
        """Hear one recording after the other; one that cannot be heard stops none."""
        rows, logits, patients, notes = [], [], {}, []
        errors = list(planned.errors)
        with display.track("predicting", planned.clips) as advance:
            for recording in planned.recordings:
                try:
                    heard, of_clips, oddities = self.predict(recording, advance)
                    rows.append(heard)
                    logits.append(of_clips)
                    patients[str(recording.path)] = recording.patient
                    notes += [f"{recording.path}: {what}" for what in oddities]
                except DataError as error:
                    errors.append(str(error))
                    advance(len(recording.clips), "")
        found = pd.concat(rows, ignore_index=True) if rows else pd.DataFrame(columns=columns_of(self.task))
        columns = list(self.task.logit_columns)
        of_all = pd.DataFrame(np.concatenate(logits) if logits else None, columns=columns, dtype=np.float64)
        return Heard(found, of_all, patients, tuple(errors), tuple(notes))

    def predict(self, recording: Recording, advance: Advance) -> tuple[pd.DataFrame, np.ndarray, tuple[str, ...]]:
        """`columns_of` a recording's clips, their logits (N, C), and what is odd about its sound.

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
        wanted = [(self.quality.index, clips[["start_s", "end_s"]].to_numpy())]
        [values] = measure_recording(wanted, name, native, native_rate)
        measures = np.array(values)
        called = predicted_classes(logits, self.point.normal_offset)
        rows = clips.assign(
            called=[self.task.classes[index] for index in called],
            **dict(zip(probability_columns(self.task), probabilities.T, strict=True)),
            **dict(zip(QUALITY_COLUMNS, self.quality.of(measures), strict=True)),
        )
        odd = [f"{what}; what is said of it means little" for what in sound.oddities()]
        faults = faults_in_words(native, native_rate)
        if faults and not odd:
            odd = [f"{faults}; what is said of it may mean little"]
        return rows[list(columns_of(self.task))], logits, tuple(odd)

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
