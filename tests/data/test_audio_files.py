"""Recordings that are not whole are errors that name the file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from rsbench.core.errors import DataError
from rsbench.data.audio import AudioInfo, audio_files, decode, probe, read

Record = Callable[..., Path]


@pytest.mark.parametrize(("ending", "subtype"), [("wav", "PCM_16"), ("wav", "PCM_32"), ("flac", "PCM_24")])
def test_rate_depth_and_samples_are_those_of_the_file(
    tmp_path: Path, record: Record, ending: str, subtype: str
) -> None:
    path = record(tmp_path / f"a.{ending}", 1.5, 10_000, subtype=subtype)
    assert probe(path) == AudioInfo(10_000, 15_000, 1, subtype)
    samples, rate = read(path)
    assert (samples.shape, samples.dtype, rate) == ((15_000,), np.float32, 10_000)
    expected = np.random.default_rng(0).uniform(-0.5, 0.5, 15_000)
    np.testing.assert_allclose(samples, expected, atol=2**-15)


def test_channels_are_averaged(tmp_path: Path) -> None:
    left, right = np.full(100, 0.5), np.full(100, -0.25)
    soundfile.write(tmp_path / "a.wav", np.stack([left, right], axis=1), 4000, "FLOAT")
    np.testing.assert_array_equal(read(tmp_path / "a.wav")[0], np.full(100, 0.125, np.float32))


@pytest.mark.parametrize("ending", ["wav", "flac"])
@pytest.mark.parametrize("channels", [1, 2])
def test_pieces_make_up_the_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str, channels: int) -> None:
    path = tmp_path / f"a.{ending}"
    soundfile.write(path, np.random.default_rng(0).uniform(-0.5, 0.5, (5000, channels)), 8000)
    whole = decode(path)
    np.testing.assert_array_equal(whole.samples, soundfile.read(path, dtype="float32", always_2d=True)[0].mean(axis=1))
    monkeypatch.setattr("rsbench.data.audio._AT_ONCE", 999)
    by_pieces = decode(path)
    np.testing.assert_array_equal(by_pieces.samples, whole.samples)
    assert by_pieces.peak == whole.peak
    assert by_pieces.level == (None if channels == 1 else pytest.approx(whole.level))


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"gone\.wav: there is no such recording"):
        read(tmp_path / "gone.wav")


def test_an_empty_file(tmp_path: Path) -> None:
    (tmp_path / "a.wav").touch()
    with pytest.raises(DataError, match=r"a\.wav: the file is empty"):
        read(tmp_path / "a.wav")


def test_a_recording_without_samples(tmp_path: Path, record: Record) -> None:
    with pytest.raises(DataError, match=r"a\.wav: the recording holds no samples"):
        read(record(tmp_path / "a.wav", seconds=0))


def test_a_file_that_is_no_audio(tmp_path: Path) -> None:
    (tmp_path / "a.flac").write_text("<html>404</html>")
    with pytest.raises(DataError, match=r"a\.flac: cannot be decoded"):
        read(tmp_path / "a.flac")


@pytest.mark.parametrize("ending", ["wav", "flac"])
@pytest.mark.parametrize("share", [0.95, 0.5, 0.1])
def test_a_truncated_file(tmp_path: Path, record: Record, ending: str, share: float) -> None:
    path = record(tmp_path / f"a.{ending}", 5.0)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(DataError, match=rf"a\.{ending}: (truncated|cannot be decoded).*Fetch the file again"):
        read(path)


def test_a_flac_with_spoilt_content(tmp_path: Path, record: Record) -> None:
    path = record(tmp_path / "a.flac", 5.0)
    content = bytearray(path.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 3000] = bytes(3000)
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"a\.flac"):
        read(path)


def test_a_streamed_wav_of_unknown_length_is_whole(tmp_path: Path, record: Record) -> None:
    path = record(tmp_path / "a.wav", 1.0)
    content = path.read_bytes()
    at = content.index(b"data") + 4
    path.write_bytes(content[:at] + b"\xff\xff\xff\xff" + content[at + 4 :])
    assert len(read(path)[0]) == 4000


def test_samples_that_are_not_finite(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.array([0.0, np.nan, 0.5]), 4000, "FLOAT")
    with pytest.raises(DataError, match=r"a\.wav: some samples are NaN or infinite"):
        read(tmp_path / "a.wav")


def test_one_name_with_two_files(tmp_path: Path, record: Record) -> None:
    record(tmp_path / "a.wav")
    record(tmp_path / "a.flac")
    with pytest.raises(DataError, match="same recording twice"):
        audio_files(tmp_path)


def test_other_files_and_hidden_ones_are_no_recordings(tmp_path: Path, record: Record) -> None:
    record(tmp_path / "a.WAV")
    (tmp_path / "._a.wav").write_text("left by another system")
    (tmp_path / "a.txt").touch()
    assert list(audio_files(tmp_path)) == ["a"]
