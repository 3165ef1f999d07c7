"""Windows over recordings without annotations."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from rsbench.core.errors import DataError
from rsbench.inference.recordings import Annotations, WindowPlan, make_plan, window_starts

SECONDS = st.floats(0.01, 30).map(lambda value: round(value, 2))


@given(length_s=st.floats(0.01, 200), clip_s=SECONDS, hop_s=SECONDS)
def test_windows_leave_out_no_more_than_the_hop_asks_for(length_s: float, clip_s: float, hop_s: float) -> None:
    starts = window_starts(length_s, clip_s, hop_s)
    steps = [later - earlier for earlier, later in itertools.pairwise(starts)]
    assert starts[0] == 0
    assert all(0 < step <= hop_s + 1e-9 for step in steps)
    if length_s <= clip_s:
        assert starts == [0]
    else:
        assert length_s - 0.0101 <= starts[-1] + clip_s <= length_s + 1e-9


@pytest.mark.parametrize(
    ("length_s", "clip_s", "hop_s", "starts"),
    [
        (16, 8, 8, [0, 8]),
        (20, 8, 8, [0, 8, 12]),
        (20, 8, 5, [0, 5, 10, 12]),
        (3, 8, 8, [0]),
        (8, 8, 8, [0]),
        (20.005, 8, 30, [0, 12]),
    ],
)
def test_some_windows(length_s: float, clip_s: float, hop_s: float, starts: list[float]) -> None:
    assert window_starts(length_s, clip_s, hop_s) == starts


@pytest.fixture
def sound(tmp_path: Path) -> Path:
    """Six seconds at 8 kHz, named as those of the later editions of SPRSound are: without a patient."""
    path = tmp_path / "wav" / "_5.3_0_p8_34877.wav"
    path.parent.mkdir()
    soundfile.write(path, np.zeros(48_000), 8000, subtype="PCM_16")
    return path


def plan(sound: Path, notes: Path | None, content: dict) -> WindowPlan:
    folder = notes or sound.parent
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{sound.stem}.json").write_text(json.dumps(content))
    return make_plan([sound.parent], Annotations(notes and str(notes), [sound.parent]), 2.0, 2.0)


EVENT = {"start": "100", "end": "1500", "type": "Normal"}


def test_events_without_a_label_of_their_recording_are_clips(sound: Path, tmp_path: Path) -> None:
    (recording,) = plan(sound, tmp_path / "json", {"event_annotation": [EVENT]}).recordings
    assert recording.clips.values.tolist() == [[0.1, 1.5, "Normal"]]


def test_events_of_a_poor_quality_recording_are_no_clips(sound: Path) -> None:
    content = {"record_annotation": "Poor Quality", "event_annotation": [EVENT]}
    (recording,) = plan(sound, None, content).recordings
    assert (recording.annotated, len(recording.clips)) == (False, 3)


def test_a_clip_of_less_than_a_sample_names_file_and_event(sound: Path) -> None:
    planned = plan(sound, None, {"event_annotation": [EVENT, {**EVENT, "end": "100.05"}]})
    (error,) = planned.errors
    assert f"{sound.stem}.json, event 2: the clip is shorter than one sample at 8000 Hz" in error


def test_a_folder_that_annotates_none_of_the_recordings_is_refused(sound: Path, tmp_path: Path) -> None:
    plan(sound, tmp_path / "json" / "inter", {"event_annotation": [EVENT]})
    with pytest.raises(DataError, match=r"json: no annotation of these recordings.*Name .*json/inter, which has some"):
        make_plan([sound], Annotations(str(tmp_path / "json"), [sound]), 2.0, 2.0)
