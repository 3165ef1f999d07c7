"""Sound files of every container with damaged headers and damaged content, and cut off anywhere."""

from __future__ import annotations

import io
import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
from mutations import mutated, teaches

from rsbench.core.errors import DataError
from rsbench.data.audio import decode, probe

RATE = 8000
WRITTEN = {
    "wav": ("WAV", "PCM_16"),
    "adpcm.wav": ("WAV", "IMA_ADPCM"),
    "rf64": ("RF64", "PCM_24"),
    "w64": ("W64", "FLOAT"),
    "aiff": ("AIFF", "PCM_16"),
    "au": ("AU", "PCM_16"),
    "flac": ("FLAC", "PCM_16"),
    "ogg": ("OGG", "VORBIS"),
    "mp3": ("MP3", "MPEG_LAYER_III"),
}
LENGTHS = [b"\0" * 4, b"\xff" * 4, b"\xff\xff\xff\x7f", b"\x7f\xff\xff\xff", b"\0\0\0\x80", b"\1\0\0\0", b"data"]
HEADER = 128


@pytest.fixture(scope="module")
def sounds() -> dict[str, bytes]:
    """A quarter of a second in every container."""
    samples = np.random.default_rng(0).uniform(-0.5, 0.5, RATE // 4).astype(np.float32)
    written = {}
    for name, (form, subtype) in WRITTEN.items():
        file = io.BytesIO()
        soundfile.write(file, samples, RATE, format=form, subtype=subtype)
        written[name] = file.getvalue()
    return written


def drawn(sounds: dict[str, bytes], generators: Iterator[random.Random], tmp_path: Path) -> Iterator[tuple]:
    """(source of randomness, a path that is not written yet, the content of a whole file)."""
    for generator in generators:
        name = generator.choice(sorted(sounds))
        yield generator, tmp_path / f"sound.{name}", sounds[name]


def test_a_damaged_sound_is_read_or_named(
    sounds: dict[str, bytes], generators: Iterator[random.Random], tmp_path: Path
) -> None:
    for generator, path, content in drawn(sounds, generators, tmp_path):
        if generator.random() < 0.7:
            path.write_bytes(mutated(content[:HEADER], generator, LENGTHS) + content[HEADER:])
        else:
            path.write_bytes(mutated(content, generator, LENGTHS))
        unread = teaches(lambda path=path: decode(path), naming=[path.name])
        unknown = teaches(lambda path=path: probe(path), naming=[path.name])
        if not unread:
            assert not unknown, "decoded, though its header cannot be read"
            sound = decode(path)
            assert probe(path) == sound.info, "another length is promised than is decoded"
            assert len(sound.samples) == sound.info.frames
            assert np.isfinite(sound.samples).all()


def test_a_cut_sound_is_never_a_shorter_one(
    sounds: dict[str, bytes], generators: Iterator[random.Random], tmp_path: Path
) -> None:
    for generator, path, content in drawn(sounds, generators, tmp_path):
        path.write_bytes(content[: generator.randrange(len(content) - 1)])
        with pytest.raises(DataError, match=path.name):
            decode(path)
