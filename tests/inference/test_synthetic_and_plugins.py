"""A model that must not be used without a word, and one that cannot be used without its plugin."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import on_disk
import pytest
from tiny import TINY_PLUGIN, Cli, Outcome

from rsbench.core.backbone import BACKBONES
from rsbench.core.plugins import load, plugin_of, scoped
from rsbench.results.run import Run

RUN = "qlung-tiny-s0"


@pytest.fixture
def synthetic(results: Path) -> Path:
    """Results whose runs learnt from generated recordings, by their records."""
    for path in (results / "runs").iterdir():
        on_disk.write(path, "data.json", {**on_disk.read(path, "data.json"), "synthetic": True})
    return results


@pytest.mark.parametrize("command", ["predict", "export-model"])
def test_a_model_of_generated_recordings_is_refused(cli: Cli, synthetic: Path, tmp_path: Path, command: str) -> None:
    asked = {"predict": [tmp_path / "x.wav"], "export-model": ["--out", tmp_path / "x.onnx"]}[command]
    said = cli(command, RUN, "--results", synthetic, *asked)
    assert (said.code, said.out) == (2, "")
    assert "SYNTHETIC" in said.err
    assert "--yes-synthetic" in said.err


def test_whoever_accepts_it_is_told_everywhere(cli: Cli, synthetic: Path, sounds: Path, tmp_path: Path) -> None:
    ask: Callable[..., Outcome] = lambda *more: cli("predict", RUN, "--results", synthetic, sounds, *more)  # noqa: E731
    assert "SYNTHETIC" in ask("--yes-synthetic").out
    assert ask("--yes-synthetic", "--out", tmp_path / "said.json").code == 0
    assert '"trained_on_synthetic": true' in (tmp_path / "said.json").read_text()
    assert "SYNTHETIC" in (tmp_path / "said.card.md").read_text()


def test_a_model_that_was_only_tested_on_them_is_not(results: Path) -> None:
    run = Run.load(RUN, results)
    data = on_disk.read(run.path, "data.json")
    datasets = {**data["datasets"], "synthetic": data["datasets"]["far"]}
    on_disk.write(run.path, "data.json", {**data, "synthetic": True, "datasets": datasets})
    assert not Run.load(RUN, results).choice().trained_on_synthetic


@pytest.mark.parametrize(
    ("recorded", "remedy"),
    [
        ({"plugins": {"backbone:unseen": "my_net.py"}}, "made with the file my_net.py: say --plugin FOLDER/my_net.py"),
        ({"plugins": {"backbone:unseen": "ward.nets"}}, "made with the module ward.nets: install its package, or say"),
        ({}, "does not say which plugin"),  # from before it was kept
    ],
)
@pytest.mark.parametrize("command", ["predict", "export-model"])
def test_a_missing_plugin_is_named(
    cli: Cli, results: Path, tmp_path: Path, command: str, recorded: dict[str, Any], remedy: str
) -> None:
    run = Run.load(RUN, results)
    data = {name: value for name, value in on_disk.read(run.path, "data.json").items() if name != "plugins"}
    identity = {**data["identity"], "plugins": {"backbone:unseen": "0" * 64}}
    on_disk.write(run.path, "data.json", {**data, "identity": identity, **recorded})
    (tmp_path / "x.wav").touch()
    asked = {"predict": [tmp_path], "export-model": ["--out", tmp_path / "x.onnx"]}[command]
    said = cli(command, RUN, "--results", results, *asked)
    assert (said.code, said.out) == (2, "")
    assert f"{run.run_id} needs backbone:unseen" in said.err
    assert remedy in said.err


def test_a_record_names_the_file_and_not_its_folder(finished: Path) -> None:
    """Where somebody keeps files is nobody else's business: records are handed on."""
    assert Run.load(RUN, finished).data.plugins == {"backbone:tiny": "tiny_plugin.py"}


def test_a_plugin_is_named_by_file_or_by_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert plugin_of(BACKBONES.entry("tiny")) == "tiny_plugin.py"
    shutil.copy(TINY_PLUGIN, tmp_path / "of_a_package.py")
    text = (tmp_path / "of_a_package.py").read_text().replace('"tiny', '"other').replace('"unhurried"', '"u2"')
    text = text.replace('"breaks_down"', '"b2"').replace('"stochastic"', '"s2"')
    (tmp_path / "of_a_package.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    with scoped([BACKBONES]):
        load("of_a_package")
        assert plugin_of(BACKBONES.entry("other")) == "of_a_package"
