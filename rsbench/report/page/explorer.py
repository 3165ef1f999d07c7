"""The clips that runs get most wrong, as they look and, where asked for, as they sound."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass, field, replace
from pathlib import Path

import librosa
import numpy as np
import soundfile
from matplotlib.image import imsave

from ...data.audio import read
from ...data.clips import ClipTable, clip_bounds
from ...data.sources import Roots, load_table
from ...evaluation.metrics import FloatArray
from .summaries import OfBoard

SHOWN = 12  # clips of a split, each of another recording
HIGHEST_HZ = 2000  # lung sounds lie below
WINDOW_S, HOP_S = 0.032, 0.016
RANGE_DB = 70  # below the loudest point of a clip


@dataclass(frozen=True)
class Mistake:
    """A clip that runs get wrong.

    said: the class that they gave most probability, `probability` of it on average. wrong: how many of `runs` called it
    anything but `label`, at argmax. picture, sound: data URIs, "" without recordings. highest_hz: the upper
    edge of the picture.
    """

    clip_id: str
    label: str
    said: str
    probability: float
    wrong: int
    runs: int
    quality: float
    patient: str
    device: str
    length_s: float = 0.0
    highest_hz: float = 0.0
    picture: str = ""
    sound: str = ""


@dataclass
class Recordings:
    """Where clips are cut from.

    with_sound: keep them as audio too.
    """

    roots: Roots
    with_sound: bool
    _tables: dict[str, ClipTable] = field(default_factory=dict)

    def samples(self, dataset: str, clip_id: str) -> tuple[FloatArray, int] | None:
        """A clip's samples (n,) in [-1, 1] and its rate in Hz; None where the root does not hold it.

        Raises DataError when the data set or the recording cannot be read.
        """
        if dataset not in self._tables:
            self._tables[dataset] = load_table(dataset, self.roots, partial=True)
        table = self._tables[dataset]
        clip = table.clips[table.clips["clip_id"] == clip_id]
        if clip.empty:
            return None
        name = clip["recording"].iloc[0]
        path = table.recordings.loc[table.recordings["recording"] == name, "path"].iloc[0]
        samples, rate = read(Path(path))
        bounded, _ = clip_bounds(clip, {name: len(samples) / rate})
        start, end = (int(bounded[side].iloc[0] * rate) for side in ("start_s", "end_s"))
        return samples[start:end], rate


def worst_mistakes(of_board: OfBoard, recordings: Recordings | None) -> list[Mistake]:
    """Of each recording the clip whose wrong class was given the highest probability, mean over methods and their runs.

    Probabilities are those after each run's temperature, so that no loss is louder than another.
    """
    methods, clips, classes = of_board.methods, of_board.clips, of_board.board.task.classes
    dataset = str(of_board.board.runs["dataset"].iloc[0])
    labels = clips["label"].to_numpy()
    mean = np.mean([method.probabilities / method.runs for method in methods], axis=0)
    others = np.where(np.eye(len(classes), dtype=bool)[labels], -1.0, mean)
    said, probability = others.argmax(axis=1), others.max(axis=1)
    wrong, runs = np.sum([method.wrong for method in methods], axis=0), sum(method.runs for method in methods)
    found = []
    order = np.argsort(-probability, kind="stable")
    for place in order[~clips["recording"].iloc[order].duplicated().to_numpy()][:SHOWN]:
        clip = clips.iloc[place]
        mistake = Mistake(
            str(clips.index[place]),
            classes[labels[place]],
            classes[said[place]],
            float(probability[place]),
            int(wrong[place]),
            runs,
            float(clip["quality"]),
            str(clip["patient"]),
            str(clip["device"]),
        )
        found.append(mistake)
    return [_seen(mistake, dataset, recordings) for mistake in found] if recordings else found


def _seen(mistake: Mistake, dataset: str, recordings: Recordings) -> Mistake:
    cut = recordings.samples(dataset, mistake.clip_id)
    if cut is None:
        return mistake
    samples, rate = cut
    return replace(
        mistake,
        length_s=len(samples) / rate,
        highest_hz=min(HIGHEST_HZ, rate / 2),
        picture=_data_uri("image/png", _spectrogram(samples, rate)),
        sound=_data_uri("audio/flac", _flac(samples, rate)) if recordings.with_sound else "",
    )


def _spectrogram(samples: FloatArray, rate: int) -> bytes:
    """PNG: time to the right, 0 to HIGHEST_HZ upwards, RANGE_DB below the loudest point black."""
    window, hop = round(WINDOW_S * rate), max(1, round(HOP_S * rate))
    amplitude = np.abs(librosa.stft(samples, n_fft=window, hop_length=hop, pad_mode="constant"))
    shown = librosa.fft_frequencies(sr=rate, n_fft=window) <= HIGHEST_HZ
    level = librosa.amplitude_to_db(amplitude[shown], ref=np.max, top_db=RANGE_DB)
    file = io.BytesIO()
    imsave(file, level[::-1], cmap="magma", vmin=-RANGE_DB, vmax=0, format="png")
    return file.getvalue()


def _flac(samples: FloatArray, rate: int) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format="FLAC", subtype="PCM_16")
    return file.getvalue()


def _data_uri(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
