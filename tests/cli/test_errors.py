"""Bad input gets one message that names file, field and remedy, and an exit code; never a traceback."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
from tiny import CLIP_S, TINY_PLUGIN, Cli, write_own_dataset

BASE = ["run", "--backbone", "tiny", "--plugin", TINY_PLUGIN, "--train", "tiny", "--test", "tiny", "--loss", "ce"]
BASE += ["--set", f"data.clip_s={CLIP_S}", "--epochs", "1", "--threads", "1"]


@pytest.fixture
def root(tiny_root: Path, tmp_path: Path) -> Path:
    """A copy of the small data set, to be spoilt."""
    shutil.copytree(tiny_root, tmp_path / "root")
    return tmp_path / "root"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--loss", "arcfase"], "no loss 'arcfase'. Did you mean 'arcface'"),
        (["--backbone", "cnn7"], "no backbone 'cnn7'. Did you mean 'cnn6'"),
        (["--set", "optim.lrr=1"], "optim.lrr: the spec has no such key. Did you mean 'optim.lr'"),
        (["--set", "lr=1e-4"], "lr: the spec has no such key. Did you mean 'optim.lr'?"),
        (["--set", "lrr=1e-4"], "lrr: the spec has no such key. Did you mean 'optim.lr'?"),
        (["--set", "smoothing=0.1"], "smoothing: the spec has no such key. Did you mean 'loss.smoothing'?"),
        (["--set", "name=ce"], "Did you mean 'loss.name' or 'backbone.name' or 'frontend.name' or 'quality.name'?"),
        (["--set", "data.clip_s=99"], "Wanted: more than 0 and at most 60 s, the length at which clips are shown."),
        (["--set", "loss.smoothing=-1"], "Wanted: at least 0 and less than 1."),
        (["--set", "loss.smoothin=0.1"], "loss.smoothin: 'ce' has no such option. Did you mean 'smoothing'"),
        (["--set", "loss.smoothing=2"], "loss.smoothing=2"),
        (["--set", "optim.lr"], "write KEY=VALUE"),
        (["--train", "tinny"], "no split 'tinny'. Did you mean 'tiny'"),
        (["--seeds", "5-1"], "the range is empty"),
        (["--device", "cuda:99"], "--device cuda:99: torch"),
        (["--device", "gpu"], "no such kind of device"),
        (["--root", "/nowhere/at/all"], "/nowhere/at/all"),
        (["--plugin", "absent.py"], "absent.py: there is no such file"),
        (["--spec", "absent.yaml"], "--spec absent.yaml: there is no such file"),
        (["--weights", "absent.pt"], "--weights absent.pt: there is no such file"),
        (["--backbone", "mn04", "--weights", "audioset"], "Get mn04_as_mAP_432.pt from https://github.com"),
        (["--set", "validation.fraction=0"], "validation.fraction is 0"),
        (["--set", "loss=[ce, qlung]"], "--loss and --set loss.name=['ce', 'qlung']: both say the same field"),
        (["--seeds", "0-2000000000"], "more than 10,000 seeds"),
        (["--threads", "100000"], "100000 threads: this machine has"),
        (["--set", "optim.lr=null", "--set", "optim.lr=NaN"], "optim.lr=nan: Input should be a finite number"),
    ],
)
def test_a_wrong_option_is_one_line_and_exit_2(
    cli: Cli, tiny_root: Path, tmp_path: Path, options: list[str], said: str
) -> None:
    done = cli(*BASE, "--root", tiny_root, "--results", tmp_path / "results", *options)
    assert done.code == 2
    assert said in done.err
    assert "Traceback" not in done.err
    assert done.err.strip().splitlines()[-1].startswith("error: ")


def truncated(folder: Path) -> None:
    path = folder / "train03.wav"
    path.write_bytes(path.read_bytes()[:-3000])


def empty(folder: Path) -> None:
    (folder / "train03.wav").write_bytes(b"")


def not_audio(folder: Path) -> None:
    (folder / "train03.wav").write_text("this is a letter")


def absent(folder: Path) -> None:
    (folder / "train03.wav").unlink()


def not_finite(folder: Path) -> None:
    samples, rate = soundfile.read(folder / "train03.wav")
    samples[100] = np.nan
    soundfile.write(folder / "train03.wav", samples, rate, subtype="FLOAT")


def spoil_table(column: str, value: object) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        clips = pd.read_csv(folder / "clips.csv")
        clips[column] = clips[column].astype(object)
        clips.loc[5, column] = value
        clips.to_csv(folder / "clips.csv", index=False)

    return spoil


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (truncated, "train03.wav"),
        (empty, "train03.wav"),
        (not_audio, "train03.wav"),
        (absent, "train03.wav"),
        (not_finite, "train03.wav"),
        (spoil_table("end_s", 99.0), "train00"),
        (spoil_table("end_s", 0.1), "end_s"),
        (spoil_table("start_s", "soon"), "start_s"),
        (spoil_table("label", "rattle"), "rattle"),
    ],
)
def test_broken_recordings_are_named(
    cli: Cli, root: Path, tmp_path: Path, spoil: Callable[[Path], None], said: str
) -> None:
    spoil(root / "tiny")
    done = cli(*BASE, "--root", root, "--results", tmp_path / "results")
    assert done.code == 2
    assert said in done.err
    assert "Traceback" not in done.err
    assert not (tmp_path / "results").exists()


def test_a_broken_file_is_named_before_the_split_it_makes_impossible(cli: Cli, tmp_path: Path) -> None:
    folder = write_own_dataset(tmp_path / "root" / "tiny", {"train": 1, "test": 1})
    options = (*BASE, "--root", tmp_path / "root", "--results", tmp_path / "results")
    assert "patients" in cli(*options).err
    (folder / "train00.wav").write_bytes(b"")
    broken = cli(*options)
    assert "train00.wav" in broken.err
    assert "validation" not in broken.err


def test_a_class_without_a_training_clip_is_named(cli: Cli, root: Path, tmp_path: Path) -> None:
    clips = pd.read_csv(root / "tiny" / "clips.csv")
    clips[(clips["label"] != "both") | (clips["subset"] == "test")].to_csv(root / "tiny" / "clips.csv", index=False)
    done = cli(*BASE, "--root", root, "--results", tmp_path / "results")
    assert done.code == 2
    assert "no training clip of class 'both'" in done.err


def test_a_folder_that_cannot_be_written(cli: Cli, tiny_root: Path, tmp_path: Path) -> None:
    (tmp_path / "occupied").write_text("a file")
    done = cli(*BASE, "--root", tiny_root, "--results", tmp_path / "occupied")
    assert done.code == 2
    assert "occupied" in done.err
    assert "cannot be written to" in done.err


def test_a_full_disk_keeps_what_is_there(
    cli: Cli, tiny_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = (*BASE, "--epochs", "3", "--root", tiny_root, "--results", tmp_path / "results", "--save-every-s", "0")
    sound = os.fsync

    def full(descriptor: int) -> None:
        if any(tmp_path.glob("results/runs/*/epochs.csv")):  # after the first epoch
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        sound(descriptor)

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        done = cli(*options)
    assert done.code == 2
    assert "the disk is full" in done.err
    assert "going on after epoch" in cli(*options).err


def test_a_missing_gpu_is_said(cli: Cli, tiny_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    done = cli(*BASE, "--root", tiny_root, "--results", tmp_path / "results", "--device", "cuda")
    assert done.code == 2
    assert "sees 0 GPUs here. Use --device cpu" in done.err


@pytest.mark.parametrize("stopped", [False, True])
def test_other_sound_under_a_run_is_noticed(
    cli: Cli, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stopped: bool
) -> None:
    """Whether the run had ended or was stopped after an epoch: it is neither returned nor gone on with."""
    options = (*BASE, "--epochs", "2", "--root", root, "--results", tmp_path / "results")

    def interrupt(*arguments: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        if stopped:
            patched.setattr("rsbench.results.store.write_csv", interrupt)
        assert cli(*options).code == (130 if stopped else 0)
    samples, rate = soundfile.read(root / "tiny" / "train03.wav")
    soundfile.write(root / "tiny" / "train03.wav", 0.5 * samples, rate)
    done = cli(*options)
    assert done.code == 2
    assert "was made with other recordings: train03" in done.err


def test_data_check_says_what_is_missing_or_broken(cli: Cli, root: Path) -> None:
    assert cli("data", "check", "--root", root).code == 0
    truncated(root / "tiny")
    found = cli("data", "check", "--root", root, "--partial")
    assert found.code == 1
    assert "train03" in found.out


def test_data_check_without_data(cli: Cli, tmp_path: Path) -> None:
    done = cli("data", "check", "--root", tmp_path)
    assert done.code == 2
    assert "No data set was found" in done.err
