"""`rsbench data check --quality`: damage of known kind is named, and the worst recordings come first."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
from tiny import Cli

from rsbench.core.text import visible
from rsbench.quality.degradation import degrade
from rsbench.quality.faults import find_faults, known_faults
from rsbench.quality.indices.bandwidth import bandwidth

RATE = 8000


def breath(seconds: float = 8.0) -> np.ndarray:
    """Noise that falls with frequency, as air in lungs does, swelling and ebbing every two seconds."""
    draws = np.random.default_rng(0)
    count = int(seconds * RATE)
    frequencies = np.fft.rfftfreq(count, 1 / RATE)
    shape = 1 / (1 + (frequencies / 300) ** 2)
    noise = np.fft.irfft(np.fft.rfft(draws.standard_normal(count)) * shape, count)
    swell = 0.02 + np.sin(np.pi * np.arange(count) / RATE / 2) ** 2
    return (0.3 * noise / np.abs(noise).max() * swell).astype(np.float32)


@pytest.fixture
def ward(tmp_path: Path) -> Path:
    """A folder with a good recording and a spoiled copy of it for each fault, and one without any sound."""
    folder = tmp_path / "ward"
    folder.mkdir()
    draws = np.random.default_rng(1)
    gap = breath()
    gap[RATE : 3 * RATE] = 0
    sounds = {
        "good": breath(),
        "silence": gap,
        "clipping": degrade(breath(), RATE, "clipping", 0.1, draws),
        "noise": degrade(breath(), RATE, "noise", 0, draws),
        "band limit": degrade(breath(), RATE, "band_limit", 250, draws),
        "zeros": np.zeros(RATE),
    }
    for name, sound in sounds.items():
        soundfile.write(folder / f"{name}.wav", sound, RATE)
    return folder


def test_each_damage_is_named_and_nothing_else_is(ward: Path) -> None:
    found = find_faults(sorted(ward.iterdir()), lambda steps, note: None)
    why = dict(zip(found.frame["recording"], found.frame["faults"], strict=True))
    assert why.pop("good.wav") == ""
    assert why.pop("zeros.wav") == "silence"
    assert why == {f"{name}.wav": name for name in ("silence", "clipping", "noise", "band limit")}
    assert found.frame["recording"].iloc[-1] == "good.wav"
    assert found.counts() == {"silence": 2, "clipping": 1, "noise": 1, "band limit": 1}
    silent = found.frame.set_index("recording").loc["silence.wav", "silent_share"]
    assert silent == pytest.approx(0.25, abs=0.01)


def test_limits_are_those_that_are_documented(ward: Path) -> None:
    limits = {fault.name: fault.limit for fault in known_faults()}
    assert (limits["silence"], limits["clipping"]) == (0.02, 0.01)
    text = (Path(__file__).parents[2] / "docs" / "quality.md").read_text(encoding="utf-8")
    for fault in known_faults():
        limit = f"{fault.limit:.0%}".replace("%", " %") if fault.share else f"{fault.limit:.0f}"
        assert any(fault.name in line and limit in line for line in text.splitlines()), fault


def test_a_loud_tone_and_a_louder_copy_make_no_band_limit() -> None:
    sound = breath()
    tone = sound + 0.5 * np.sin(2 * np.pi * 400 * np.arange(len(sound)) / RATE).astype(np.float32)
    assert bandwidth(tone, RATE) == bandwidth(sound, RATE) == bandwidth(3 * sound, RATE) == 2000


def test_the_command_names_the_worst_and_draws_them(cli: Cli, ward: Path, tmp_path: Path) -> None:
    (ward / "broken.wav").write_bytes(b"none")
    pictures = tmp_path / "worst"
    said = cli("data", "check", ward, "--quality", "--worst", "2", "--figure", pictures)
    assert said.code == 1  # one cannot be read
    assert "broken.wav" in said.out
    assert "5 of 6 recordings have a fault" in said.out
    assert "good.wav" not in said.out
    assert len(list(pictures.glob("*.png"))) == 2
    page = tmp_path / "worst.svg"
    (ward / "broken.wav").unlink()
    said = cli("data", "check", ward, "--quality", "--worst", "2", "--figure", page, "--width-cm", "12")
    assert said.code == 0, said.err
    assert 'width="340.' in page.read_text(encoding="utf-8")  # points
    assert visible(page.read_text(encoding="utf-8")).startswith("<?xml")


def test_a_data_set_is_checked_as_before_and_its_worst_named(cli: Cli, tiny_root: Path) -> None:
    said = cli("data", "check", "--root", tiny_root, "--dataset", "tiny,far", "--quality", "--worst", "1")
    assert said.code == 0, said.err
    assert said.out.count("Found / official") == 2
    assert "The 1 worst" in said.out


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["{ward}"], "Say --quality"),
        (["{ward}", "--quality", "--dataset", "tiny"], "not both"),
        (["{ward}", "--figure", "x.png"], "Say --quality"),
        (["{ward}", "{ward}", "--quality", "--figure", "x.png"], "a page of one data set or folder"),
        (["{ward}", "--quality", "--figure", "x.jpg"], "must end in one of"),
        (["{ward}/nowhere", "--quality"], "there is no such folder"),
    ],
)
def test_what_does_not_belong_together_is_one_message(cli: Cli, ward: Path, arguments: list[str], reason: str) -> None:
    said = cli("data", "check", *(argument.format(ward=ward) for argument in arguments))
    assert (said.code, said.out) == (2, "")
    assert reason in said.err
