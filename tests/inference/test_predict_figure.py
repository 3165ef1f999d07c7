"""`rsbench predict --figure`: the sound, the calls over time and the quality of each recording."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
from matplotlib.figure import Figure
from tiny import Cli, Outcome

import rsbench
from rsbench.data.clips import FOUR_WORDS
from rsbench.report.figures.recording import draw_spectrogram, drawn_edges, figure_files, prediction_of_recording

RUN = "qlung-tiny-s0"


@pytest.fixture
def predict(cli: Cli, finished: Path) -> Callable[..., Outcome]:
    def call(*arguments: str | Path) -> Outcome:
        return cli("predict", RUN, "--results", finished, *arguments)

    return call


def test_lines_and_spans_are_the_rows(finished: Path, sounds: Path) -> None:
    sound = sorted(sounds.iterdir())[0]
    found = rsbench.predict(RUN, sound, results=finished, quiet=True)
    figure = prediction_of_recording(found.model, sound, found.heard.rows, "a scale")
    _, calls, quality, _ = figure.axes
    for line, name in zip(calls.get_lines(), FOUR_WORDS, strict=True):
        assert line.get_label() == name
        np.testing.assert_array_equal(line.get_ydata(), np.repeat(found.frame[f"p_{name}"], 2))
    np.testing.assert_array_equal(quality.get_lines()[0].get_ydata(), np.repeat(found.frame["quality_percentile"], 2))
    spans = [(patch.get_x(), patch.get_width()) for patch in calls.patches]
    assert spans == [(0.5 * number, 0.5) for number in range(8)]
    assert quality.get_xlim() == (0, 4)
    assert "Research use. Not a medical device." in figure.get_suptitle()
    assert sound.name in figure.get_suptitle()


def test_a_tone_lies_at_its_frequency() -> None:
    axes = Figure().subplots()
    tone = np.sin(2 * np.pi * 1000 * np.arange(16_000) / 8000).astype(np.float32)
    draw_spectrogram(axes, tone, 8000)
    (image,) = axes.images
    left, right, low, high = image.get_extent()
    bands = image.get_array()
    loudest = low + (high - low) * (int(bands.mean(axis=1).argmax()) + 0.5) / len(bands)
    labels = {label.get_text(): tick for label, tick in zip(axes.get_yticklabels(), axes.get_yticks(), strict=True)}
    assert abs(loudest - labels["1000"]) < (high - low) / len(bands)
    assert (left, right) == (0, 2)


def test_the_border_of_overlapping_clips_is_in_the_middle_and_gaps_stay() -> None:
    clips = pd.DataFrame({"start_s": [0.0, 1.0, 5.0], "end_s": [2.0, 3.0, 6.0]})
    assert drawn_edges(clips).tolist() == [[0, 1.5], [1.5, 3], [5, 6]]


def test_one_recording_is_a_file_and_many_are_a_folder(
    predict: Callable[..., Outcome], sounds: Path, tmp_path: Path
) -> None:
    first, *_ = sorted(sounds.iterdir())
    assert predict(first, "--figure", tmp_path / "one.svg", "--width-cm", "12", "--no-provenance").code == 0
    drawn = (tmp_path / "one.svg").read_text(encoding="utf-8")
    assert "Not a medical device" in drawn
    assert 'width="340.' in drawn  # points
    many = predict(sounds, "--figure", tmp_path / "many.png")
    assert (many.code, many.out) == (2, "")
    assert "these are 5 recordings" in many.err
    other = predict(first, "--figure", tmp_path / "one.jpg")
    assert "must end in one of .png, .svg, .pdf" in other.err
    assert not (tmp_path / "one.jpg").exists()


def test_recordings_of_one_name_get_pictures_of_their_own(tmp_path: Path) -> None:
    paths = [Path("monday/a.wav"), Path("tuesday/a.wav"), Path("b.flac")]
    names = [file.name for file in figure_files(tmp_path, paths).values()]
    assert names == ["a.png", "a-2.png", "b.png"]


def test_silence_and_the_shortest_sound_can_be_drawn() -> None:
    for sound in (np.zeros(4000, np.float32), np.ones(3, np.float32)):
        axes = Figure().subplots()
        draw_spectrogram(axes, sound, 4000)
        assert np.isfinite(axes.images[0].get_array()).all()


def test_only_what_could_be_heard_is_drawn(predict: Callable[..., Outcome], sounds: Path, tmp_path: Path) -> None:
    first, second, *others = sorted(sounds.iterdir())
    for path in others:
        path.unlink()
    second.write_bytes(second.read_bytes()[:-100])
    soundfile.write(sounds / "zeros.wav", np.zeros(4000), 4000)
    said = predict(sounds, "--figure", tmp_path / "pictures")
    assert said.code == 1
    assert sorted(path.stem for path in (tmp_path / "pictures").iterdir()) == [first.stem, "zeros"]
