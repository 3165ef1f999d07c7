"""Length is what the samples say, in every container: headers that promise nothing, too little or too much."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from rsbench.core.errors import DataError
from rsbench.data.audio import CANCELLED, MOST_SAMPLES, NO_SOUND, OFFSET, TOO_LOUD, decode, probe, read
from rsbench.data.containers import _mp3_frame

RATE = 8000
SAMPLES = np.random.default_rng(0).uniform(-0.5, 0.5, RATE).astype(np.float32)
ID3 = b"ID3\x03\0\0\0\0\0\x0a" + bytes(10)

Write = Callable[[str, str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """A second of noise: `write("a.wav", "RF64")`."""

    def call(name: str, form: str) -> Path:
        path = tmp_path / name
        coding = {"OGG": "VORBIS", "MP3": "MPEG_LAYER_III"}.get(form, "PCM_16")
        soundfile.write(path, SAMPLES, RATE, format=form, subtype=coding)
        return path

    return call


def change(path: Path, at: int, format_: str, value: int) -> None:
    content = bytearray(path.read_bytes())
    struct.pack_into(format_, content, at, value)
    path.write_bytes(content)


LENGTH_FIELDS = {"WAV": ("<I", 40), "RF64": ("<Q", 28), "W64": ("<Q", 96), "AIFF": (">I", 42), "AU": (">I", 8)}
CONTAINERS = [*LENGTH_FIELDS, "FLAC", "OGG", "MP3"]


@pytest.mark.parametrize("form", CONTAINERS)
def test_a_container_is_known_by_its_bytes_and_a_cut_one_by_its_header(write: Write, form: str) -> None:
    path = write("a.wav", form)
    content = path.read_bytes()
    assert probe(path).frames == len(read(path)[0]) == RATE
    path.write_bytes(ID3 + content + b"TAG" + bytes(125))
    assert probe(path).frames == len(read(path)[0]) == RATE
    for share in (0.99, 0.6, 0.1):
        path.write_bytes(content[: int(len(content) * share)])
        with pytest.raises(DataError, match=r"a\.wav: .*(truncated|Error opening)"):
            read(path)


@pytest.mark.parametrize("form", LENGTH_FIELDS)
def test_a_sound_of_unknown_length_ends_with_its_file(write: Write, form: str) -> None:
    path = write("a.wav", form)
    format_, at = LENGTH_FIELDS[form]
    largest = 256 ** struct.calcsize(format_) - 1
    for length in (0, largest, largest // 2, *([0x7FFFF000, 0x7FFFF000 - 36] if largest == 2**32 - 1 else [])):
        change(path, at, format_, length)
        assert probe(path).frames == len(read(path)[0]) == RATE, hex(length)


@pytest.mark.parametrize("form", LENGTH_FIELDS)
def test_a_header_that_promises_less_than_there_is(write: Write, form: str) -> None:
    path = write("a.wav", form)
    format_, at = LENGTH_FIELDS[form]
    change(path, at, format_, 5000)
    with pytest.raises(DataError, match=r"a\.wav: \d+ bytes lie behind the length that its header promises"):
        read(path)


def test_an_empty_wav_with_something_behind_is_still_empty(tmp_path: Path) -> None:
    about = b"LIST" + struct.pack("<I", 300) + b"INFO" + b"x" * 296
    head = struct.pack("<4sI4s4sIHHIIHH", b"RIFF", 0, b"WAVE", b"fmt ", 16, 1, 1, RATE, 2 * RATE, 2, 16)
    (tmp_path / "a.wav").write_bytes(head + b"data" + bytes(4) + about)
    with pytest.raises(DataError, match="holds no samples"):
        read(tmp_path / "a.wav")


@pytest.mark.parametrize("promised", [0, RATE // 2, 2 * RATE, 2**36 - 1])
def test_a_flac_is_decoded_to_its_end_whatever_it_promises(write: Write, promised: int) -> None:
    path = write("a.flac", "FLAC")
    content = bytearray(path.read_bytes())
    content[21:26] = ((content[21] >> 4) << 36 | promised).to_bytes(5, "big")
    path.write_bytes(content)
    if promised:
        with pytest.raises(DataError, match=rf"a\.flac: .*{RATE} of {promised} samples"):
            read(path)
    else:
        assert probe(path).frames == len(read(path)[0]) == RATE


def test_an_mp3_that_does_not_count_its_frames_is_whole_or_refused(tmp_path: Path) -> None:
    """libsndfile guesses their number from the first one, which is right where all are as long."""
    path = tmp_path / "a.mp3"
    soundfile.write(path, np.tile(SAMPLES, 4) * np.linspace(1, 0, 4 * RATE), RATE)
    content = path.read_bytes()
    uncounted = content[_mp3_frame(content)[0] :]  # without the frame that says how many there are
    path.write_bytes(uncounted)
    with pytest.raises(DataError, match=r"a\.mp3: does not say how long it is, and only \d+ samples of \d+"):
        read(path)
    length, samples = _mp3_frame(uncounted)
    path.write_bytes(uncounted[:length] * 20)
    assert probe(path).frames == len(read(path)[0]) >= 18 * samples


def test_spoilt_content_of_an_ogg_is_noticed(write: Write) -> None:
    path = write("a.ogg", "OGG")
    change(path, path.stat().st_size // 2, "<Q", 0)
    with pytest.raises(DataError, match=r"a\.ogg: damaged at byte"):
        probe(path)


@pytest.mark.parametrize("rate", [0, 1, 999, 2**31 - 1, 2**32 - 1])
def test_an_impossible_rate(write: Write, rate: int) -> None:
    path = write("a.wav", "WAV")
    change(path, 24, "<I", rate)
    with pytest.raises(DataError, match=r"a\.wav: .*sampling rate"):
        probe(path)


def test_other_files_are_told_by_how_they_begin(tmp_path: Path) -> None:
    for content in (b"version https://git-lfs.github.com/spec/v1\n", b"caff\0\1\0\0", b"RIFF"):
        (tmp_path / "a.wav").write_bytes(content)
        with pytest.raises(DataError, match=r"a\.wav: cannot be decoded: it begins with b'(version|caff|RIFF)"):
            read(tmp_path / "a.wav")
    (tmp_path / "b.wav").mkdir()
    with pytest.raises(DataError, match=r"b\.wav: is a folder"):
        read(tmp_path / "b.wav")


def test_a_small_file_cannot_hold_hours(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write("a.flac", "FLAC")
    monkeypatch.setattr("rsbench.data.audio.MOST_SAMPLES", RATE - 1)
    with pytest.raises(DataError, match=r"a\.flac: holds more than 7999 samples"):
        read(path)
    assert MOST_SAMPLES > 18 * 3600 * 4000


@pytest.mark.parametrize(
    ("name", "oddities"),
    [
        ("zeros", (NO_SOUND,)),
        ("constant", (NO_SOUND,)),
        ("opposite", (NO_SOUND, CANCELLED)),
        ("nearly opposite", (CANCELLED,)),
        ("offset", (OFFSET,)),
        ("loud", (TOO_LOUD,)),
        ("one side silent", ()),
        ("quiet", ()),
    ],
)
def test_odd_sounds(tmp_path: Path, name: str, oddities: tuple[str, ...]) -> None:
    samples = {
        "zeros": 0 * SAMPLES,
        "constant": 0 * SAMPLES + 0.25,
        "opposite": np.stack([SAMPLES, -SAMPLES], axis=1),
        "nearly opposite": np.stack([SAMPLES, -0.9 * SAMPLES], axis=1),
        "offset": 0.001 * SAMPLES + 0.25,
        "loud": 10 * SAMPLES,
        "one side silent": np.stack([SAMPLES, 0 * SAMPLES], axis=1),
        "quiet": 0.001 * SAMPLES,
    }[name]
    soundfile.write(tmp_path / "a.wav", samples, RATE, subtype="FLOAT")
    assert decode(tmp_path / "a.wav").oddities() == oddities


@pytest.mark.parametrize("scale", [32768, 1e37])
def test_samples_far_beyond_full_scale(tmp_path: Path, scale: float) -> None:
    soundfile.write(tmp_path / "a.wav", SAMPLES * np.float32(scale), RATE, subtype="FLOAT")
    with pytest.raises(DataError, match=r"a\.wav: samples reach .* where full scale is 1"):
        read(tmp_path / "a.wav")
